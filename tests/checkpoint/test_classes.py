"""A class is admitted by its module and its qualified name: what only looks like Stable-Baselines3's is refused."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint.classes import ACTIVATIONS
from gate5.errors import CheckpointError
from tests.support.saved import Saved


@pytest.fixture
def module() -> Any:
    """A module that can be imported, so that its classes are pickled by reference."""
    made = types.ModuleType("plant_networks")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def _put(module: Any, made: type) -> type:
    made.__module__, made.__qualname__ = module.__name__, made.__name__
    setattr(module, made.__name__, made)
    return made


def _saved(tmp_path: Path, env: Any, policy: Any = "MlpPolicy", **kwargs: Any) -> bytes:
    from stable_baselines3 import PPO

    PPO(policy, env, device="cpu", policy_kwargs={"net_arch": [8], **kwargs}).save(tmp_path / "model.zip")
    return (tmp_path / "model.zip").read_bytes()


def test_extractor_that_ends_like_sb3s(tmp_path: Path, save: Callable[..., Saved], module: Any) -> None:
    """At 61a9b98 this was exported as the FlattenExtractor: an error of 0.47 that its own report did not see."""
    from stable_baselines3.common.torch_layers import FlattenExtractor

    class ScaledFlattenExtractor(FlattenExtractor):
        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return super().forward(observations) / 100.0

    env = save("PPO").normalise
    for made in (_put(module, ScaledFlattenExtractor), ScaledFlattenExtractor):
        policy = _saved(tmp_path, env, features_extractor_class=made)
        with pytest.raises(CheckpointError, match=r"plant_networks\.ScaledFlattenExtractor"):
            read(CheckpointFiles(policy, None, "x"))


@pytest.mark.parametrize("name", ["FlattenExtractor", "NatureCNN"])
def test_extractor_of_the_same_name(tmp_path: Path, save: Callable[..., Saved], module: Any, name: str) -> None:
    from stable_baselines3.common.torch_layers import FlattenExtractor

    made = _put(module, type(name, (FlattenExtractor,), {}))
    policy = _saved(tmp_path, save("PPO").normalise, features_extractor_class=made)
    with pytest.raises(CheckpointError, match=rf"plant_networks\.{name}"):
        read(CheckpointFiles(policy, None, "x"))


def test_class_by_its_code_that_claims_to_be_sb3s(tmp_path: Path, save: Callable[..., Saved]) -> None:
    """Pickled by its code (a class of ``__main__``), with the module's name and its own changed afterwards."""
    import cloudpickle  # type: ignore[import-untyped]
    from stable_baselines3.common import torch_layers

    class Scaled(torch_layers.FlattenExtractor):
        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return super().forward(observations) / 100.0

    Scaled.__module__, Scaled.__qualname__, Scaled.__name__ = torch_layers.__name__, "FlattenExtractor2", "F"
    assert b"_make_skeleton_class" in cloudpickle.dumps(Scaled)
    policy = _saved(tmp_path, save("PPO").normalise, features_extractor_class=Scaled)
    with pytest.raises(CheckpointError, match="features extractor"):
        read(CheckpointFiles(policy, None, "x"))


@pytest.mark.parametrize("name", ["Tanh", "ReLU", "PoliteTanh"])
def test_activation_of_the_same_name(tmp_path: Path, save: Callable[..., Saved], module: Any, name: str) -> None:
    made = _put(module, type(name, (torch.nn.Tanh,), {"forward": lambda self, x: torch.tanh(x) * 0.5}))
    policy = _saved(tmp_path, save("PPO").normalise, activation_fn=made)
    with pytest.raises(CheckpointError, match=rf"plant_networks\.{name}"):
        read(CheckpointFiles(policy, None, "x"))


@pytest.mark.parametrize("name", ["ActorCriticPolicy", "SACPolicy"])
def test_policy_of_the_same_name(tmp_path: Path, save: Callable[..., Saved], module: Any, name: str) -> None:
    from stable_baselines3.common.policies import ActorCriticPolicy

    made = _put(module, type(name, (ActorCriticPolicy,), {}))
    policy = _saved(tmp_path, save("PPO").normalise, policy=made)
    with pytest.raises(CheckpointError, match=rf"plant_networks\.{name}"):
        read(CheckpointFiles(policy, None, "x"))


def test_setting_that_no_sb3_policy_takes(
    tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes]
) -> None:
    import json

    from .test_safety import _data

    saved = save("PPO")
    data = _data(saved.policy)
    data["policy_kwargs"]["temperature"] = 0.5
    with pytest.raises(CheckpointError, match="'temperature'"):
        read(CheckpointFiles(rewrite(saved.policy, {"data": json.dumps(data).encode()}), saved.vecnormalize, "x"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_far_from_zero(name: str) -> None:
    """The graph at numbers up to 120: the logarithm of a sigmoid that is zero in ONNX Runtime was minus infinity."""
    import io

    import onnxruntime

    from gate5.checkpoint.module import build_module
    from gate5.checkpoint.spec import Layer, PolicySpec

    eye, zero, wide = np.eye(3, dtype=np.float32), np.zeros(3, np.float32), np.full(3, 1e6, np.float32)
    slope = np.full(1, 0.25, np.float32) if name == "PReLU" else None
    layers = (Layer(eye, zero, name, slope), Layer(eye, zero, None))
    module = build_module(PolicySpec("PPO", layers, None, False, -wide, wide, -wide, wide), None)
    buffer = io.BytesIO()
    torch.onnx.export(module, (torch.zeros(2, 3),), cast(Any, buffer), dynamo=False, opset_version=17,
                      dynamic_axes={"x": {0: "b"}}, input_names=["x"])  # fmt: skip
    rows = np.random.default_rng(0).uniform(-120, 120, (3000, 3)).astype(np.float32)
    rows[1000:] /= 30
    found = onnxruntime.InferenceSession(buffer.getvalue()).run(None, {"x": rows})[0]
    made = getattr(torch.nn, name)(**({"dim": 1} if "Soft" in name and name.endswith(("max", "min")) else {})).eval()
    with torch.no_grad():
        np.testing.assert_allclose(found, made(torch.from_numpy(rows)).numpy(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(tmp_path: Path, save: Callable[..., Saved], name: str) -> None:
    """torch.nn's activations without a choice to make: module, SB3 and NumPy agree."""
    from stable_baselines3 import PPO

    kwargs = {"net_arch": [8, 8], "activation_fn": getattr(torch.nn, name)}
    model = PPO("MlpPolicy", save("PPO").normalise, device="cpu", policy_kwargs=kwargs)
    with torch.no_grad():
        for key, parameter in model.policy.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "policy_net" in key else 1.0))
    model.save(tmp_path / "model.zip")
    checkpoint = read(CheckpointFiles((tmp_path / "model.zip").read_bytes(), None, "x"))
    rows = np.random.default_rng(0).normal(0, 2, (500, 6)).astype(np.float32)
    expected, how = checkpoint.reference(rows)
    assert how.startswith("stable_baselines3")
    np.testing.assert_allclose(checkpoint.module(torch.from_numpy(rows)).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(checkpoint.reference_numpy(rows), expected, atol=1e-5)
