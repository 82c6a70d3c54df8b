"""Real Stable-Baselines3 checkpoints on a tiny environment."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from numpy.typing import NDArray

from tests.support.measured import Measured, measuring
from tests.support.saved import Saved

OBS, ACT = 6, 2
SCALE = np.array([1.0, 300.0, 2e7, 1e-5, 50.0, 1.0], dtype=np.float32)


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """Reads a checkpoint and says what it cost."""
    with measuring() as found:
        yield found


class Tiny(gymnasium.Env[Any, Any]):
    """Observations in physical units of very different size; one of them hardly ever changes."""

    observation_space = Box(-np.inf, np.inf, (OBS,), np.float32)

    def __init__(self, low: Any = -1.0, high: Any = 1.0) -> None:
        self.action_space = Box(
            np.broadcast_to(low, (ACT,)).astype(np.float32), np.broadcast_to(high, (ACT,)).astype(np.float32)
        )

    def _obs(self) -> NDArray[np.float32]:
        values = SCALE * (1.0 + 0.1 * self.np_random.normal(size=OBS))
        values[5] = 700.0 + 1e-4 * self.np_random.normal()  # tiny variance around a large mean
        return values.astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._obs(), float(-np.square(action).sum()), False, bool(self.np_random.random() < 0.02), {}


def _spread(model: Any) -> None:
    """Make the actor's output reach the clip: SB3 starts it near zero, where a missing clip could not be seen."""
    import torch

    torch.manual_seed(0)
    policy = model.policy
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if name == "action_net.weight":
                parameter.normal_(0, 1.5)
            if name.startswith("actor.mu") and name.endswith("bias"):
                parameter.normal_(0, 1.0)


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Saved]:
    """Train for a few steps and save: ``save("PPO", low=…, high=…, policy_kwargs=…)``; made once."""
    made: dict[str, Saved] = {}

    def make(algorithm: str, *, low: Any = -1.0, high: Any = 1.0, norm_obs: bool = True, **kwargs: Any) -> Saved:
        key = repr((algorithm, low, high, norm_obs, kwargs))
        if key not in made:
            made[key] = _train(tmp_path_factory.mktemp("sb3"), algorithm, low, high, norm_obs, kwargs)
        return made[key]

    return make


def _train(folder: Path, algorithm: str, low: Any, high: Any, norm_obs: bool, kwargs: dict[str, Any]) -> Saved:
    import stable_baselines3
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.set_num_threads(1)
    env = VecNormalize(DummyVecEnv([lambda: Tiny(low, high)]), norm_obs=norm_obs, clip_obs=5.0)
    env.seed(3)
    arguments: dict[str, Any] = {"policy_kwargs": {"net_arch": [16, 16]}, **kwargs}
    if algorithm in ("PPO", "A2C"):
        arguments["n_steps"] = 32
    else:
        arguments["learning_starts"] = 16
    if algorithm == "PPO":
        arguments |= {"batch_size": 32, "n_epochs": 1}
    model = getattr(stable_baselines3, algorithm)("MlpPolicy", env, device="cpu", seed=1, **arguments)
    model.learn(64)
    env.training = False
    _spread(model)
    model.save(folder / "policy.zip")
    env.save(str(folder / "vecnormalize.pkl"))
    observations = np.concatenate([env.venv.step(np.zeros((1, ACT)))[0] for _ in range(300)])
    return Saved(
        model, env, (folder / "policy.zip").read_bytes(), (folder / "vecnormalize.pkl").read_bytes(), observations
    )


@pytest.fixture(scope="session")
def rewrite() -> Callable[..., bytes]:
    """Replace or drop members of an archive: ``rewrite(zip, {"data": b"…", "policy.pth": None})``."""

    def change(archive: bytes, members: dict[str, bytes | None]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
            for name in [*old.namelist(), *(name for name in members if name not in old.namelist())]:
                content = members.get(
                    name, b"" if name in members else old.read(name) if name in old.namelist() else b""
                )
                if name in members and members[name] is None:
                    continue
                new.writestr(name, content or b"")
        return out.getvalue()

    return change


@pytest.fixture
def altered() -> Callable[..., bytes]:
    """A ``vecnormalize.pkl`` whose content was changed: ``altered(saved, lambda normalise: …)``."""

    def alter(saved: Saved, change: Callable[[Any], None], protocol: int | None = None) -> bytes:
        normalise = pickle.loads(saved.vecnormalize)
        # what VecNormalize.__getstate__ takes out again
        normalise.venv, normalise.class_attributes, normalise.returns = None, {}, None
        change(normalise)
        return pickle.dumps(normalise, protocol=protocol)

    return alter
