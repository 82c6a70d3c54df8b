"""Observations that the environment gives as float64: the error is measured against float64, and shown or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from gate5.checkpoint import Checkpoint, CheckpointFiles, read
from gate5.config.candidate import ExportConfig
from gate5.errors import CheckpointError
from gate5.export import ONNXExporter
from gate5.plant.base import Float32


def _checkpoint(tmp_path: Path, mean: Any, std: Any, dtype: Any = np.float64) -> tuple[Checkpoint, Any]:
    """A PPO policy whose normaliser was made by hand, and what SB3 itself answers to float64."""
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    class Plant(gymnasium.Env[Any, Any]):
        observation_space = Box(-np.inf, np.inf, (len(mean),), dtype)
        action_space = Box(-1, 1, (1,), np.float32)

    env: Any = VecNormalize(DummyVecEnv([Plant]))
    env.obs_rms.mean, env.obs_rms.var = np.array(mean), np.square(np.array(std))
    env.training = False
    model: Any = PPO("MlpPolicy", env, device="cpu", seed=0, policy_kwargs={"net_arch": [16]})
    with torch.no_grad():
        model.policy.action_net.weight.normal_(0, 0.3)
    model.save(tmp_path / "policy.zip")
    env.save(str(tmp_path / "vecnormalize.pkl"))
    files = CheckpointFiles((tmp_path / "policy.zip").read_bytes(), (tmp_path / "vecnormalize.pkl").read_bytes(), "x")

    def predict(obs: Float32) -> Any:
        return model.predict(env.normalize_obs(obs), deterministic=True)[0]

    return read(files), predict


@pytest.mark.parametrize(("mean", "std"), [(2e7, 100.0), (1.7e9, 3600.0)], ids=["pascal", "time stamp"])
def test_float32_cannot_carry_it(tmp_path: Path, mean: float, std: float) -> None:
    """At 61a9b98 policy and reference were both given the narrowed numbers, and the report said 1e-6."""
    checkpoint, predict = _checkpoint(tmp_path, [0.0, mean], [1.0, std])
    rng = np.random.default_rng(0)
    exact = np.array([0.0, mean]) + np.array([1.0, std]) * rng.normal(size=(1500, 2))
    narrowed = exact.astype(np.float32)
    lost = np.abs(predict(exact) - predict(narrowed.astype(np.float64))).max()
    assert lost > 5e-4
    np.testing.assert_array_equal(checkpoint.reference(exact)[0], predict(exact))
    with pytest.raises(CheckpointError, match=r"float64 .*observation 1: at .*e\+0"):
        ONNXExporter(ExportConfig()).export(checkpoint, narrowed)


def test_float64_that_float32_carries(tmp_path: Path) -> None:
    """The usual case: MuJoCo's float64. The error is measured against float64 and shown."""
    checkpoint, _ = _checkpoint(tmp_path, [0.0, 25.0], [1.0, 4.0])
    rows = np.random.default_rng(0).normal([0.0, 25.0], [1.0, 4.0], (1500, 2)).astype(np.float32)
    _, report = ONNXExporter(ExportConfig()).export(checkpoint, rows)
    assert report.float64 is not None
    assert 0 < report.float64 < 1e-4
    assert report.verified


def test_float32_space_is_not_asked(tmp_path: Path) -> None:
    checkpoint, _ = _checkpoint(tmp_path, [0.0, 25.0], [1.0, 4.0], np.float32)
    rows = np.random.default_rng(0).normal([0.0, 25.0], [1.0, 4.0], (1500, 2)).astype(np.float32)
    assert ONNXExporter(ExportConfig()).export(checkpoint, rows)[1].float64 is None


def test_in_a_dictionary_and_in_frames(tmp_path: Path) -> None:
    """The number that is named is the one that loses, whatever lies before it and however many frames there are."""
    import gymnasium
    import torch
    from gymnasium import spaces
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

    class Keys(gymnasium.Env[Any, Any]):
        observation_space = spaces.Dict({"area": spaces.Box(0.0, 1.0, (3,), np.float32),
                                         "pressure": spaces.Box(0.0, 1e8, (2,), np.float64)})  # fmt: skip
        action_space = Box(-1, 1, (1,), np.float32)

    class Stacked(gymnasium.Env[Any, Any]):
        observation_space = Box(0.0, 1e8, (2,), np.float64)
        action_space = Box(-1, 1, (1,), np.float32)

    for frames, index in ((1, 4), (3, 1)):
        venv: Any = DummyVecEnv([Keys if frames == 1 else Stacked])
        env: Any = (
            VecNormalize(venv, norm_obs_keys=["pressure"]) if frames == 1 else VecNormalize(VecFrameStack(venv, 3))
        )
        statistics = env.obs_rms["pressure"] if frames == 1 else env.obs_rms
        statistics.mean = np.array([0.0, 2e7] * (1 if frames == 1 else 3))
        statistics.var = np.array([1.0, 1e4] * (1 if frames == 1 else 3))
        model: Any = PPO("MultiInputPolicy" if frames == 1 else "MlpPolicy", env, device="cpu", seed=0,
                         policy_kwargs={"net_arch": [16]})  # fmt: skip
        with torch.no_grad():
            model.policy.action_net.weight.normal_(0, 0.3)
        model.save(tmp_path / "policy.zip")
        env.save(str(tmp_path / "vecnormalize.pkl"))
        files = CheckpointFiles(
            (tmp_path / "policy.zip").read_bytes(), (tmp_path / "vecnormalize.pkl").read_bytes(), "x"
        )
        checkpoint = read(files, frame_stack=frames)
        rng = np.random.default_rng(0)
        pressure = rng.normal([0.0, 2e7], [1.0, 100.0], (1500, 2))
        before = np.concatenate([pressure, pressure], axis=1)
        columns = [rng.random((1500, 3)), pressure] if frames == 1 else [pressure, before]
        with pytest.raises(CheckpointError, match=f"observation {index}:"):
            ONNXExporter(ExportConfig()).export(checkpoint, np.concatenate(columns, axis=1).astype(np.float32))
