"""The shipped policies as FP16 engines: what a GPU would build of them, run by ONNX Runtime in FP16 on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.candidate import ExportConfig
from gate5.engine.precision import lower_body
from gate5.evaluation.observations import collect_observations
from gate5.export import ONNXExporter
from gate5.plant.sco2 import SCO2Plant

CHECKPOINTS = Path(__file__).parents[2] / "examples" / "checkpoints"


@pytest.mark.parametrize(("name", "observation"), [("good", "measured"), ("full-observation", "full")])
def test_a_shipped_policy_can_be_an_fp16_engine(name: str, observation: str) -> None:
    """Its weights fit into FP16, and what FP16 rounds is below what Gate 5 allows an engine."""
    checkpoint = read(fetch(str(CHECKPOINTS / name)))
    plant = SCO2Plant(observation=observation)
    observations = collect_observations(plant, [TorchController(checkpoint.module)], 1000)
    graph, _ = ONNXExporter(ExportConfig()).export(checkpoint, observations)

    def run(model: bytes) -> np.ndarray:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(["action"], {"obs": observations})[0])

    error = np.abs(run(lower_body(graph, "fp16")) - run(graph)).max()
    assert 0.0 < error < 1e-2
