"""Keys of a ``Dict`` of any form, ``norm_obs_keys``, and spaces that are rare."""

from __future__ import annotations

import io
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from gate5.checkpoint import CheckpointFiles, read
from gate5.config.candidate import ExportConfig
from gate5.errors import CheckpointError
from gate5.export import ONNXExporter
from gate5.export.compare import run_graph

_BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def _model(space: Any, keys: list[str] | None = None, algorithm: str = "PPO") -> tuple[Any, Any]:
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    class Plant(gymnasium.Env[Any, Any]):
        observation_space = space
        action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    env: Any = DummyVecEnv([Plant])
    if keys is not None:
        env = VecNormalize(env, norm_obs_keys=keys, training=False)
    kind = "MultiInput" if isinstance(space, spaces.Dict) else "Mlp"
    kind += "LstmPolicy" if algorithm == "RecurrentPPO" else "Policy"
    library = stable_baselines3 if hasattr(stable_baselines3, algorithm) else sb3_contrib
    model = getattr(library, algorithm)(kind, env, device="cpu", seed=0, policy_kwargs={"net_arch": [8]})
    with torch.no_grad():
        model.policy.action_net.weight.normal_(0, 1.0)
    return model, env


def _archive(model: Any) -> bytes:
    buffer = io.BytesIO()
    model.save(buffer)
    return buffer.getvalue()


def test_any_key_has_an_input() -> None:
    """Keys that are no names in ONNX, or the names of something else: at first they were refused."""
    keys = ["obs", "action", "action_mask", "agent-pos", "agent_pos", "my key", "1st", "température", "a/b", "a_before"]
    space = spaces.Dict([(key, _BOX) for key in [*keys, "a"]])
    model, _ = _model(space)
    checkpoint = read(CheckpointFiles(_archive(model), None, "x"))
    names = [port.name for port in checkpoint.signature.inputs]
    assert len(set(names)) == len(space)
    assert all(name.isidentifier() and name.isascii() for name in names)
    assert names[3:6] == ["agent_pos", "agent_pos_", "my_key"]
    rows = np.random.default_rng(0).uniform(-1, 1, (50, len(space), 2)).astype(np.float32)
    expected, _ = model.predict({key: rows[:, i] for i, key in enumerate(space)}, deterministic=True)
    graph = ONNXExporter(ExportConfig()).trace(checkpoint)
    np.testing.assert_allclose(run_graph(graph, rows.reshape(50, -1)), expected, atol=1e-5)


def test_key_that_is_the_name_of_a_state() -> None:
    model, _ = _model(spaces.Dict({"lstm_hidden_0": _BOX, "x": _BOX}), algorithm="RecurrentPPO")
    checkpoint = read(CheckpointFiles(_archive(model), None, "x"))
    assert [port.name for port in checkpoint.signature.inputs][:3] == ["lstm_hidden_0_", "x", "lstm_hidden_0"]


def test_keys_that_are_no_longer_normalised() -> None:
    """``norm_obs_keys`` says which are; it can be narrower than the statistics."""
    model, env = _model(spaces.Dict({"a": _BOX, "b": _BOX}), ["a", "b"])
    for statistics in env.obs_rms.values():
        statistics.mean, statistics.var = statistics.mean + 0.5, statistics.var * 0.1
    rows = np.random.default_rng(0).uniform(-1, 1, (50, 4)).astype(np.float32)
    for keys in (["a", "b"], ["b"], []):
        env.norm_obs_keys = keys
        checkpoint = read(CheckpointFiles(_archive(model), pickle.dumps(env), "x"))
        seen = env.normalize_obs({"a": rows[:, :2], "b": rows[:, 2:]})
        expected, _ = model.predict(seen, deterministic=True)
        graph = ONNXExporter(ExportConfig()).trace(checkpoint)
        np.testing.assert_allclose(run_graph(graph, rows), expected, atol=1e-5)
    env.norm_obs_keys = ["c"]
    with pytest.raises(CheckpointError, match="norm_obs_keys"):
        read(CheckpointFiles(_archive(model), pickle.dumps(env), "x"))


def test_bits_in_two_dimensions() -> None:
    space = spaces.MultiBinary((2, 3))
    model, _ = _model(space)
    observations = np.stack([space.sample() for _ in range(30)])
    graph = ONNXExporter(ExportConfig()).trace(read(CheckpointFiles(_archive(model), None, "x")))
    found = run_graph(graph, observations.reshape(30, -1).astype(np.float32))
    np.testing.assert_allclose(found, model.predict(observations, deterministic=True)[0], atol=1e-5)
