"""Engines: what runs the policy at the plant.

``choose_backend`` says which of ``backends``, ``build`` makes one from an ONNX graph, ``load`` opens it, and
``EngineController`` lets it drive a plant.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from gate5.checkpoint.signature import Signature
from gate5.config.backends import AUTO, BACKENDS
from gate5.config.engine import EngineConfig
from gate5.engine.backends import backend, ranked
from gate5.engine.base import BuiltEngine, Engine, EngineController, EngineInfo
from gate5.engine.rows import as_rows, signature_of_graph
from gate5.errors import ConfigError, EngineError, IntegrityError

__all__ = [
    "BuiltEngine", "Engine", "EngineController", "EngineInfo", "build", "choose_backend", "elsewhere", "load",
    "timing_place",
]  # fmt: skip

_KEYS = ("backend", "precision", "obs_dim", "act_dim", "batch_max", "onnx_sha256", "blob_sha256", "versions")


def choose_backend(config: EngineConfig) -> str:
    """The backend's name: what ``auto`` comes to on this machine.

    Raises:
        ConfigError: the backend that is demanded cannot be had here, or none can; the text says what is missing.
    """
    if config.backend != AUTO:
        lacks = backend(config.backend).lacking_to_build()
        if lacks is None:
            return config.backend
        where = "run this on a GPU worker (docs/gpu.md), or " if backend(config.backend).needs_gpu else ""
        others = " or ".join([AUTO, *(name for name in BACKENDS if name != config.backend)])
        raise ConfigError(f"engine.backend is {config.backend!r}, but {lacks}; {where}set engine.backend to {others}.")
    lacking = []
    for found in ranked():
        lacks = found.missing()
        if lacks is None:
            return found.name
        lacking.append(f"{found.title}: {lacks}")
    raise ConfigError(f"No backend can be had on this machine ({'; '.join(lacking)}).")


def elsewhere(metadata: dict[str, Any]) -> str | None:
    """Why a built engine cannot run on this machine, one sentence; ``None``: it can, or ``load`` will say.

    Args:
        metadata: of ``BuiltEngine``.
    """
    return backend(metadata["backend"]).elsewhere(metadata)


def timing_place(name: str) -> str | None:
    """The GPU and TensorRT version whose timing caches a build here can use; ``None`` where there is no such thing.

    Args:
        name: what ``choose_backend`` gave.
    """
    return backend(name).timing_place()


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
    rows = as_rows(onnx)
    built = backend(choose_backend(config)).build(rows, config, timing_cache=timing_cache)
    signature = signature_of_graph(onnx)
    if signature is None or signature.plain:
        return built
    own = {"onnx_sha256": hashlib.sha256(onnx).hexdigest(), "signature": signature.to_dict()}
    return replace(built, metadata={**built.metadata, **own})


def load(blob: bytes, metadata: dict[str, Any], *, threads: int = 1, beside: Path | None = None) -> Engine:
    """Open a built engine in this thread.

    Args:
        blob, metadata: of ``BuiltEngine``.
        threads: ONNX Runtime's intra-op threads.
        beside: a folder of this machine where a backend may keep what makes the next start quicker; ``None``: nothing.

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
    if metadata["backend"] not in BACKENDS:
        raise EngineError(f"The engine's backend is {metadata['backend']!r}; this gate5 knows {', '.join(BACKENDS)}.")
    here = {name: value for name, value in metadata.items() if name != "beside"}  # a file's word is not taken for it
    if beside is not None:
        here["beside"] = str(beside)
    loaded: Any = backend(metadata["backend"]).load(blob, here, threads=threads)
    signature = _signature(metadata)
    if signature is not None:
        loaded.signature = signature
    return loaded  # type: ignore[no-any-return]


def _signature(metadata: dict[str, Any]) -> Signature | None:
    """What an engine's rows are; ``None``: observations in, actions out."""
    try:
        return Signature.from_dict(metadata["signature"]) if metadata.get("signature") else None
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"The engine's metadata has a damaged signature ({error!r}); build the engine again."
        ) from None
