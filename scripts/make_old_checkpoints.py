"""Writes tests/checkpoint/sb3_1_8 and sb3_1_2: run by an old Stable-Baselines3 in an environment of its own.

    python3.11 -m venv old && old/bin/pip install setuptools==65.5.0 wheel==0.38.4 "pip<24.1"
    old/bin/pip install --no-build-isolation gym==0.21.0
    old/bin/pip install "numpy<2" stable-baselines3==1.8.0 sb3-contrib==1.8.0    # or stable-baselines3==1.2.0 alone
    old/bin/python scripts/make_old_checkpoints.py tests/checkpoint/sb3_1_8

The optimisers' tensors are then taken out of the archives (`zip -d policy.zip '*optimizer*'`).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

ON = {"n_steps": 32, "batch_size": 16}
OFF = {"learning_starts": 10, "buffer_size": 100}
SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}}
CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("PPO", {**ON, "policy_kwargs": {"net_arch": [8, {"pi": [8], "vf": [8]}]}}, "box"),  # shared layers: before 1.8
    ("PPO", {**ON, "use_sde": True, "policy_kwargs": {"net_arch": [{"pi": [8], "vf": [8]}]}}, "box"),
    ("A2C", SMALL, "discrete"),
    *((name, {**OFF, **SMALL}, "box") for name in ("SAC", "TD3", "DDPG", "TQC")),
    ("DQN", {**OFF, **SMALL}, "discrete"),
    ("QRDQN", {**OFF, "policy_kwargs": {"net_arch": [8], "n_quantiles": 5}}, "discrete"),
    ("TRPO", {**ON, **SMALL}, "box"),
    ("RecurrentPPO", {**ON, "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 4}}, "box"),
    ("ARS", {"n_delta": 2, **SMALL}, "box"),
)


def environment(gym: Any, actions: str) -> Any:
    """Random observations of different sizes, by the old interface of gym."""

    class Env(gym.Env):  # type: ignore[misc]
        observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)

        def __init__(self) -> None:
            low, high = np.array([-1, -5], np.float32), np.array([1, 10], np.float32)
            self.action_space = gym.spaces.Discrete(3) if actions == "discrete" else gym.spaces.Box(low, high)
            self.t, self.random = 0, np.random.RandomState(0)

        def reset(self) -> Any:
            self.t = 0
            return observations(self.random, 1)[0]

        def step(self, _: Any) -> Any:
            self.t += 1
            return observations(self.random, 1)[0], 0.0, self.t >= 10, {}

    return Env()


def observations(random: Any, rows: int) -> Any:
    """``[rows, 3]``."""
    return (random.randn(rows, 3) * [1, 50, 3]).astype(np.float32)


def main(out: Path) -> None:
    """One folder per case: policy.zip, vecnormalize.pkl, and what ``predict`` gave in expected.npz."""
    gym = importlib.import_module("gym")
    sb3 = importlib.import_module("stable_baselines3")
    envs = importlib.import_module("stable_baselines3.common.vec_env")
    rows = observations(np.random.RandomState(1), 60)
    for name, arguments, actions in CASES:
        library = sb3 if hasattr(sb3, name) else importlib.import_module("sb3_contrib")
        env = envs.VecNormalize(envs.DummyVecEnv([lambda actions=actions: environment(gym, actions)]), clip_obs=5.0)
        recurrent = name == "RecurrentPPO"
        try:
            model = getattr(library, name)("MlpLstmPolicy" if recurrent else "MlpPolicy", env, seed=0, **arguments)
        except TypeError as error:
            print(f"{name}: {error}")
            continue
        model.learn(40)
        env.training = False
        folder = out / (name + ("-sde" if arguments.get("use_sde") else ""))
        folder.mkdir(parents=True, exist_ok=True)
        model.save(str(folder / "policy.zip"))
        env.save(str(folder / "vecnormalize.pkl"))
        more = {"episode_start": np.ones(len(rows), dtype=bool)} if recurrent else {}
        action, _ = model.predict(env.normalize_obs(rows), deterministic=True, **more)
        np.savez(folder / "expected.npz", obs=rows, action=np.asarray(action, np.float32).reshape(len(rows), -1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
