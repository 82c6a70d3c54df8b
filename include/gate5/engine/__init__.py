"""Engines: what runs the policy at the plant.

``choose_backend`` says which, ``build`` makes one from an ONNX graph, ``load`` opens it, ``EngineController`` lets it
drive a plant.
"""

from __future__ import annotations

import hashlib
from typing import Any

from gate5.config.models import EngineConfig
from gate5.engine import onnxruntime_engine
from gate5.engine.base import BuiltEngine, Engine, EngineController, EngineInfo
from gate5.errors import ConfigError, EngineError, IntegrityError

__all__ = ["BuiltEngine", "Engine", "EngineController", "EngineInfo", "build", "choose_backend", "load", "timing_place"]

_KEYS = ("backend", "precision", "obs_dim", "act_dim", "batch_max", "onnx_sha256", "blob_sha256", "versions")


def choose_backend(config: EngineConfig) -> str:
    """``tensorrt`` or ``onnxruntime``: what ``auto`` comes to on this machine.

    Raises:
        ConfigError: ``tensorrt`` is demanded and this machine cannot run it; the text says what is missing.
    """
    if config.backend == "onnxruntime":
        return "onnxruntime"
    from gate5.engine.tensorrt.available import missing

    lacks = missing()
    if lacks is None:
        return "tensorrt"
    if config.backend == "tensorrt":
        raise ConfigError(
            f"engine.backend is 'tensorrt', but {lacks}; run this on a GPU worker (docs/gpu.md), "
            "or set engine.backend: auto or onnxruntime."
        )
    return "onnxruntime"


def timing_place(backend: str) -> str | None:
    """The GPU and TensorRT version whose timing caches a build here can use; ``None`` where there is no such thing.

    Args:
        backend: what ``choose_backend`` gave.
    """
    if backend != "tensorrt":
        return None
    import tensorrt

    from gate5.engine.tensorrt.gpu import Gpu

    gpu = Gpu()
    try:
        found = gpu.identity()
    finally:
        gpu.release()
    return f"{found['gpu']}-sm{found['compute_capability']}-tensorrt-{tensorrt.__version__}"


def build(onnx: bytes, config: EngineConfig, *, timing_cache: bytes | None = None) -> BuiltEngine:
    """Build an engine from an exported graph.

    Args:
        onnx: what ``ONNXExporter`` wrote.
        config: backend, precision, profile.
        timing_cache: TensorRT's cache of an earlier build on the same GPU and version; others ignore it.

    Raises:
        ConfigError: the backend cannot be had here.
        EngineError: the backend refuses the graph, or the engine is not what was asked for.
    """
    if choose_backend(config) == "tensorrt":
        from gate5.engine.tensorrt.builder import TensorRTExporter

        return TensorRTExporter(config).build(onnx, timing_cache=timing_cache)
    return onnxruntime_engine.build(onnx, config)


def load(blob: bytes, metadata: dict[str, Any], *, threads: int = 1) -> Engine:
    """Open a built engine in this thread.

    Args:
        blob, metadata: of ``BuiltEngine``.
        threads: ONNX Runtime's intra-op threads.

    Raises:
        IntegrityError: the blob is not the one that the metadata describes.
        EngineError: the metadata is not an engine's, the hardware is another, or the library refuses.
    """
    lacking = [key for key in _KEYS if key not in metadata]
    if lacking:
        raise EngineError(f"The engine's metadata lacks {', '.join(lacking)}; build the engine again.")
    found = hashlib.sha256(blob).hexdigest()
    if found != metadata["blob_sha256"]:
        raise IntegrityError(
            f"The engine's bytes have the SHA-256 {found}, but its metadata says {metadata['blob_sha256']}: "
            "the file is damaged or belongs to another engine; build it again."
        )
    if metadata["backend"] == "tensorrt":
        from gate5.engine.tensorrt.runtime import TensorRTEngine

        return TensorRTEngine.open(blob, metadata)
    if metadata["backend"] == "onnxruntime":
        return onnxruntime_engine.ONNXRuntimeEngine(blob, metadata, threads)
    raise EngineError(f"The engine's backend is {metadata['backend']!r}; this gate5 knows tensorrt and onnxruntime.")
