"""The built engine, not the PyTorch policy, drives the plant; and it drives it as the policy does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate5 import engine
from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.candidate import ExportConfig
from gate5.config.engine import EngineConfig
from gate5.config.evaluation import EvaluationConfig
from gate5.evaluation import EvaluationReporter
from gate5.evaluation.observations import collect_observations
from gate5.export import ONNXExporter
from gate5.plant.sco2.plant import SCO2Plant

GOOD = Path(__file__).parents[2] / "examples" / "checkpoints" / "good"


def test_the_engine_s_episodes_are_counted_and_agree_with_the_policy_s() -> None:
    plant, checkpoint = SCO2Plant(), read(fetch(str(GOOD)))
    policy = TorchController(checkpoint.module)
    observations = collect_observations(plant, [policy], 1000)
    onnx, _ = ONNXExporter(ExportConfig(samples=1000)).export(checkpoint, observations)
    config = EngineConfig(backend="onnxruntime")
    built = engine.build(onnx, config)
    reporter = EvaluationReporter(plant, EvaluationConfig(episodes=3))
    with engine.load(built.blob, built.metadata) as loaded:
        row = reporter.scenario("emergency_trip", engine.EngineController(loaded), policy)
    assert (row.rl.driver, row.rl.engine_episodes) == ("onnxruntime", 3)
    assert row.baseline is not None
    assert (row.baseline.driver, row.baseline.engine_episodes) == ("", 0)
    returns = np.array(row.rl.returns, dtype=float)
    assert returns == pytest.approx(np.array(row.baseline.returns, dtype=float), abs=0.05)
