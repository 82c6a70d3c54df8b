"""One tiny policy of each algorithm and each kind of space: trained, saved, read, exported, compared with ``predict``.

``tests/checkpoint/test_kinds.py`` runs all of it; ``scripts/make_checkpoint_table.py`` writes the measured errors into
docs/checkpoints.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SB3 = ("PPO", "A2C", "SAC", "TD3", "DDPG", "DQN")
CONTRIB = ("TRPO", "TQC", "CrossQ", "QRDQN", "ARS", "MaskablePPO", "RecurrentPPO")
_PIXELS = 36  # the smallest that NatureCNN takes

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "Box": spaces.Box(-np.inf, np.inf, (4,), np.float32),
    "Box(2, 3)": spaces.Box(-1.0, 1.0, (2, 3), np.float32),
    "float64": spaces.Box(-10.0, 10.0, (3,), np.float64),
    "Discrete": spaces.Discrete(5),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiBinary": spaces.MultiBinary(3),
    "Dict": spaces.Dict(
        {
            "speed": spaces.Box(-50.0, 50.0, (2,), np.float32),
            "gear": spaces.Discrete(3),
            "area": spaces.Box(0.0, 1.0, (2, 2)),
        }
    ),
    "image": spaces.Box(0, 255, (_PIXELS, _PIXELS, 1), np.uint8),
    "image in a Dict": spaces.Dict(
        {"camera": spaces.Box(0, 255, (_PIXELS, _PIXELS, 3), np.uint8), "speed": spaces.Box(-1.0, 1.0, (2,))}
    ),
    "frames": spaces.Box(-10.0, 10.0, (3,), np.float32),
    "image frames": spaces.Box(0, 255, (_PIXELS, _PIXELS, 1), np.uint8),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "Box": spaces.Box(np.array([-1.0, -20.0], np.float32), np.array([2.0, 40.0], np.float32)),
    "Box(2, 2)": spaces.Box(-1.0, 1.0, (2, 2), np.float32),
    "Discrete": spaces.Discrete(4),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiBinary": spaces.MultiBinary(3),
}
_CHOICES = ("Discrete", "MultiDiscrete", "MultiBinary")
_CAN = dict.fromkeys(("PPO", "A2C", "TRPO", "RecurrentPPO"), ("Box", "Box(2, 2)", *_CHOICES)) | {
    "MaskablePPO": _CHOICES, "DQN": ("Discrete",), "QRDQN": ("Discrete",), "ARS": ("Box", "Discrete"),
    **dict.fromkeys(("SAC", "TD3", "DDPG", "TQC", "CrossQ"), ("Box", "Box(2, 2)")),
}  # fmt: skip
_FLAT_ONLY = ("ARS", "CrossQ")  # their libraries have no policy for images or dictionaries
FRAMES = 3


@dataclass(frozen=True)
class Case:
    """One algorithm on one pair of spaces."""

    algorithm: str
    observation: str
    action: str

    def __str__(self) -> str:
        return f"{self.algorithm}-{self.observation}-{self.action}"


@dataclass(frozen=True)
class Row:
    """What was measured: the graph's largest error against ``model.predict``, and the ties among choices."""

    case: Case
    error: float
    ties: int
    compared: int
    nonconstant: bool


def cases() -> list[Case]:
    """Every algorithm on every observation (with its first action space), and on every other action space."""
    found = []
    for algorithm in (*SB3, *CONTRIB):
        first, *others = _CAN[algorithm]
        for observation in OBSERVATIONS:
            if (algorithm, observation) == ("RecurrentPPO", "MultiDiscrete"):
                continue  # sb3-contrib 2.9.2 cannot make this policy
            if algorithm in _FLAT_ONLY and ("image" in observation or observation == "Dict"):
                continue
            found.append(Case(algorithm, observation, first))
        found += [Case(algorithm, "Box", action) for action in others]
    return found


class Anything(gymnasium.Env[Any, Any]):
    """Observations at random from a space; every action is allowed but the first of each choice now and then."""

    def __init__(self, observation: str, action: str) -> None:
        self.observation_space, self.action_space = OBSERVATIONS[observation], ACTIONS[action]
        self.t = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.observation_space.sample(), float(np.sum(action)), False, self.t >= 10, {}

    def action_masks(self) -> Any:
        return masks_of(self.action_space, 1, self.t)[0]


def masks_of(space: Any, rows: int, seed: int) -> Any:
    """Masks ``[rows, n]`` that leave each choice something."""
    if isinstance(space, spaces.MultiBinary):
        sizes = [2] * int(np.prod(space.shape))
    else:
        sizes = [int(space.n)] if isinstance(space, spaces.Discrete) else [int(n) for n in space.nvec]
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        part = rng.random((rows, size)) < 0.5
        part[np.arange(rows), rng.integers(size, size=rows)] = True
        parts.append(part)
    return np.concatenate(parts, axis=1)


