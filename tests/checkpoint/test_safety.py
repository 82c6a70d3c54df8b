"""Nothing in a checkpoint is run: pickles that would write a canary file are refused with the name that they use."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint.unpickle import class_name
from gate5.errors import CheckpointError
from tests.support.saved import Saved


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path)))
    assert path.exists(), "the canary itself has to work"
    path.unlink()
    return path


def test_canary_in_vecnormalize(save: Callable[..., Saved], canary: Path) -> None:
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read(CheckpointFiles(save("PPO").policy, pickle.dumps(Canary(canary)), "x"))
    assert not canary.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_canary_inside_statistics(
    save: Callable[..., Saved], altered: Callable[..., bytes], canary: Path, protocol: int
) -> None:
    """Hidden deep in a true VecNormalize, in every pickle protocol."""
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise.obs_rms, "extra", Canary(canary)), protocol)
    with pytest.raises(CheckpointError, match=r"vecnormalize\.pkl"):
        read(CheckpointFiles(saved.policy, content, "x"))
    assert not canary.exists()


@pytest.mark.parametrize("key", ["action_space", "observation_space"])
def test_canary_in_spaces(save: Callable[..., Saved], rewrite: Callable[..., bytes], canary: Path, key: str) -> None:
    saved = save("PPO")
    data = _data(saved.policy)
    data[key][":serialized:"] = base64.b64encode(pickle.dumps(Canary(canary))).decode()
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read(CheckpointFiles(rewrite(saved.policy, {"data": json.dumps(data).encode()}), saved.vecnormalize, "x"))
    assert not canary.exists()


@pytest.mark.parametrize("key", ["policy_class", "policy_kwargs", "lr_schedule", "clip_range", "rollout_buffer_class"])
def test_canary_elsewhere_in_data_is_never_read(
    save: Callable[..., Saved], rewrite: Callable[..., bytes], canary: Path, key: str
) -> None:
    saved = save("PPO")
    data = _data(saved.policy)
    evil = base64.b64encode(pickle.dumps(Canary(canary))).decode()
    data[key] = {**(data[key] if isinstance(data[key], dict) else {}), ":type:": "x", ":serialized:": evil}
    files = CheckpointFiles(rewrite(saved.policy, {"data": json.dumps(data).encode()}), saved.vecnormalize, "x")
    if key == "policy_class":
        with pytest.raises(CheckpointError, match="a class of its own"):
            read(files)
    else:
        read(files)
    assert not canary.exists()


def test_canary_in_policy_tensors(save: Callable[..., Saved], rewrite: Callable[..., bytes], canary: Path) -> None:
    saved = save("PPO")
    buffer = io.BytesIO()
    torch.save({"action_net.weight": torch.zeros(2, 2), "x": Canary(canary)}, buffer)
    with pytest.raises(CheckpointError, match=r"policy\.pth .*(posix|nt)\.system"):
        read(CheckpointFiles(rewrite(saved.policy, {"policy.pth": buffer.getvalue()}), saved.vecnormalize, "x"))
    assert not canary.exists()


def test_trust_pickle_means_what_it_says(save: Callable[..., Saved], canary: Path) -> None:
    """With ``trust_pickle`` the pickle does run: that is why it is off."""
    with pytest.raises(CheckpointError, match="not a VecNormalize"):
        read(CheckpointFiles(save("PPO").policy, pickle.dumps(Canary(canary)), "x"), trust_pickle=True)
    assert canary.exists()


def test_trusted_and_restricted_agree(save: Callable[..., Saved]) -> None:
    saved = save("PPO")
    files = CheckpointFiles(saved.policy, saved.vecnormalize, "x")
    one, other = read(files).normaliser, read(files, trust_pickle=True).normaliser
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.var, other.var)
    assert (one.clip, one.epsilon, one.count) == (other.clip, other.epsilon, other.count)


def test_object_array_is_refused(save: Callable[..., Saved], altered: Callable[..., bytes]) -> None:
    """An array of objects could carry anything; statistics are numbers."""
    saved = save("PPO")
    objects = np.array([object()] * 6, dtype=object)
    content = altered(saved, lambda normalise: setattr(normalise.obs_rms, "mean", objects))
    with pytest.raises(CheckpointError, match="object"):
        read(CheckpointFiles(saved.policy, content, "x"))


def test_class_name_is_read_without_unpickling() -> None:
    import cloudpickle  # type: ignore[import-untyped]
    from stable_baselines3.common.policies import ActorCriticPolicy

    assert class_name(cloudpickle.dumps(ActorCriticPolicy)) == "stable_baselines3.common.policies.ActorCriticPolicy"
    assert class_name(pickle.dumps(ActorCriticPolicy, protocol=2)) == (
        "stable_baselines3.common.policies.ActorCriticPolicy"
    )

    class Own(ActorCriticPolicy):
        pass

    assert class_name(cloudpickle.dumps(Own)) is None


def _data(archive: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        found: dict[str, Any] = json.loads(file.read("data"))
    return found
