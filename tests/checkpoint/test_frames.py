"""Frames in one observation: along which axis they are stacked is found out, or asked for."""

from __future__ import annotations

import io
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import assume, given
from hypothesis import strategies as st

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint.frames import stack_axes
from gate5.checkpoint.signature import StatefulRows
from gate5.checkpoint.spaces import Space, box
from gate5.config.candidate import ExportConfig
from gate5.errors import CheckpointError
from gate5.export import ONNXExporter
from gate5.export.compare import run_graph


def _image(*shape: int) -> Space:
    return box(np.zeros(shape), np.full(shape, 255), shape, "uint8")


@pytest.mark.parametrize(
    ("shape", "frames", "axis"),
    [((4, 84, 84), 4, 0), ((12, 84, 84), 4, 0), ((9, 36, 40), 3, 0), ((48, 36, 36), 16, 0), ((24, 84, 84), 4, 0),
     ((64, 36, 40), 64, 0), ((84, 84, 128), 128, 2)],
)  # fmt: skip
def test_images(shape: tuple[int, ...], frames: int, axis: int) -> None:
    """With as many channels as rows, 48 of a 36 x 36 image, the last axis was taken, or the policy refused."""
    assert stack_axes(_image(*shape), frames, "x") == (axis,)


def test_what_is_not_clear_is_asked() -> None:
    """Twelve frames of a 36 x 36 image: its channels may be first or last; an image that VecNormalize made floats."""
    floats = box(np.full((4, 36, 36), -10.0), np.full((4, 36, 36), 10.0))
    for space, frames in ((_image(36, 36, 36), 12), (floats, 4)):
        with pytest.raises(CheckpointError, match=r"checkpoint\.channels_order to first or to last"):
            stack_axes(space, frames, "x")
        assert stack_axes(space, frames, "x", order="first") == (0,)
        assert stack_axes(space, frames, "x", order="last") == (2,)
    assert stack_axes(floats, 4, "x", normalised={"obs": (1, 36, 36)}) == (0,)
    assert stack_axes(floats, 4, "x", normalised={"obs": (4, 36, 9)}) == (2,)


@pytest.mark.parametrize(("space", "frames"), [(_image(5, 36, 37), 4), (box(np.zeros(5), np.ones(5)), 2)])
def test_not_so_many(space: Space, frames: int) -> None:
    with pytest.raises(CheckpointError, match=f"frame_stack is {frames}"):
        stack_axes(space, frames, "x")


@given(st.tuples(*[st.integers(1, 60)] * 3), st.integers(2, 12), st.booleans())
def test_never_the_wrong_axis(single: tuple[int, int, int], frames: int, turned_first: bool) -> None:
    """Whatever image Stable-Baselines3's own functions stack and turn: the axis on which its frames are, or a question
    (only where images have more channels than a camera gives, the likelier axis is taken)."""
    from stable_baselines3.common.preprocessing import is_image_space_channels_first
    from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

    warnings.simplefilter("ignore")
    image = spaces.Box(0, 255, single, np.uint8)
    last_first = not is_image_space_channels_first(image)
    assume(min(single) <= 4 and min(single) == single[2 if last_first else 0])
    if turned_first and last_first:
        image, last_first = spaces.Box(0, 255, (single[2], *single[:2]), np.uint8), False
    _, _, shape, axis = StackedObservations.compute_stacking(frames, image, None)
    true = axis % 3
    stacked = spaces.Box(0, 255, shape, np.uint8)
    if not is_image_space_channels_first(stacked):  # PPO and the others turn it
        assume(true == 2)  # it would mix up rows and channels, and Stable-Baselines3 refuses
        shape, true = (shape[2], *shape[:2]), 0
    try:
        assert stack_axes(_image(*shape), frames, "x") == (true,)
    except CheckpointError as error:
        assert "channels_order" in str(error)  # noqa: PT017


class _Camera(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    action_space = spaces.Box(-100.0, 100.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize("transposed", ["before", "after"])
@pytest.mark.parametrize("normalised", [False, True])
def test_either_order_of_wrappers(transposed: str, normalised: bool) -> None:
    """VecTransposeImage before or after VecFrameStack, with VecNormalize around both: what ``predict`` gives."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize, VecTransposeImage

    torch.manual_seed(0)
    inner: Any = DummyVecEnv([_Camera])
    inner.seed(0)
    env: Any = VecFrameStack(VecTransposeImage(inner), 4) if transposed == "before" else VecFrameStack(inner, 4)
    settings: dict[str, Any] = {"net_arch": [8]}
    statistics = None
    if normalised:
        env = VecNormalize(env if transposed == "before" else VecTransposeImage(env))
        env.obs_rms.mean, env.obs_rms.var = env.obs_rms.mean + 100.0, env.obs_rms.var + 3000.0
        env.training = False
        settings |= {"normalize_images": False, "features_extractor_kwargs": {"normalized_image": True}}
        statistics = _pickled(env)
    model: Any = PPO("CnnPolicy", env, device="cpu", n_steps=2, batch_size=2, policy_kwargs=settings)
    with torch.no_grad():
        model.policy.action_net.weight.normal_(0, 1.0)
    archive = io.BytesIO()
    model.save(archive)
    order = "first" if normalised else None
    checkpoint = read(CheckpointFiles(archive.getvalue(), statistics, "x"), frame_stack=4, channels_order=order)
    assert checkpoint.signature.inputs[0].shape == (3, 36, 36)
    graph, rows = ONNXExporter(ExportConfig()).trace(checkpoint), StatefulRows(checkpoint.signature)
    env = model.get_env()
    seen, actions = env.reset(), []
    for _ in range(6):
        expected = model.predict(seen, deterministic=True)[0]
        image = inner.buf_obs[None].transpose(0, 3, 1, 2).reshape(1, -1).astype(np.float32)
        actions.append(rows.actions(run_graph(graph, rows.inputs(image))))
        np.testing.assert_allclose(actions[-1], expected, atol=1e-4, rtol=1e-4)
        seen = env.step(expected)[0]
    assert np.std(actions, axis=0).max() > 0.01


def _pickled(env: Any) -> bytes:
    import pickle

    return pickle.dumps(env)
