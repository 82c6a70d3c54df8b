"""Checkpoints that gate5 cannot use end in one sentence with the value and the way out."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate5.checkpoint import CheckpointFiles, read
from gate5.errors import CheckpointError
from tests.support.saved import Saved


def _read(policy: bytes, vecnormalize: bytes | None = None) -> None:
    read(CheckpointFiles(policy, vecnormalize, "run7/policy.zip"))


def test_not_a_zip() -> None:
    with pytest.raises(CheckpointError, match=r"run7/policy\.zip is not a zip archive"):
        _read(b"hello")


@pytest.mark.parametrize("part", [0.2, 0.7, 0.999])
def test_truncated(save: Callable[..., Saved], part: float) -> None:
    policy = save("PPO").policy
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        _read(policy[: int(len(policy) * part)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 0.999) | st.floats(0.985, 0.9999), value=st.integers(0, 255))
def test_any_damaged_byte_is_refused_or_harmless(save: Callable[..., Saved], position: float, value: int) -> None:
    """Whatever byte is wrong (the zip's directory is at the end): a sentence or the policy, never another exception."""
    policy = bytearray(save("PPO").policy)
    policy[int(position * len(policy))] = value
    try:
        _read(bytes(policy))
    except CheckpointError as error:
        assert "run7/policy.zip" in str(error)  # noqa: PT017


@pytest.mark.parametrize("member", ["policy.pth", "data"])
def test_lacks_a_member(save: Callable[..., Saved], rewrite: Callable[..., bytes], member: str) -> None:
    with pytest.raises(CheckpointError, match=f"holds no '{member}'"):
        _read(rewrite(save("PPO").policy, {member: None}))


def test_nan_weight_names_the_tensor(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    policy = save("PPO").policy
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        weights = torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True)
    weights["action_net.bias"][1] = float("nan")
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    with pytest.raises(CheckpointError, match=r"action_net\.bias .*1 values that are NaN"):
        _read(rewrite(policy, {"policy.pth": buffer.getvalue()}))


def test_statistics_of_another_size(save: Callable[..., Saved], altered: Callable[..., bytes]) -> None:
    saved = save("PPO")
    smaller = {"mean": np.zeros(4), "var": np.ones(4)}
    content = altered(saved, lambda normalise: vars(normalise.obs_rms).update(smaller))
    with pytest.raises(CheckpointError, match=r"takes 6 observations, but vecnormalize\.pkl normalises 4"):
        _read(saved.policy, content)


@pytest.mark.parametrize(
    ("attribute", "value", "text"),
    [
        ("mean", np.full(6, np.nan), "NaN or infinite"),
        ("var", np.full(6, -1.0), "variance of observation 0 is -1"),
        ("var", np.ones(5), "shape"),
        ("mean", np.full(6, 1e39), "float32 cannot hold"),
        ("var", np.full(6, 1e80), "float32 cannot hold"),
    ],
)
def test_statistics_that_cannot_be_used(
    save: Callable[..., Saved], altered: Callable[..., bytes], attribute: str, value: Any, text: str
) -> None:
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise.obs_rms, attribute, value))
    with pytest.raises(CheckpointError, match=text):
        _read(saved.policy, content)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"obs_rms": 1}), pickle.dumps([1])[:-3]])
def test_vecnormalize_that_is_none(save: Callable[..., Saved], content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"vecnormalize\.pkl"):
        _read(save("PPO").policy, content)


def test_custom_policy_and_activation(tmp_path: Any, save: Callable[..., Saved]) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy

    class Own(ActorCriticPolicy):
        pass

    class Swish(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(x)

    env = save("PPO").normalise
    PPO(Own, env, device="cpu").save(tmp_path / "own.zip")
    with pytest.raises(CheckpointError, match="a class of its own"):
        _read((tmp_path / "own.zip").read_bytes())
    PPO("MlpPolicy", env, device="cpu", policy_kwargs={"activation_fn": Swish}).save(tmp_path / "swish.zip")
    with pytest.raises(CheckpointError, match="Swish"):
        _read((tmp_path / "swish.zip").read_bytes())


def test_recurrent_and_normalised_networks(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    """An LSTM keeps a state; a layer that is not linear cannot be rebuilt from its tensors."""
    policy = save("PPO").policy
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        weights = torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True)
    for extra, text in (
        ({"lstm_actor.weight_ih_l0": torch.zeros(4, 4)}, "recurrent"),
        ({"mlp_extractor.policy_net.1.weight": torch.zeros(16)}, r"policy_net\.1\.weight"),
        ({"mlp_extractor.policy_net.2.weight": torch.zeros(16, 9)}, r"shape \(16, 9\)"),
    ):
        buffer = io.BytesIO()
        torch.save({**weights, **extra}, buffer)
        with pytest.raises(CheckpointError, match=text):
            _read(rewrite(policy, {"policy.pth": buffer.getvalue()}))


def test_lacks_a_layer(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    for algorithm, name in (("SAC", "actor.mu.weight"), ("TD3", "actor.mu.4.weight"), ("PPO", "action_net.weight")):
        policy = save(algorithm).policy
        with zipfile.ZipFile(io.BytesIO(policy)) as file:
            weights = torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True)
        del weights[name]
        buffer = io.BytesIO()
        torch.save(weights, buffer)
        with pytest.raises(CheckpointError, match=r"run7/policy\.zip"):
            _read(rewrite(policy, {"policy.pth": buffer.getvalue()}))


def test_infinite_bounds_with_squash(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    import base64

    import cloudpickle  # type: ignore[import-untyped]

    policy = save("SAC").policy
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        data = json.loads(file.read("data"))
    space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    data["action_space"][":serialized:"] = base64.b64encode(cloudpickle.dumps(space)).decode()
    with pytest.raises(CheckpointError, match="bounds are infinite"):
        _read(rewrite(policy, {"data": json.dumps(data).encode()}))
