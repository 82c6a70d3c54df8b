"""The TensorRT builder and runtime on imitations of TensorRT and PyCUDA in NumPy.

No GPU is at hand where the tests run, and single faults (a boolean that is false, a builder that gives nothing) cannot
be had from a real one. Names and signatures are held against the real bindings in test_tensorrt_api.py; the real thing
on a GPU is scripts/gpu_check.py.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gate5.config import EngineConfig, ProfileConfig
from gate5.engine import EngineController
from gate5.engine.tensorrt import compat, trial
from gate5.engine.tensorrt.builder import TensorRTExporter
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import ConfigError, EngineError

WEIGHT = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


class Cuda:
    """PyCUDA's driver module: contexts are counted, memory is NumPy's, an address is a key."""

    class Error(Exception): ...

    def __init__(self) -> None:
        self.depth, self.memory, self.next = 0, dict[int, Any](), 1
        self.released = 0
        self.Context = SimpleNamespace(pop=self._pop)
        self.host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
        self.Stream = lambda: SimpleNamespace(handle=7, synchronize=self._current)
        self.Event = lambda: SimpleNamespace(record=lambda stream: None, time_since=lambda other: 0.01)

    def init(self) -> None: ...

    def Device(self, ordinal: int) -> Any:  # noqa: N802
        context = SimpleNamespace(push=self._push, detach=lambda: setattr(self, "released", self.released + 1))
        return SimpleNamespace(
            retain_primary_context=lambda: context,
            compute_capability=lambda: (9, 0),
            name=lambda: "Imitation",
            total_memory=lambda: 1 << 30,
        )

    def get_driver_version(self) -> int:
        return 12040

    def pagelocked_zeros(self, shape: Any, dtype: Any, mem_flags: int = 0) -> Any:
        self._current()
        key, self.next = self.next, self.next + 1
        buffer = Buffer(shape, key, self)
        self.memory[key] = buffer
        return buffer

    def mem_alloc(self, size: int) -> Any:
        self._current()
        key, self.next = self.next, self.next + 1
        self.memory[key] = np.zeros(size // 4, np.float32)
        return DeviceMemory(key, self)

    def memcpy_htod_async(self, to: Any, array: Any, stream: Any) -> None:
        self.memory[int(to)][:] = array.ravel()

    def memcpy_dtoh_async(self, array: Any, source: Any, stream: Any) -> None:
        array[...] = self.memory[int(source)].reshape(array.shape)

    def _push(self) -> None:
        self.depth += 1

    def _pop(self) -> None:
        assert self.depth > 0, "popped more often than pushed"
        self.depth -= 1

    def _current(self) -> None:
        assert self.depth > 0, "no context is current"


class Buffer(np.ndarray[Any, Any]):
    """A page-locked array: ``base`` knows its address and is freed once."""

    def __new__(cls, shape: Any, key: int, cuda: Cuda) -> Buffer:
        made = np.zeros(shape, np.float32).view(cls)
        made.key, made.cuda = key, cuda  # type: ignore[attr-defined]
        return made

    @property
    def base(self) -> Any:
        key, cuda = self.key, self.cuda  # type: ignore[attr-defined]
        return SimpleNamespace(get_device_pointer=lambda: key, free=lambda: cuda.memory.pop(key))


class DeviceMemory:
    def __init__(self, key: int, cuda: Cuda) -> None:
        self.key, self.cuda = key, cuda

    def __int__(self) -> int:
        return self.key

    def free(self) -> None:
        self.cuda.memory.pop(self.key)


class Context:
    """An execution context that computes ``clip(obs @ WEIGHT)``; ``refuses`` names the call that gives ``False``."""

    def __init__(self, cuda: Cuda, refuses: list[str]) -> None:
        self.cuda, self.refuses = cuda, refuses
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self.shape = shape
        return "set_input_shape" not in self.refuses

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return "set_tensor_address" not in self.refuses

    def execute_async_v3(self, stream_handle: int) -> bool:
        if "execute_async_v3" in self.refuses:
            return False
        obs, action = (self.cuda.memory[self.addresses[name]] for name in ("obs", "action"))
        result = np.clip(np.asarray(obs).reshape(self.shape) @ WEIGHT, -1, 1)
        np.asarray(action).reshape(-1, 3)[:] = result
        return True


class Trt:
    """The module ``tensorrt``; version 8 or 11 by its flags."""

    def __init__(self, cuda: Cuda, typed: bool) -> None:
        self.__version__ = "11.4" if typed else "8.5.3.1"
        self.refuses: list[str] = []
        self.config = Config(self)
        self.networks: list[int] = []
        self.ILogger = type("ILogger", (), {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2})
        self.LayerInformationFormat = SimpleNamespace(JSON=0)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE=0)
        self.ProfilingVerbosity = SimpleNamespace(DETAILED=1)
        self.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        self.DataType = SimpleNamespace(FLOAT="float")
        self.LayerType = SimpleNamespace(CONSTANT="constant")
        self.ICudaEngine = SimpleNamespace(num_io_tensors=0)
        self.types = "FP16 | f16f16"
        self.engine = SimpleNamespace(
            num_io_tensors=2,
            get_tensor_name=lambda index: ("obs", "action")[index],
            get_tensor_mode=lambda name: {"obs": "in", "action": "out"}[name],
            get_tensor_shape=lambda name: (-1, 8 if name == "obs" else 3),
            get_tensor_dtype=lambda name: "float",
            get_tensor_profile_shape=lambda name, index: [(1, 8), (1, 8), (16, 8)],
            create_execution_context=lambda: None if "context" in self.refuses else Context(cuda, self.refuses),
            create_engine_inspector=lambda: SimpleNamespace(get_engine_information=lambda form: self._layers()),
        )
        if typed:
            self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
            self.BuilderFlag = SimpleNamespace(TF32="tf32")
        else:
            self.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)
            self.BuilderFlag = SimpleNamespace(TF32="tf32", FP16="fp16", OBEY_PRECISION_CONSTRAINTS="obey")

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        self.logger = logger
        return SimpleNamespace(
            create_network=self._network,
            create_builder_config=lambda: self.config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *sizes: setattr(self, "sizes", sizes)),
            build_serialized_network=self._plan,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        problem = SimpleNamespace(desc=lambda: "No importer for Frobnicate", node=lambda: 3)
        return SimpleNamespace(
            parse=lambda graph: "parse" not in self.refuses, num_errors=1, get_error=lambda index: problem
        )

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        self.logger = logger
        return SimpleNamespace(deserialize_cuda_engine=self._deserialise)

    def _network(self, flags: int) -> Any:
        self.networks.append(flags)
        return SimpleNamespace(num_layers=0, get_input=lambda index: SimpleNamespace(shape=(-1, 8)))

    def _plan(self, network: Any, config: Any) -> bytes | None:
        if "build" in self.refuses:
            self.logger.log(self.ILogger.ERROR, "out of GPU memory")  # type: ignore[attr-defined]
            return None
        return b"plan"

    def _deserialise(self, blob: bytes) -> Any:
        if "deserialise" in self.refuses:
            self.logger.log(self.ILogger.ERROR, "magic tag does not match")  # type: ignore[attr-defined]
            return None
        return self.engine

    def _layers(self) -> str:
        return json.dumps({"Layers": [{"Name": "/body/body.0/Gemm", "TacticName": self.types}]})


class Config:
    """IBuilderConfig: notes what was set."""

    def __init__(self, trt: Trt) -> None:
        self._trt, self.flags, self.cleared = trt, list[str](), list[str]()
        self.offered: list[bytes] = []
        self._cache: Any = None

    def set_flag(self, flag: str) -> None:
        self.flags.append(flag)

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None: ...

    def set_tactic_sources(self, mask: int) -> bool:
        return mask == 0

    def add_optimization_profile(self, profile: Any) -> int:
        return -1 if "profile" in self._trt.refuses else 0

    def create_timing_cache(self, content: bytes) -> Any:
        self.offered.append(content)
        return SimpleNamespace(content=content, serialize=lambda: b"cache after")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "a cache of another GPU must not be used"
        fits: bool = cache.content != b"of another GPU"
        if fits:
            self._cache = cache
        return fits

    def get_timing_cache(self) -> Any:
        return self._cache


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=made))
    monkeypatch.setitem(sys.modules, "pycuda.driver", made)
    monkeypatch.setattr(trial, "deserialise", lambda blob, digest: None)
    return made


@pytest.fixture(params=["8.5", "11"])
def trt(request: pytest.FixtureRequest, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> Trt:
    made = Trt(cuda, request.param == "11")
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    return made


def _settings(**changes: Any) -> EngineConfig:
    return EngineConfig(backend="tensorrt", profile=ProfileConfig(max_batch=16), **changes)


@pytest.fixture
def opened(trt: Trt, cuda: Cuda, graph: bytes) -> Callable[..., TensorRTEngine]:
    def make(path: str = "stream") -> TensorRTEngine:
        built = TensorRTExporter(_settings()).build(graph)
        return TensorRTEngine.open(built.blob, built.metadata, path)

    return make


def test_build(trt: Trt, cuda: Cuda, graph: bytes) -> None:
    built = TensorRTExporter(_settings(tactic_sources=0)).build(graph, timing_cache=b"mine")
    typed = trt.__version__ == "11.4"
    assert built.blob == b"plan"
    assert built.timing_cache == b"cache after"
    assert trt.networks == [2 if typed else 1]  # STRONGLY_TYPED or EXPLICIT_BATCH
    assert trt.config.flags == ([] if typed else ["fp16", "obey"])
    assert trt.config.cleared == ["tf32"]
    metadata = built.metadata
    assert metadata["onnx_sha256"] == hashlib.sha256(graph).hexdigest()
    assert metadata["build"]["graph_sha256"] != metadata["onnx_sha256"]  # the body was lowered
    assert metadata["build"]["timing_cache_reused"]
    assert (metadata["precision"], metadata["batch_max"], metadata["device"]) == ("fp16", 16, "Imitation")
    assert (cuda.depth, cuda.released) == (0, 1)


def test_fp32_is_left_as_it_is(trt: Trt, graph: bytes) -> None:
    trt.types = "FP32"
    built = TensorRTExporter(_settings(precision="fp32")).build(graph)
    assert trt.config.flags == []
    assert trt.config.cleared == ["tf32"]  # TF32 alone costs 6e-4
    assert built.metadata["build"]["graph_sha256"] == built.metadata["onnx_sha256"]


def test_fp16_that_gave_fp32_fails(trt: Trt, cuda: Cuda, graph: bytes) -> None:
    trt.types = "FP32"
    with pytest.raises(EngineError, match="FP16 was asked for"):
        TensorRTExporter(_settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


def test_timing_cache_of_another_gpu_is_not_used(trt: Trt, graph: bytes) -> None:
    built = TensorRTExporter(_settings()).build(graph, timing_cache=b"of another GPU")
    assert trt.config.offered == [b"of another GPU", b""]
    assert not built.metadata["build"]["timing_cache_reused"]


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        ("parse", r"No importer for Frobnicate \(node 3\)"),
        ("build", "out of GPU memory"),
        ("profile", "refuses the profile"),
        ("deserialise", "magic tag does not match"),
    ],
)
def test_every_refusal_of_the_builder_is_told(trt: Trt, cuda: Cuda, graph: bytes, refused: str, text: str) -> None:
    trt.refuses.append(refused)
    with pytest.raises(EngineError, match=text):
        TensorRTExporter(_settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


def test_settings_that_cannot_be(trt: Trt, graph: bytes) -> None:
    with pytest.raises(EngineError, match="tactic_sources: 512"):
        TensorRTExporter(_settings(tactic_sources=512)).build(graph)
    if not compat.strongly_typed(trt):
        with pytest.raises(ConfigError, match="needs TensorRT 10"):
            TensorRTExporter(_settings(precision="bf16")).build(graph)
    del trt.ICudaEngine.num_io_tensors
    with pytest.raises(ConfigError, match="too old"):
        TensorRTExporter(_settings()).build(graph)


@pytest.mark.parametrize("path", ["stream", "copies"])
def test_infer(opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Any, path: str) -> None:
    expected = np.clip(observations @ WEIGHT, -1, 1)
    with opened(path) as engine:
        for batch in (1, 5, 16):
            np.testing.assert_allclose(engine.infer(observations[:batch]), expected[:batch], atol=1e-6)
        out = np.full((1, 3), np.nan, np.float32)
        assert engine.infer(observations[:1], out) is out
        np.testing.assert_allclose(out, expected[:1], atol=1e-6)
        np.testing.assert_allclose(EngineController(engine).predict(observations[:40])[0], expected[:40], atol=1e-6)
        assert set(engine.split(observations[:1])) >= {"copy_in_ms", "compute_ms", "copy_out_ms"}
        assert cuda.depth == 0


def test_everything_is_freed(opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Any) -> None:
    """At most eight batch sizes keep buffers; after close nothing is left, and no context is."""
    for path in ("stream", "copies"):
        released = cuda.released
        engine = opened(path)
        for batch in range(1, 17):
            engine.infer(observations[:batch])
        assert len(engine._slots) == 8
        assert 1 in engine._slots  # the one that has to be fast is never the one to go
        engine.close()
        engine.close()
        assert cuda.memory == {}
        assert cuda.depth == 0
        assert cuda.released == released + 2  # one for the build, one for the engine


def test_without_cuda_bindings_the_stream_path_is_taken(
    opened: Callable[..., TensorRTEngine], monkeypatch: pytest.MonkeyPatch, observations: Any
) -> None:
    from gate5.engine.tensorrt import slot

    monkeypatch.setattr(slot, "driver_module", lambda: None)
    with opened("graph") as engine:
        assert engine.info.path == "stream"
        assert np.isfinite(engine.infer(observations[:1])).all()


@pytest.mark.parametrize(
    "refused", ["set_input_shape", "set_tensor_address", "execute_async_v3", "context", "deserialise"]
)
def test_every_false_is_an_error(
    trt: Trt, opened: Callable[..., TensorRTEngine], cuda: Cuda, graph: bytes, refused: str
) -> None:
    """The earlier runtime ignored them and handed out whatever lay in the buffer."""
    built = TensorRTExporter(_settings()).build(graph)
    trt.refuses.append(refused)
    with pytest.raises(EngineError):
        TensorRTEngine.open(built.blob, built.metadata, "stream")
    assert cuda.depth == 0
    assert cuda.released == 2


def test_engine_that_stops_running(
    trt: Trt, opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Any
) -> None:
    with opened() as engine:
        engine.poison()
        assert np.isnan(np.asarray(engine._slots[1].output)).all()
        trt.refuses.append("execute_async_v3")
        with pytest.raises(EngineError, match="did not run"):
            engine.infer(observations[:1])
        assert cuda.depth == 0


def test_other_tensors_than_ours(trt: Trt, cuda: Cuda, graph: bytes) -> None:
    built = TensorRTExporter(_settings()).build(graph)
    with pytest.raises(EngineError, match=r"it has to be float32 \(-1, 9\)"):
        TensorRTEngine.open(built.blob, {**built.metadata, "obs_dim": 9}, "stream")
