"""CrossQ's BatchRenorm: with observations in physical units, which it exists for, and with odd statistics."""

from __future__ import annotations

import io
from typing import Any

import gymnasium
import numpy as np
import onnxruntime
import pytest
import torch
from gymnasium import spaces

from gate5.checkpoint import CheckpointFiles, read
from gate5.config.candidate import ExportConfig
from gate5.engine.precision import to_fp16_body
from gate5.engine.rows import as_rows
from gate5.errors import CheckpointError
from gate5.export import ONNXExporter
from gate5.export.compare import run_graph


def _model(space: Any, mean: float, std: float, **settings: Any) -> Any:
    from sb3_contrib import CrossQ

    class Plant(gymnasium.Env[Any, Any]):
        observation_space = space
        action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    model = CrossQ("MlpPolicy", Plant(), device="cpu", seed=0, buffer_size=1,
                   policy_kwargs={"net_arch": [16, 16], **settings})  # fmt: skip
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for name, tensor in model.policy.actor.state_dict().items():
            if name == "latent_pi.0.ra_mean":
                tensor.fill_(mean)
            elif name == "latent_pi.0.ra_var":
                tensor.fill_(std**2)
            elif name.endswith(("ra_mean", "bias")) and "latent" in name:
                tensor.copy_(torch.from_numpy(rng.normal(0, 0.3, tensor.shape)))
            elif name.endswith(("ra_var", "scale")):
                tensor.copy_(torch.from_numpy(rng.uniform(0.0 if "var" in name else -2.0, 2.0, tensor.shape)))
            elif name == "mu.weight":
                tensor.copy_(torch.from_numpy(rng.normal(0, 0.4, tensor.shape)))
            elif name == "mu.bias":
                tensor.zero_()
    model.policy.set_training_mode(False)
    return model


def _read(model: Any) -> Any:
    buffer = io.BytesIO()
    model.save(buffer)
    return read(CheckpointFiles(buffer.getvalue(), None, "x"))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (300.0, 0.5), (700.0, 1e-3), (1e5, 10.0), (2e7, 1e3)])
@pytest.mark.parametrize("settings", [{}, {"batch_norm_eps": 1e-6}], ids=["", "eps"])
def test_physical_units(mean: float, std: float, settings: dict[str, Any]) -> None:
    """Folded into the first layer, an observation of 700 +- 0.001 cost 4e-3 of the action, over the gate's limit."""
    model = _model(spaces.Box(-np.inf, np.inf, (4,), np.float32), mean, std, **settings)
    rows = np.random.default_rng(1).normal(mean, std, (500, 4)).astype(np.float32)
    expected = model.predict(rows, deterministic=True)[0]
    assert expected.std(axis=0).min() > 0.001
    checkpoint = _read(model)
    graph = ONNXExporter(ExportConfig()).trace(checkpoint)
    np.testing.assert_allclose(run_graph(graph, rows), expected, atol=2e-5)
    np.testing.assert_allclose(checkpoint.reference_numpy(rows), expected, atol=2e-5)
    assert checkpoint.reference(rows)[1].startswith("stable_baselines3")


def test_in_fp16() -> None:
    """The statistics of the observations stay in FP32."""
    model = _model(spaces.Box(-np.inf, np.inf, (4,), np.float32), 2e7, 1e3)
    rows = np.random.default_rng(1).normal(2e7, 1e3, (500, 4)).astype(np.float32)
    low = to_fp16_body(as_rows(ONNXExporter(ExportConfig()).trace(_read(model))))
    found = onnxruntime.InferenceSession(low).run(["action"], {"obs": rows})[0]
    np.testing.assert_allclose(found, model.predict(rows, deterministic=True)[0], atol=1e-2)


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiBinary(3), spaces.Box(-1, 1, (2, 3))], ids=str)
def test_other_spaces(space: Any) -> None:
    model = _model(space, 0.2, 0.4)
    observations = np.stack([space.sample() for _ in range(50)])
    graph = ONNXExporter(ExportConfig()).trace(_read(model))
    found = run_graph(graph, observations.reshape(50, -1).astype(np.float32))
    np.testing.assert_allclose(found, model.predict(observations, deterministic=True)[0], atol=2e-5)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_statistics_that_cannot_be(value: float) -> None:
    model = _model(spaces.Box(-1.0, 1.0, (4,), np.float32), 0.0, 1.0)
    with torch.no_grad():
        model.policy.actor.latent_pi[0].ra_var.fill_(value)
    with pytest.raises(CheckpointError):
        _read(model)
