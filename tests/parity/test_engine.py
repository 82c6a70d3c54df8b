"""Parity: whatever an engine does wrong is seen, a NaN first of all.

The engines here are imitations in NumPy: only so can every single fault be had on purpose.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.config.measurement import ParityConfig
from gate5.engine.base import EngineInfo
from gate5.errors import ConfigError, EngineError
from gate5.parity.difference import difference
from gate5.parity.engine import ParityReport, compare_engine
from gate5.parity.probes import probes
from gate5.plant.base import Float32

WEIGHT = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
LOW, HIGH = np.full(4, -3.0, np.float32), np.full(4, 3.0, np.float32)
ROLLOUT = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
CONFIG = ParityConfig(samples=200)


@pytest.fixture(scope="module")
def graph() -> bytes:
    """``action = clip(obs @ WEIGHT, -1, 1)``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", ["obs", "w"], ["x"]),
        helper.make_node("Clip", ["x", "low", "high"], ["action"]),
    ]
    tensors = [
        numpy_helper.from_array(WEIGHT, "w"),
        numpy_helper.from_array(np.array(-1, np.float32), "low"),
        numpy_helper.from_array(np.array(1, np.float32), "high"),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", 2])],
        tensors,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    buffer = io.BytesIO()
    onnx.save(model, buffer)
    return buffer.getvalue()


class Imitation:
    """An engine whose faults are chosen; its buffer is poisoned as a real one's is."""

    def __init__(self, fault: Callable[[Any, Any], Any] = lambda obs, action: action, batch_max: int = 64) -> None:
        self.info = EngineInfo("imitation", "fp16", "none", 4, 2, batch_max, {})
        self.batch_max, self.fault = batch_max, fault
        self.buffer = np.zeros((batch_max, 2), np.float32)
        self.calls = 0

    def infer(self, obs: Float32, out: Any = None) -> Any:
        self.calls += 1
        result = self.fault(obs, np.clip(obs @ WEIGHT, -1, 1))
        if result is not None:
            self.buffer[: len(obs)] = result
        action = self.buffer[: len(obs)].copy()
        if out is not None:
            out[...] = action
        return action

    def poison(self) -> None:
        self.buffer.fill(np.nan)

    def close(self) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...


def _compare(engine: Imitation, graph: bytes, rollout: Float32 = ROLLOUT) -> ParityReport:
    return compare_engine(engine, graph, rollout, LOW, HIGH, CONFIG)


def test_good_engine(graph: bytes) -> None:
    report = _compare(Imitation(), graph)
    assert report.max_abs_error is not None
    assert report.max_abs_error < 1e-5
    assert report.compared == 4 * 200
    assert report.repeat_mismatches == 0
    assert report.nan_gives_nan
    assert set(report.by_kind) == {"rollout", "interior", "corners", "far"}
    assert ParityReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report
    assert report.metrics()["parity.engine.max_abs_error"] == report.max_abs_error


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_nonfinite_number_fails(graph: bytes, value: float) -> None:
    """``if err > max_err`` never fires on NaN: the earlier comparison gave such an engine error 0.0."""

    def fault(obs: Float32, action: Any) -> Any:
        action = action.copy()
        action[obs[:, 0] > 2.9, 1] = value
        return action

    report = _compare(Imitation(fault), graph)
    assert report.max_abs_error is None
    assert report.nonfinite > 0
    assert report.metrics()["parity.engine.max_abs_error"] == math.inf
    assert report.worst is not None
    assert report.worst.actual[1] is None


def test_engine_that_does_not_run(graph: bytes) -> None:
    """Its buffers hold the last good actions; only the poison shows that nothing was written."""
    engine = Imitation()
    engine.infer(ROLLOUT[:64])
    engine.fault = lambda obs, action: None
    report = _compare(engine, graph)
    assert report.nonfinite > 0
    assert report.max_abs_error is None


def test_wrong_only_in_large_batches(graph: bytes) -> None:
    engine = Imitation(lambda obs, action: action + (0.05 if len(obs) > 1 else 0.0))
    report = _compare(engine, graph)
    assert report.batch_max_abs_error == pytest.approx(0.05, abs=1e-3)
    assert report.batch_spread == pytest.approx(0.05, abs=1e-3)
    assert report.max_abs_error == report.batch_max_abs_error
    assert report.by_kind["rollout"]["max_abs_error"] < 1e-5  # type: ignore[operator]


def test_not_repeatable(graph: bytes) -> None:
    """Differences far below any tolerance still mean that the same input does not give the same action."""
    rng = np.random.default_rng(3)
    engine = Imitation(lambda obs, action: action + rng.normal(0, 1e-6, action.shape).astype(np.float32))
    report = _compare(engine, graph)
    assert report.metrics()["parity.engine.max_abs_error"] < 1e-4  # type: ignore[operator]
    assert report.metrics()["parity.engine.repeat_mismatches"] > 0  # type: ignore[operator]


def test_worst_sample_is_kept(graph: bytes) -> None:
    engine = Imitation(lambda obs, action: np.where(obs[:, :1] == LOW[0], action + 0.2, action))
    report = _compare(engine, graph)
    assert report.worst is not None
    assert report.worst.kind == "corners"
    assert report.worst.observation[0] == LOW[0]
    assert report.max_abs_error == pytest.approx(0.2, abs=1e-5)


def test_nan_that_is_swallowed_is_told(graph: bytes) -> None:
    engine = Imitation(lambda obs, action: np.nan_to_num(action))
    assert not _compare(engine, graph).nan_gives_nan


def test_nan_that_one_number_of_many_hides_is_told(graph: bytes) -> None:
    engine = Imitation(lambda obs, action: np.where(np.isnan(obs[:, 2:3]), np.float32(0), action))
    assert not _compare(engine, graph).nan_gives_nan


def test_nothing_compared_is_missing(graph: bytes) -> None:
    report = _compare(Imitation(), graph, np.zeros((0, 4), np.float32))
    assert report.compared == 0
    assert report.metrics()["parity.engine.max_abs_error"] is None
    assert report.metrics()["parity.engine.repeat_mismatches"] is None


def test_observations_of_another_plant(graph: bytes) -> None:
    with pytest.raises(EngineError, match=r"takes \[N, 4\]"):
        compare_engine(Imitation(), graph, np.zeros((5, 3), np.float32), LOW, HIGH, CONFIG)


@pytest.mark.parametrize(
    ("backend", "reference"), [("tensorrt", "onnxruntime"), ("onnxruntime", "reference evaluator")]
)
def test_reference_is_another_implementation(graph: bytes, backend: str, reference: str) -> None:
    """An ONNX Runtime engine compared with ONNX Runtime agrees with itself whatever it computes."""
    engine = Imitation()
    engine.info = EngineInfo(backend, "fp32", "none", 4, 2, 64, {})
    report = _compare(engine, graph)
    assert reference in report.reference
    assert report.max_abs_error is not None
    assert report.max_abs_error < 1e-5


@pytest.mark.parametrize(("backend", "judge"), [("tensorrt", "onnxruntime"), ("onnxruntime", "onnx")])
def test_without_the_other_implementation_nothing_is_compared(
    graph: bytes, backend: str, judge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the engine's own library in its place, which would find no error."""
    engine = Imitation()
    engine.info = EngineInfo(backend, "fp32", "none", 4, 2, 64, {})
    monkeypatch.setitem(sys.modules, judge, None)
    with pytest.raises(ConfigError, match=f"pip install {judge}"):
        _compare(engine, graph)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_difference_is_none_exactly_where_a_number_is_not_finite(one: list[float], other: list[float]) -> None:
    """The law behind it all: a finite error means that every number was finite."""
    size = min(len(one), len(other))
    a, b = (np.array(values[:size], np.float32)[:, None] for values in (one, other))
    found = difference(a, b)
    finite = bool(np.isfinite(a).all() and np.isfinite(b).all())
    assert (found.max_abs_error is not None) == finite
    assert (found.nonfinite == 0) == finite
    if finite:
        assert found.max_abs_error == np.abs(a.astype(float) - b.astype(float)).max()


@settings(max_examples=30)
@given(st.integers(1, 50), st.integers(1, 6), st.integers(0, 10), st.booleans())
def test_probes_are_finite_and_lie_where_they_say(count: int, width: int, seed: int, bounded: bool) -> None:
    rng = np.random.default_rng(seed)
    rollout = rng.normal(size=(count, width)).astype(np.float32)
    low = np.full(width, -2.0 if bounded else -np.inf, np.float32)
    made = probes(rollout, low, -low, 100, seed)
    assert all(np.isfinite(values).all() and values.dtype == np.float32 for values in made.values())
    assert {len(made[kind]) for kind in ("interior", "corners", "far")} == {100}
    if bounded:
        assert (np.abs(made["interior"]) <= 2).all()
        assert (np.abs(made["corners"]) == 2).all()
        assert (np.abs(made["far"]) > 2).all()
    again = probes(rollout, low, -low, 100, seed)
    assert all(np.array_equal(made[kind], again[kind]) for kind in made)
