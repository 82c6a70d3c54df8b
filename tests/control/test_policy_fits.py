"""A policy trained on other whole numbers than the plant gives is refused; other bounds of a Box do not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, PPO

from gate5.checkpoint import Checkpoint, fetch, read
from gate5.config.models import ReleaseConfig
from gate5.control.policy import check_fits
from gate5.errors import CheckpointError
from gate5.plant.registry import open_plant


class Shown(gymnasium.Env[Any, Any]):
    """Shows what its space has."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


SPACES: dict[str, Any] = {
    "four": spaces.Discrete(4), "nine": spaces.Discrete(9),
    "two-three": spaces.MultiDiscrete([2, 3]), "three-two": spaces.MultiDiscrete([3, 2]),
    "bytes": spaces.Box(0, 255, (1, 36, 36), np.uint8), "share": spaces.Box(0.0, 1.0, (1, 36, 36), np.float32),
    "narrow": spaces.Box(-1.0, 1.0, (3,), np.float32), "wide": spaces.Box(-np.inf, np.inf, (3,), np.float32),
}  # fmt: skip


def plant(name: str) -> Any:
    env_id = f"Shown-{name}-v0"
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, lambda **_: Shown(SPACES[name]), max_episode_steps=5)
    return open_plant(ReleaseConfig.parse({"plant": {"id": f"gymnasium:{env_id}"}}).plant)


def trained(name: str, folder: Path) -> Checkpoint:
    image = name == "bytes"
    made = PPO("CnnPolicy", Shown(SPACES[name])) if image else DQN("MlpPolicy", Shown(SPACES[name]))
    made.save(folder / "policy.zip")
    return read(fetch(str(folder / "policy.zip"), vecnormalize="none"))


@pytest.mark.parametrize(
    ("policy", "other", "text"),
    [
        ("four", "nine", "obs_0 from 0 to 3, but .* gives obs_0 from 0 to 8"),
        ("two-three", "three-two", "obs_0 from 0 to 1, but .* gives obs_0 from 0 to 2"),
        ("bytes", "share", "component 0 from 0 to 255, but .* gives component 0 from 0 to 1"),
    ],
)
def test_a_policy_of_another_plant_is_refused(tmp_path: Path, policy: str, other: str, text: str) -> None:
    """It would see nothing at all (all zeros) where the plant gives what it was never taught."""
    found = trained(policy, tmp_path)
    check_fits(found, plant(policy))
    with pytest.raises(CheckpointError, match=text):
        check_fits(found, plant(other))


@pytest.mark.parametrize(("policy", "other"), [("nine", "four"), ("narrow", "wide"), ("wide", "narrow")])
def test_bounds_that_do_not_matter(tmp_path: Path, policy: str, other: str) -> None:
    check_fits(trained(policy, tmp_path), plant(other))
