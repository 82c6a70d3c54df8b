"""What a user of a GPU worker can get wrong or run into: one sentence each, with the way out, and the right exit code.

On imitations of TensorRT and PyCUDA (tests/support/tensorrt_stand_in.py); the overflow is a real one, computed in
float16 by ONNX.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gate5.checkpoint import Checkpoint
from gate5.checkpoint.module import build_module
from gate5.checkpoint.spec import Layer, PolicySpec
from gate5.config.candidate import ExportConfig
from gate5.config.engine import EngineConfig
from gate5.config.measurement import ParityConfig
from gate5.config.models import ReleaseConfig
from gate5.engine import choose_backend
from gate5.engine.base import ConfinedEngine, EngineInfo
from gate5.engine.precision import to_fp16_body
from gate5.engine.tensorrt import compat
from gate5.engine.tensorrt.builder import TensorRTExporter
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import ConfigError, EngineError, ExportError
from gate5.export import ONNXExporter
from gate5.gate.judge import judge
from gate5.parity.engine import compare_engine
from gate5.plant.base import Float32
from tests.support.tensorrt_stand_in import Cuda, Trt

TENSORRT = EngineConfig(backend="tensorrt")


class Machine:
    """PyCUDA's ``Device``, as a class that also counts."""

    def __init__(self, device: Any, count: int) -> None:
        self.device, self.found = device, count

    def __call__(self, ordinal: int) -> Any:
        return self.device(ordinal)

    def count(self) -> int:
        return self.found


def refusal() -> str:
    """The sentence with which the demand for TensorRT is refused; it is the user's to put right."""
    with pytest.raises(ConfigError) as caught:
        choose_backend(TENSORRT)
    assert caught.value.exit_code == 2
    assert choose_backend(EngineConfig()) == "onnxruntime"  # auto goes on without
    text = str(caught.value)
    assert text.startswith("engine.backend is 'tensorrt', but ")
    assert "docs/gpu.md" in text
    assert "\n" not in text
    return text


def test_a_machine_without_a_gpu(trt: Trt, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "Device", Machine(cuda.Device, 0))
    assert "there is no GPU" in refusal()


def test_a_machine_with_a_gpu_is_taken(trt: Trt, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "Device", Machine(cuda.Device, 1))
    assert choose_backend(TENSORRT) == choose_backend(EngineConfig()) == "tensorrt"


def test_a_machine_without_a_driver(trt: Trt, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise cuda.Error("cuInit failed: no CUDA-capable device is detected")

    monkeypatch.setattr(cuda, "init", init)
    assert "no CUDA-capable device" in refusal()


def test_without_tensorrt(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "TensorRT is not there" in refusal()


def test_without_pycuda(trt: Trt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    assert "PyCUDA is not there" in refusal()


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_worker_without_onnx(
    trt: Trt, graph: bytes, settings: Callable[..., EngineConfig], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    if precision == "fp32" and compat.strongly_typed(trt):
        trt.types = "FP32"
        assert TensorRTExporter(settings(precision=precision)).build(graph).metadata["precision"] == "fp32"
        return  # the graph is taken as it is
    with pytest.raises(ConfigError, match=r"rewritten with onnx, which is not there .*; pip install onnx\.$"):
        TensorRTExporter(settings(precision=precision)).build(graph)


def test_no_memory_for_the_buffers(
    opened: Callable[..., TensorRTEngine], cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any, **__: Any) -> None:
        raise cuda.Error("cuMemHostAlloc failed: out of memory")

    monkeypatch.setattr(cuda, "pagelocked_zeros", no_memory)
    with pytest.raises(EngineError, match=r"no room for batch 1 .*out of memory") as caught:
        opened()
    assert caught.value.exit_code == 3
    assert cuda.depth == 0, "the context stays on nobody's stack"


def test_no_memory_for_a_larger_batch_leaves_batch_one_working(
    opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Float32, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any, **__: Any) -> None:
        raise cuda.Error("out of memory")

    with opened() as engine:
        before = engine.infer(observations[:1])
        with monkeypatch.context() as patch:
            patch.setattr(cuda, "pagelocked_zeros", no_memory)
            with pytest.raises(EngineError, match="no room for batch 8"):
                engine.infer(observations[:8])
        assert np.array_equal(engine.infer(observations[:1]), before)
        assert engine.infer(observations[:8]).shape == (8, 3)


def exported(first: Any, second: Any) -> tuple[bytes, Any]:
    """The graph of a policy with two linear layers and no squash, and observations for it."""
    one, wide = np.ones(1, np.float32), np.full(2, np.inf, np.float32)
    layers = tuple(Layer(np.asarray(w, np.float32), np.zeros(len(w), np.float32), a)
                   for w, a in ((first, "ReLU"), (second, None)))  # fmt: skip
    policy = PolicySpec("PPO", layers, None, False, -one, one, -wide, wide)
    made = Checkpoint(build_module(policy, None), policy, None, "x", "a" * 64, None, None, {})
    object.__setattr__(made, "reference", lambda given: (made.reference_numpy(given), "numpy float64"))
    obs = np.random.default_rng(0).uniform(1, 2, (100, 2)).astype(np.float32)
    return ONNXExporter(ExportConfig()).export(made, obs)[0], obs


def test_a_weight_that_fp16_cannot_hold_is_named() -> None:
    graph, _ = exported([[1e5, 0], [0, 1]], [[1, 1]])
    with pytest.raises(ExportError, match=r"holds 100000, more than FP16's 65504; set engine\.precision") as caught:
        to_fp16_body(graph)
    assert caught.value.exit_code == 3
    assert "weight" in str(caught.value)


class HalfEngine(ConfinedEngine):
    """Imitation of an engine: the graph that TensorRT would be given, run in float16 by ONNX's own evaluator."""

    def __init__(self, graph: bytes) -> None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        super().__init__(EngineInfo("tensorrt", "fp16", "none", 2, 1, 64, {}))
        self.run = ReferenceEvaluator(onnx.load_from_string(to_fp16_body(graph))).run

    def infer(self, obs: Float32, out: Any = None) -> Any:
        with np.errstate(all="ignore"):
            (action,) = self.run(["action"], {"obs": obs})
        result = np.zeros((len(obs), 1), np.float32) if out is None else out
        result[...] = action
        return result

    def poison(self) -> None: ...

    def __enter__(self) -> Any:
        return self


def test_an_activation_that_overflows_in_fp16_is_refused_by_the_gate() -> None:
    """Weights fit, activations do not: inf - inf is NaN in FP16 and 0 in FP32. The gate must not let it pass."""
    graph, obs = exported([[6e4, 6e4], [6e4, 6e4]], [[1, -1]])
    wide = np.full(2, np.inf, np.float32)
    report = compare_engine(HalfEngine(graph), graph, obs, -wide, wide, ParityConfig(samples=100))
    assert report.nonfinite > 0
    assert report.max_abs_error is None
    rules = [rule for rule in ReleaseConfig().gate.rules if rule.name == "engine_parity"]
    verdict = judge(rules, report.metrics(), (), 1.0)
    assert verdict.verdict == "fail"
    assert "parity.engine.max_abs_error" in verdict.reasons[0]
