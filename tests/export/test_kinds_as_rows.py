"""Graphs with several inputs and outputs as rows, in FP32 and with their body in FP16: what engines are built from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from gate5.checkpoint import fetch, read
from gate5.config.candidate import ExportConfig
from gate5.engine.precision import to_fp16_body
from gate5.engine.rows import as_rows
from gate5.export import ONNXExporter
from gate5.export.compare import run_graph
from gate5.parity.difference import difference
from scripts.policy_kinds import Case, train

CASES = [
    Case("RecurrentPPO", "Box", "Box"), Case("PPO", "Dict", "Box"), Case("PPO", "image in a Dict", "Box"),
    Case("DQN", "image", "Discrete"), Case("SAC", "frames", "Box"), Case("MaskablePPO", "Box", "MultiDiscrete"),
    Case("CrossQ", "Box(2, 3)", "Box"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_rows(tmp_path: Path, case: Case) -> None:
    """One input, one output, the same numbers; in FP16 within an engine's tolerance, and with its states in FP32."""
    train(case, tmp_path)
    normalised = (tmp_path / "vecnormalize.pkl").exists()
    frames = 3 if "frames" in case.observation else 1
    checkpoint = read(fetch(tmp_path, vecnormalize=None if normalised else "none"), frame_stack=frames)
    signature = checkpoint.signature
    graph = ONNXExporter(ExportConfig()).trace(checkpoint)
    rows = as_rows(graph)
    assert as_rows(rows) == rows
    proto = onnx.load_from_string(rows)
    assert [item.name for item in proto.graph.input] == ["obs"]
    assert [item.name for item in proto.graph.output] == ["action"]
    given = np.abs(np.random.default_rng(0).normal(size=(200, sum(port.size for port in signature.inputs))))
    whole = signature.whole_columns()
    given[:, whole] = np.clip(np.round(given[:, whole]), 0, 1)
    given = given.astype(np.float32)
    expected = run_graph(graph, given)
    session = onnxruntime.InferenceSession(graph)
    parts = np.split(given, np.cumsum([port.size for port in signature.inputs])[:-1], axis=1)
    ports = zip(parts, signature.inputs, strict=True)
    named = {port.name: part.reshape(len(given), *port.shape) for part, port in ports}
    outputs = session.run([port.name for port in signature.outputs], named)
    np.testing.assert_array_equal(np.concatenate([o.reshape(len(given), -1) for o in outputs], axis=1), expected)
    low = onnxruntime.InferenceSession(to_fp16_body(rows)).run(["action"], {"obs": given})[0]
    found = difference(expected, low, signature, tie=1e-2)
    assert found.max_abs_error is not None
    assert found.max_abs_error < 1e-2
    if case.algorithm == "RecurrentPPO":
        np.testing.assert_array_equal(low[:, signature.acted :], expected[:, signature.acted :])
