"""Stable-Baselines3's own policy is the reference wherever it can hold the tensors, at the sizes that are usual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from gate5.checkpoint import CheckpointFiles, read

IMAGE = spaces.Box(0, 255, (84, 84, 4), np.uint8)
CASES: dict[str, tuple[str, str, Any, dict[str, Any]]] = {
    "usual": ("PPO", "MlpPolicy", spaces.Box(-1, 1, (17,)), {}),
    "wide": ("TD3", "MlpPolicy", spaces.Box(-1, 1, (376,)), {"net_arch": [400, 300]}),
    "pixels": ("PPO", "CnnPolicy", IMAGE, {}),
    "pixels for critics, too": ("SAC", "CnnPolicy", IMAGE, {"n_critics": 3}),
    "three cameras": ("PPO", "MultiInputPolicy", spaces.Dict(dict.fromkeys("abc", IMAGE)), {}),
    "quantiles": ("TQC", "MlpPolicy", spaces.Box(-1, 1, (17,)), {"net_arch": [256, 256], "n_quantiles": 25}),
    "memory": ("RecurrentPPO", "MlpLstmPolicy", spaces.Box(-1, 1, (17,)), {"enable_critic_lstm": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_reference_is_stable_baselines3(tmp_path: Path, name: str) -> None:
    import sb3_contrib
    import stable_baselines3

    algorithm, policy, space, settings = CASES[name]

    class Plant(gymnasium.Env[Any, Any]):
        observation_space = space
        action_space = spaces.Box(-1, 1, (3,))

    library = stable_baselines3 if hasattr(stable_baselines3, algorithm) else sb3_contrib
    more = {} if "PPO" in algorithm else {"buffer_size": 1}
    getattr(library, algorithm)(policy, Plant(), device="cpu", policy_kwargs=settings, **more).save(
        tmp_path / "p.zip", exclude=["replay_buffer"]
    )
    assert read(CheckpointFiles((tmp_path / "p.zip").read_bytes(), None, "x")).network is not None