def train(case: Case, folder: Path) -> tuple[Any, Any]:
    """Train for a moment and save ``policy.zip`` and, where it goes, ``vecnormalize.pkl``: model and environment."""
    import sb3_contrib
    import stable_baselines3
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

    torch.manual_seed(0)
    env: Any = DummyVecEnv([lambda: Anything(case.observation, case.action)])
    if "frames" in case.observation:
        env = VecFrameStack(env, FRAMES)
    if case.observation in ("Box", "Box(2, 3)", "float64", "frames"):
        env = VecNormalize(env, clip_obs=5.0)
    elif case.observation == "Dict":
        env = VecNormalize(env, norm_obs_keys=["speed", "area"])
    env.seed(0)
    kind = {"Dict": "MultiInput", "image in a Dict": "MultiInput", "image": "Cnn", "image frames": "Cnn"}
    policy = kind.get(case.observation, "Mlp") + ("LstmPolicy" if case.algorithm == "RecurrentPPO" else "Policy")
    kwargs: dict[str, Any] = {"net_arch": [16]}
    arguments: dict[str, Any] = {"device": "cpu", "seed": 0, "policy_kwargs": kwargs}
    if case.algorithm == "RecurrentPPO":
        kwargs |= {"lstm_hidden_size": 8, "n_lstm_layers": 2}
    if case.algorithm == "QRDQN":
        kwargs |= {"n_quantiles": 5}
    if policy.startswith("Cnn"):
        kwargs["features_extractor_kwargs"] = {"features_dim": 16}
    if case.algorithm in ("PPO", "MaskablePPO", "RecurrentPPO", "TRPO"):
        arguments |= {"n_steps": 32, "batch_size": 16}
    elif case.algorithm not in ("A2C", "ARS"):
        arguments |= {"buffer_size": 64, "learning_starts": 16, "batch_size": 8}
    elif case.algorithm == "ARS":
        arguments |= {"n_delta": 2}
    model = getattr(stable_baselines3 if case.algorithm in SB3 else sb3_contrib, case.algorithm)(
        policy, env, **arguments
    )
    if (case.algorithm, case.action) != ("RecurrentPPO", "MultiBinary"):  # sb3-contrib 2.9.2 cannot train this pair
        model.learn(48)
    _liven(case, model, env)
    model.save(folder / "policy.zip")
    if isinstance(env, VecNormalize):
        env.training = False
        env.save(str(folder / "vecnormalize.pkl"))
    return model, env


def _liven(case: Case, model: Any, env: Any) -> None:
    """Change the last layers until the policy does not always do the same: after 48 steps most do."""
    import torch

    start = {name: value.clone() for name, value in model.policy.state_dict().items()}
    last = ("action_net", "actor.mu", "q_net.q_net.2", "quantile_net.quantile_net.2", "lstm_actor")
    space = OBSERVATIONS[case.observation]
    space.seed(2)
    rows = [_lit(space.sample(), i) for i in range(60)]
    if "frames" in case.observation:
        rows = [np.concatenate([*([np.zeros_like(row)] * (i % FRAMES)), *([row] * (FRAMES - i % FRAMES))], axis=-1)
                for i, row in enumerate(rows)]  # fmt: skip
    for attempt in range(120):
        size = (0.5, 0.1, 0.02, 0.004, 2.0)[attempt % 5]
        torch.manual_seed(attempt)
        with torch.no_grad():
            for name, parameter in model.policy.named_parameters():
                if name.startswith(last) and "target" not in name:
                    parameter.copy_(start[name] + torch.randn_like(parameter) * size)
        if case.algorithm in ("DQN", "QRDQN"):
            _centre(model, [_one(row, env) for row in rows])
        actions = np.stack([model.predict(_one(row, env), deterministic=True)[0] for row in rows])
        if np.unique(actions, axis=0, return_counts=True)[1].max() < 0.9 * len(actions):
            return


def _centre(model: Any, rows: list[Any]) -> None:
    """Let no action be better than the others on the average."""
    import torch

    values = model.quantile_net if hasattr(model, "quantile_net") else model.q_net
    last = (values.quantile_net if hasattr(values, "quantile_net") else values.q_net)[2]
    with torch.no_grad():
        mean = torch.cat([values(model.policy.obs_to_tensor(row)[0]) for row in rows]).mean(dim=0)
        if mean.ndim == 2:
            mean = mean.mean(dim=0, keepdim=True).expand_as(mean)
        last.bias.sub_(mean.reshape(-1))


