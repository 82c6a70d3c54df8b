"""A DQN, a recurrent and a CNN policy, each from its checkpoint to a promoted release and to a plant that pulls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from gymnasium import spaces

from gate5.cli.main import main

QUICK = ["--set", "latency.iterations=1000", "--set", "latency.warmup=100", "--set", "latency.cadence_ms=0.1",
         "--set", "latency.cadence_iterations=500", "--set", "export.samples=1000", "--set", "parity.samples=200",
         "--set", "engine.backend=onnxruntime", "--set", "engine.profile.max_batch=32",
         "--set", "gate.sla_p99_ms=1000", "--set", "checkpoint.vecnormalize=none"]  # fmt: skip


class Remember(gymnasium.Env[Any, Any]):
    """A level is shown once at the start; what is paid for is to give it back for ten steps: a memory is needed."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.level = 0, float(self.np_random.choice([-0.8, 0.8]))
        return np.array([self.level, 1.0], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        reward = 1.0 - abs(float(action[0]) - self.level)
        return np.zeros(2, np.float32), reward, False, self.t >= 10, {}


class Brightness(gymnasium.Env[Any, Any]):
    """A camera on a furnace: the brighter half says in which direction to go."""

    observation_space = spaces.Box(0, 255, (36, 40, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._look(), {}

    def _look(self) -> Any:
        self.side = int(self.np_random.integers(2))
        image = self.np_random.integers(0, 40, (36, 40, 1))
        image[:, 20 * self.side : 20 * self.side + 20] += 200
        return image.astype(np.uint8)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        reward = float(int(action) == self.side)
        return self._look(), reward, False, self.t >= 10, {}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["keygen"]) == 0
    made: Any
    for name, made in (("Remember-v0", Remember), ("Brightness-v0", Brightness)):
        if name not in gymnasium.registry:
            gymnasium.register(name, made, max_episode_steps=10)
    return tmp_path


def _config(home: Path, env_id: str, least: float, **options: Any) -> str:
    rules = [
        {"name": "onnx_parity", "metric": "parity.onnx.max_abs_error", "op": "<", "threshold": 1e-4},
        {"name": "engine_parity", "metric": "parity.engine.max_abs_error", "op": "<", "threshold": 1e-2},
        {"name": "engine_repeats", "metric": "parity.engine.repeat_mismatches", "op": "==", "threshold": 0},
        {"name": "driven", "metric": "evaluation.*.rl.engine_episodes", "op": ">=", "threshold": 5},
        {"name": "good", "metric": "evaluation.*.rl.return_mean", "op": ">=", "threshold": least},
    ]
    content = {
        "plant": {"id": f"gymnasium:{env_id}", "options": {"dt_s": 0.02, **options}},
        "baseline": {"kind": "none"}, "evaluation": {"episodes": 5}, "gate": {"rules": rules},
    }  # fmt: skip
    path = home / "release.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def _release_and_pull(home: Path, config: str, capsys: pytest.CaptureFixture[str], *more: str,
                      policy: str = "policy.zip", reference: str = "stable_baselines3") -> dict[str, Any]:  # fmt: skip
    code = main(["release", policy, "--config", config, "--workspace", "w", *QUICK, *more])
    said = capsys.readouterr()
    assert code == 0, said
    assert main(["pull", "plant", "--trust", str(home / "var/keys/release.pub"), "--config", config, "--json"]) == 0
    pulled = json.loads(capsys.readouterr().out)
    assert pulled["outcome"] == "installed"
    assert pulled["compared"] > 0
    export: dict[str, Any] = json.loads((home / "w/export.json").read_text())
    assert export["reference"].startswith(reference)
    rows = json.loads((home / "w/comparison.json").read_text())["scenarios"]
    assert all(row["reference"]["return_abs_max"] < 1e-3 for row in rows), "the engine drives as the policy does"
    return export


def _drives_as_the_current_release(home: Path, config: str, *more: str) -> None:
    """What was released drives the same policy's episodes from the store: to the last bit the same returns."""
    assert main(["resolve", "policy.zip", "--config", config, "--workspace", "w", *QUICK, *more]) == 0
    assert main(["evaluate", "--workspace", "w"]) == 0
    for path in (home / "w/evaluation").glob("*.json"):
        row = json.loads(path.read_text())
        assert row["current"]["why_not"] == ""
        assert row["current"]["result"]["returns"] == row["rl"]["returns"]


def _predict_is_what_runs(home: Path, drive: Callable[[Any], list[Any]], expected: list[Any]) -> None:
    """The engine that was pulled, driven by its controller, gives what the trained model gives."""
    from gate5 import engine

    folder = (home / "plant/current").resolve()
    metadata = json.loads(next(folder.rglob("engine.json")).read_text())
    with engine.load(next(folder.rglob("policy.engine")).read_bytes(), metadata) as loaded:
        np.testing.assert_allclose(np.array(drive(engine.EngineController(loaded))), np.array(expected), atol=1e-4)


def test_dqn_on_cartpole(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Really trained, discrete actions: a mean return of 100 is five times what chance gives."""
    from stable_baselines3 import DQN

    model = DQN("MlpPolicy", "CartPole-v1", learning_rate=2.3e-3, batch_size=64, buffer_size=50_000, seed=1,
                learning_starts=1000, gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128,
                exploration_fraction=0.16, exploration_final_eps=0.04, device="cpu",
                policy_kwargs={"net_arch": [64, 64]})  # fmt: skip
    model.learn(25_000)
    model.save(home / "policy.zip")
    export = _release_and_pull(home, _config(home, "CartPole-v1", 100.0, steps=200), capsys)
    assert export["algorithm"] == "DQN"
    rng = np.random.default_rng(0)
    rows = [rng.normal(0, 0.1, (1, 4)).astype(np.float32) for _ in range(50)]

    def drive(controller: Any) -> list[Any]:
        return [controller.predict(row)[0][0, 0] for row in rows]

    _predict_is_what_runs(home, drive, [model.predict(row[0], deterministic=True)[0] for row in rows])


def test_recurrent_policy(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The state comes back each step and is zero again when an episode starts."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env

    model = RecurrentPPO("MlpLstmPolicy", make_vec_env(Remember, 8), n_steps=40, batch_size=80, n_epochs=10, seed=0,
                         learning_rate=5e-3, gamma=0.5, device="cpu",
                         policy_kwargs={"net_arch": [16], "lstm_hidden_size": 16})  # fmt: skip
    model.learn(8_000)
    model.save(home / "policy.zip")
    export = _release_and_pull(home, _config(home, "Remember-v0", 5.0), capsys)
    assert export["algorithm"] == "RecurrentPPO"
    rng = np.random.default_rng(0)
    episodes = [rng.normal(0, 1, (6, 1, 2)).astype(np.float32) for _ in range(3)]
    expected = []
    for episode in episodes:
        state = None
        for t, row in enumerate(episode):
            action, state = model.predict(row, state, np.array([t == 0]), deterministic=True)
            expected.append(action[0, 0])

    def drive(controller: Any) -> list[Any]:
        found = []
        for episode in episodes:
            controller.reset(1)
            found += [controller.predict(row)[0][0, 0] for row in episode]
        return found

    _predict_is_what_runs(home, drive, expected)


def test_cnn_policy(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images with the channels last, as the plant gives them; the policy was trained on VecTransposeImage's."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    model = PPO("CnnPolicy", make_vec_env(Brightness, 8), n_steps=32, batch_size=64, n_epochs=4, seed=0, device="cpu",
                learning_rate=1e-3, gamma=0.0, ent_coef=0.01,
                policy_kwargs={"features_extractor_kwargs": {"features_dim": 32}, "net_arch": []})  # fmt: skip
    model.learn(2_000)
    model.save(home / "policy.zip")
    export = _release_and_pull(home, _config(home, "Brightness-v0", 9.0), capsys)
    assert export["obs_dim"] == 36 * 40
    env = Brightness()
    images = [env.reset(seed=i)[0] for i in range(20)]

    def drive(controller: Any) -> list[Any]:
        return [
            controller.predict(np.transpose(image, (2, 0, 1)).reshape(1, -1).astype(np.float32))[0][0, 0]
            for image in images
        ]

    _predict_is_what_runs(home, drive, [model.predict(image, deterministic=True)[0] for image in images])


def test_torchscript_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A controller that somebody wrote in PyTorch: pushes to the side to which the pole falls."""
    import torch

    class Push(torch.nn.Module):
        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            falls = obs[:, 2:3] + 0.5 * obs[:, 3:4] + 0.05 * obs[:, 0:1] + 0.1 * obs[:, 1:2]
            return torch.cat([-falls, falls], dim=1)

    torch.jit.save(torch.jit.script(Push()), str(home / "policy.pt"))
    spaces = {"observation": {"shape": [4]}, "action": {"choices": 2}}
    config = _config(home, "CartPole-v1", 150.0, steps=200)
    more = ["--set", f"checkpoint.spaces={json.dumps(spaces)}"]
    assert main(["release", "policy.pt", "--config", config, "--workspace", "w", *QUICK, *more]) == 2
    assert "checkpoint.trust_pickle" in capsys.readouterr().err
    more += ["--set", "checkpoint.trust_pickle=true"]
    export = _release_and_pull(home, config, capsys, *more, policy="policy.pt", reference="the file itself")
    assert export["algorithm"] == "TorchScript"
    rows = [np.random.default_rng(i).normal(0, 0.1, (1, 4)).astype(np.float32) for i in range(50)]

    def drive(controller: Any) -> list[Any]:
        return [controller.predict(row)[0][0, 0] for row in rows]

    _predict_is_what_runs(home, drive, [float(Push()(torch.from_numpy(row)).argmax()) for row in rows])


class Valves(gymnasium.Env[Any, Any]):
    """Three valves, one of which is stuck for a while and must not be chosen; two sensors of different kinds."""

    observation_space = spaces.Dict({"obs": spaces.Box(0.0, 1.0, (2,), np.float32), "stuck-valve": spaces.Discrete(3)})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._look(), {}

    def _look(self) -> Any:
        self.stuck = int(self.np_random.integers(3))
        return {"obs": self.np_random.random(2).astype(np.float32), "stuck-valve": self.stuck}

    def action_masks(self) -> Any:
        return np.arange(3) != self.stuck

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        reward = float(int(action)) - 10.0 * float(int(action) == self.stuck)
        return self._look(), reward, False, self.t >= 10, {}


def test_masks_and_a_dict_of_observations(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not trained: that it never chooses what is stuck is the mask's doing. The keys are no names in a graph."""
    from sb3_contrib import MaskablePPO

    if "Valves-v0" not in gymnasium.registry:
        made: Any = Valves
        gymnasium.register("Valves-v0", made, max_episode_steps=10)
    model = MaskablePPO("MultiInputPolicy", Valves(), device="cpu", policy_kwargs={"net_arch": [8]})
    model.save(home / "policy.zip")
    export = _release_and_pull(home, _config(home, "Valves-v0", 0.0, action_masks=True), capsys)
    assert export["max_abs_error"] == 0, "every choice is the policy's"


def test_stacked_frames(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy that sees the last three observations is given them by whoever drives."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    model = PPO("MlpPolicy", VecFrameStack(make_vec_env(Remember, 1), 3), device="cpu", policy_kwargs={"net_arch": [8]})
    model.save(home / "policy.zip")
    more = ("--set", "checkpoint.frame_stack=3")
    export = _release_and_pull(home, _config(home, "Remember-v0", -100.0), capsys, *more)
    assert export["max_abs_error"] < 1e-4
