"""ONNX Runtime on the CPU: the engine where there is no GPU."""

from __future__ import annotations

import hashlib
import time
from typing import Any, ClassVar

import numpy as np

from gate5.config.engine import EngineConfig
from gate5.engine.base import BuiltEngine, ConfinedEngine, Engine, EngineInfo, Float32
from gate5.engine.kind import Backend
from gate5.errors import EngineError
from gate5.provenance import cpu_name

_PROVIDERS = ["CPUExecutionProvider"]


def build(onnx: bytes, config: EngineConfig) -> BuiltEngine:
    """Prove that ONNX Runtime takes the graph; the graph itself is the engine.

    Raises:
        EngineError: onnxruntime is missing or refuses the graph.
    """
    session = open_session(onnx, config.threads)
    obs_dim, act_dim = _sizes(session)
    digest = hashlib.sha256(onnx).hexdigest()
    metadata = {
        "backend": "onnxruntime",
        "precision": "fp32",
        "device": cpu_name(),
        "obs_dim": obs_dim,
        "act_dim": act_dim,
        "batch_max": config.profile.max_batch,
        "onnx_sha256": digest,
        "blob_sha256": digest,
        "versions": _versions(),
        "hardware": {},
        "build": {"threads": config.threads},
    }
    return BuiltEngine(onnx, metadata)


class ONNXRuntimeEngine(ConfinedEngine):
    """Runs the graph on one thread; batch 1 goes through buffers that are bound once."""

    def __init__(self, blob: bytes, metadata: dict[str, Any], threads: int = 1) -> None:
        """Open a session.

        Raises:
            EngineError: onnxruntime is missing or refuses the graph, or the sizes are not those of ``metadata``.
        """
        self._session = open_session(blob, threads)
        obs_dim, act_dim = _sizes(self._session)
        if (obs_dim, act_dim) != (metadata["obs_dim"], metadata["act_dim"]):
            raise EngineError(
                f"The engine's graph takes {obs_dim} observations and gives {act_dim} actions, but its metadata says "
                f"{metadata['obs_dim']} and {metadata['act_dim']}: they belong to different engines."
            )
        super().__init__(
            EngineInfo(
                backend="onnxruntime",
                precision="fp32",
                device=cpu_name(),
                obs_dim=obs_dim,
                act_dim=act_dim,
                batch_max=int(metadata["batch_max"]),
                versions=_versions(),
                path="io binding, batch 1; run(), larger batches",
            )
        )
        self._input = np.zeros((1, obs_dim), np.float32)
        self._output = np.full((1, act_dim), np.nan, np.float32)
        self._binding = self._session.io_binding()
        # Raw addresses: the arrays live as long as the engine, and a call only copies the numbers.
        self._binding.bind_input("obs", "cpu", 0, np.float32, self._input.shape, self._input.ctypes.data)
        self._binding.bind_output("action", "cpu", 0, np.float32, self._output.shape, self._output.ctypes.data)

    def infer(self, obs: Float32, out: Float32 | None = None) -> Float32:
        """See ``Engine.infer``."""
        self._check(obs, out)
        try:
            if obs.shape[0] == 1:
                self._input[...] = obs
                self._session.run_with_iobinding(self._binding)
                result = self._output
            else:
                result = self._session.run(["action"], {"obs": obs})[0]
        except Exception as error:  # onnxruntime's classes have no common root
            raise EngineError(f"ONNX Runtime failed: {error}") from error
        if out is None:
            return result.copy() if result is self._output else result
        out[...] = result
        return out

    def split(self, obs: Float32) -> dict[str, float]:
        """One inference at batch 1 in its parts: copy in, compute, copy out, milliseconds."""
        self._check(obs, None)
        clock = time.perf_counter_ns
        begin = clock()
        self._input[...] = obs
        copied = clock()
        self._session.run_with_iobinding(self._binding)
        computed = clock()
        self._output.copy()
        end = clock()
        return {
            "copy_in_ms": (copied - begin) / 1e6,
            "compute_ms": (computed - copied) / 1e6,
            "copy_out_ms": (end - computed) / 1e6,
        }

    def poison(self) -> None:
        """See ``Engine.poison``; larger batches get a new array from ONNX Runtime each time."""
        self._output.fill(np.nan)

    def close(self) -> None:
        """Let the session and its buffers go."""
        if not self._closed:
            super().close()
            del self._binding, self._session

    def __enter__(self) -> ONNXRuntimeEngine:
        return self


def open_session(model: bytes, threads: int = 1) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU, the same for the engine and for what is compared with it.

    Raises:
        EngineError: onnxruntime is missing or refuses the graph.
    """
    try:
        import onnxruntime
    except ImportError:
        raise EngineError("onnxruntime is missing: pip install onnxruntime.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=_PROVIDERS)
    except Exception as error:  # onnxruntime's classes have no common root
        raise EngineError(f"ONNX Runtime does not take the graph: {str(error).splitlines()[0]}") from error


def _sizes(session: Any) -> tuple[int, int]:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = ([item.name for item in inputs], [item.name for item in outputs])
    if names != (["obs"], ["action"]) or any(item.type != "tensor(float)" for item in (*inputs, *outputs)):
        raise EngineError(f"The graph has inputs and outputs {names}; it has to have `obs` and `action`, both float32.")
    return int(inputs[0].shape[1]), int(outputs[0].shape[1])


def _versions() -> dict[str, str]:
    import onnxruntime

    return {"onnxruntime": str(onnxruntime.__version__)}


class ONNXRuntime(Backend):
    """The embedded default, where there is no GPU."""

    name: ClassVar[str] = "onnxruntime"
    title: ClassVar[str] = "ONNX Runtime"
    rank: ClassVar[int] = 10
    package: ClassVar[str] = "onnxruntime"
    judge: ClassVar[str] = "onnx"

    def missing(self) -> str | None:
        """Nothing, as far as a configuration goes: where onnxruntime is not installed, the build says so."""
        return None

    def precision(self, config: EngineConfig) -> str:
        return "fp32"

    def build(self, onnx: bytes, config: EngineConfig, *, timing_cache: bytes | None = None) -> BuiltEngine:
        return build(onnx, config)

    def runs_on(self) -> tuple[str, dict[str, str]] | None:
        try:
            return cpu_name(), _versions()
        except ImportError:
            return None

    def load(self, blob: bytes, metadata: dict[str, Any], *, threads: int = 1) -> Engine:
        return ONNXRuntimeEngine(blob, metadata, threads)


BACKEND = ONNXRuntime()