def _one(row: Any, env: Any) -> Any:
    """One observation as ``predict`` takes it."""
    from stable_baselines3.common.vec_env import VecNormalize

    batch = (
        {key: np.asarray(part)[None] for key, part in row.items()} if isinstance(row, dict) else np.asarray(row)[None]
    )
    batch = _channels_first(batch)
    return env.normalize_obs(batch) if isinstance(env, VecNormalize) else batch


def measure(case: Case, folder: Path, rows: int = 200) -> Row:
    """Train, save, read, export, and compare the graph with ``model.predict`` of the model that was trained."""
    from gate5.checkpoint import fetch, read
    from gate5.config.candidate import ExportConfig
    from gate5.export import ONNXExporter
    from gate5.export.compare import run_graph
    from gate5.parity.difference import difference

    model, env = train(case, folder)
    frames = FRAMES if "frames" in case.observation else 1
    normalised = (folder / "vecnormalize.pkl").exists()
    checkpoint = read(fetch(folder, vecnormalize=None if normalised else "none"), frame_stack=frames)
    graph = ONNXExporter(ExportConfig()).trace(checkpoint)
    inputs, expected = _sequence(case, model, env if normalised else None, checkpoint, rows)
    found = difference(expected, run_graph(graph, inputs), checkpoint.signature)
    actions = expected[:, : checkpoint.act_dim]
    error = float("nan") if found.max_abs_error is None else found.max_abs_error
    return Row(case, error, found.ties, found.compared, bool((actions != actions[:1]).any()))


def _sequence(case: Case, model: Any, normalise: Any, checkpoint: Any, rows: int) -> tuple[Any, Any]:
    """Input rows of a few steps, and what ``predict`` gives for them, states included."""
    from gate5.checkpoint.reference import join_rows
    from gate5.checkpoint.signature import StatefulRows

    space = OBSERVATIONS[case.observation]
    space.seed(1)
    steps, batch = (4, rows // 4) if checkpoint.signature.state else (1, rows)
    driver = StatefulRows(checkpoint.signature)
    inputs, outputs = [], []
    state = None
    stacked: Any = None
    for step in range(steps):
        samples = [_lit(space.sample(), step * batch + i) for i in range(batch)]
        raw: Any = np.stack(samples) if not isinstance(samples[0], dict) else None
        raw = {key: np.stack([s[key] for s in samples]) for key in samples[0]} if raw is None else raw
        channels_first = _channels_first(raw)
        mask = masks_of(ACTIONS[case.action], batch, step) if case.algorithm == "MaskablePPO" else None
        given = driver.inputs(_flat(channels_first, batch, mask))
        seen = raw
        if checkpoint.policy.frames > 1:
            size = raw.shape[-1] * (FRAMES - 1)
            start = np.zeros((*raw.shape[:-1], size), raw.dtype)
            before = start if stacked is None else stacked[..., raw.shape[-1] :]
            seen = stacked = np.concatenate([before, raw], axis=-1)
        seen = _channels_first(seen)
        seen = normalise.normalize_obs(seen) if normalise is not None else seen
        extra: dict[str, Any] = {} if mask is None else {"action_masks": mask}
        if case.algorithm == "RecurrentPPO":
            extra = {"state": state, "episode_start": np.full(batch, step == 0)}
        action, state = model.predict(seen, deterministic=True, **extra)
        after = [] if state is None else [state[part][layer] for layer in range(2) for part in (0, 1)]
        if checkpoint.policy.frames > 1:
            kept = _channels_first(stacked[..., raw.shape[-1] :])
            after = [kept, *after]
        out = join_rows(checkpoint.signature, np.asarray(action).reshape(batch, -1), after)
        driver.actions(out)
        inputs.append(given)
        outputs.append(out)
    return np.concatenate(inputs), np.concatenate(outputs)


def _lit(value: Any, seed: int) -> Any:
    """An image in some light: noise alone looks the same to a CNN every time."""
    if isinstance(value, dict):
        return {key: _lit(part, seed) for key, part in value.items()}
    if getattr(value, "dtype", None) != np.uint8:
        return value
    light = np.random.default_rng(seed).uniform(0.0, 1.0, (1, value.shape[1], 1))
    return (value * np.sort(light, axis=1) ** np.random.default_rng(seed).uniform(0.2, 5.0)).astype(np.uint8)


def _channels_first(value: Any) -> Any:
    """As VecTransposeImage gives an image of bytes."""
    if isinstance(value, dict):
        return {key: _channels_first(part) for key, part in value.items()}
    return np.transpose(value, (0, 3, 1, 2)) if value.ndim == 4 and value.dtype == np.uint8 else value


def _flat(value: Any, batch: int, mask: Any) -> Any:
    parts = list(value.values()) if isinstance(value, dict) else [value]
    parts += [] if mask is None else [mask]
    return np.concatenate([np.asarray(part, dtype=np.float32).reshape(batch, -1) for part in parts], axis=1)
