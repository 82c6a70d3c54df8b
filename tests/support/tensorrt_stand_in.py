"""Imitations of TensorRT and PyCUDA in NumPy.

No GPU is at hand where the tests run, and single faults (a boolean that is false, a builder that gives nothing) cannot
be had from a real one. Names and signatures are held against the real bindings in tests/engine/test_tensorrt_api.py;
the real thing on a GPU is benchmarks/gpu/checks.py.
"""

from __future__ import annotations

import json
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

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
        context = SimpleNamespace(push=self._push, detach=self._detach)
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

    def _detach(self) -> None:
        """As PyCUDA does: a primary context that is current is also taken off the stack."""
        self.released += 1
        self.depth = max(self.depth - 1, 0)

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

    def __init__(self, cuda: Cuda, refuses: list[str], profiles: list[Any]) -> None:
        self.cuda, self.refuses, self.profiles = cuda, refuses, profiles
        self.addresses: dict[str, int] = {}
        self.profile = -1

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self.profile = profile_index
        return "set_optimization_profile_async" not in self.refuses

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self.shape = shape
        low, _, high = self.profiles[self.profile]
        fits = self.profile >= 0 and low[0] <= shape[0] <= high[0] and (shape[0] == 1) == (high[0] == 1)
        return fits and "set_input_shape" not in self.refuses

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


class Engine(SimpleNamespace):
    """A deserialised plan; whether it still lives can be seen."""


class Trt:
    """The module ``tensorrt``; version 8 or 11 by its flags.

    Attributes:
        networks: the flags of every network that was made.
        profiles: those of every plan that was built, by plan.
        graphs: the graph of every plan, by plan.
        pieces: what the inspector shows of a plan whose graph has ``Einsum``; without: ordinary layers.
        compiled: in such a plan, the kind of the weights.
        offset: of the tensors' widths in plans for larger batches; another than 0 is a mistake.
    """

    def __init__(self, cuda: Cuda, typed: bool) -> None:
        self.__version__ = "11.4" if typed else "8.5.3.1"
        self.refuses: list[str] = []
        self.config = Config(self)
        self.networks: list[int] = []
        self.profiles: dict[bytes, list[Any]] = {}
        self.graphs: dict[bytes, bytes] = {}
        self.pieces: list[str] = []
        self.compiled: type[np.floating[Any]] = np.float16
        self.ILogger = type("ILogger", (), {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2})
        self.LayerInformationFormat = SimpleNamespace(JSON=0)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE=0)
        self.ProfilingVerbosity = SimpleNamespace(DETAILED=1)
        self.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        self.DataType = SimpleNamespace(FLOAT="float")
        self.LayerType = SimpleNamespace(CONSTANT="constant")
        self.ICudaEngine = SimpleNamespace(num_io_tensors=0)
        self.offset = 0
        self.opened: list[weakref.ref[Engine]] = []
        self.types = "FP16 | f16f16"
        self.engine = SimpleNamespace(
            num_io_tensors=2,
            get_tensor_name=lambda index: ("obs", "action")[index],
            get_tensor_mode=lambda name: {"obs": "in", "action": "out"}[name],
            get_tensor_shape=lambda name: (-1, 8 if name == "obs" else 3),
            get_tensor_dtype=lambda name: "float",
            create_execution_context=lambda profiles: (
                None if "context" in self.refuses else Context(cuda, self.refuses, profiles)
            ),
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
            create_optimization_profile=self._profile,
            build_serialized_network=self._plan,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        problem = SimpleNamespace(desc=lambda: "No importer for Frobnicate", node=lambda: 3)
        return SimpleNamespace(parse=partial(self._parse, network), num_errors=1, get_error=lambda index: problem)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        self.logger = logger
        return SimpleNamespace(deserialize_cuda_engine=self._deserialise)

    def _network(self, flags: int) -> Any:
        self.networks.append(flags)
        self.sizes: list[Any] = []
        return SimpleNamespace(num_layers=0, get_input=lambda index: SimpleNamespace(shape=(-1, 8)))

    def _profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda name, *sizes: self.sizes.append(sizes))

    def _parse(self, network: Any, graph: bytes) -> bool:
        network.graph = graph
        return "parse" not in self.refuses

    def _plan(self, network: Any, config: Any) -> bytes | None:
        compiles = b"Einsum" in network.graph
        if "build" in self.refuses or (compiles and "compile" in self.refuses):
            self.logger.log(self.ILogger.ERROR, "out of GPU memory")  # type: ignore[attr-defined]
            return None
        plan = b"plan %d" % len(self.profiles)
        if compiles and self.pieces:
            plan += b"".join(matrix.astype(self.compiled).T.tobytes() for matrix in weights(network.graph))
        self.profiles[plan], self.graphs[plan] = self.sizes, network.graph
        return plan

    def _deserialise(self, blob: bytes) -> Any:
        if "deserialise" in self.refuses or blob not in self.profiles:
            self.logger.log(self.ILogger.ERROR, "magic tag does not match")  # type: ignore[attr-defined]
            return None
        profiles = self.profiles[blob]
        shapes = profiles[:-1] if "other profiles" in self.refuses else profiles
        wide = profiles[0][2][0] > 1
        if wide and "deserialise wide" in self.refuses:
            return None
        own = {
            # a plan for one batch size only is static
            "get_tensor_shape": lambda name: (
                -1 if (wide or len(profiles) > 1) and "static" not in self.refuses else 1,
                self.engine.get_tensor_shape(name)[1] + self.offset * wide,
            ),
            "num_optimization_profiles": len(shapes),
            "get_tensor_profile_shape": lambda name, index: shapes[index],
            # no Python function in between: a test looks at the frame that called
            "create_execution_context": partial(self.engine.create_execution_context, profiles),
            "create_engine_inspector": lambda: SimpleNamespace(
                get_engine_information=lambda form: self._layers(self.graphs[blob])
            ),
        }
        opened = Engine(**{**vars(self.engine), **own})
        self.opened.append(weakref.ref(opened))
        return opened

    def _layers(self, graph: bytes) -> str:
        names = [name for name in self.pieces if b"Einsum" in graph] or ["/body/body.0/Gemm"]
        return json.dumps({"Layers": [{"Name": name, "TacticName": self.types} for name in names]})


def weights(graph: bytes) -> list[Any]:
    """The matrices of a graph."""
    arrays = [numpy_helper.to_array(item) for item in onnx.load_from_string(graph).graph.initializer]
    return [array for array in arrays if array.ndim == 2]


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
        return SimpleNamespace(content=content, serialize=lambda: b"after plan %d" % (len(self._trt.profiles) - 1))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "a cache of another GPU must not be used"
        fits: bool = cache.content != b"of another GPU"
        if fits:
            self._cache = cache
        return fits

    def get_timing_cache(self) -> Any:
        return self._cache
