"""Execution contexts of TensorRT-RTX: with what was compiled here before, and with its own CUDA graph if need be.

The device finishes an engine when it is first run (just in time). What it compiled is kept in a runtime cache beside
the release, so that a restart need not compile again; TensorRT-RTX itself refuses a cache of another device or version.
It has met imitations of a device only.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from gate5.errors import EngineError
from gate5.io.files import write_atomically

#: Beside a release's manifest; no part of the release.
FILE = "runtime-cache.bin"


class Contexts:
    """A deserialised engine as ``Slot`` wants it: whatever it is asked it hands on, but makes contexts its own way.

    Args:
        trt: TensorRT-RTX's module.
        engine: deserialised.
        stream: handle of the stream that will run it.
        kept: the file of the runtime cache; ``None``: nothing is kept.
    """

    def __init__(self, trt: Any, engine: Any, stream: int, kept: Path | None) -> None:
        self._trt, self._engine, self._stream, self._kept = trt, engine, stream, kept
        self._settings = engine.create_runtime_config()
        self._compiled = self._settings.create_runtime_cache()
        self.known = self._read()
        if not self._settings.set_runtime_cache(self._compiled):
            raise EngineError("TensorRT-RTX refuses its own runtime cache.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def create_execution_context(self) -> Any:
        """A context that the caller can capture; where that is not possible, one that captures itself."""
        strategy = self._trt.CudaGraphStrategy
        self._settings.cuda_graph_strategy = strategy.DISABLED
        context = self._engine.create_execution_context(self._settings)
        if context is None or context.is_stream_capturable(self._stream):
            return context
        self._settings.cuda_graph_strategy = strategy.WHOLE_GRAPH_CAPTURE
        return self._engine.create_execution_context(self._settings)

    def keep(self) -> None:
        """Write what has been compiled since, for the next start; a disk that refuses costs that start some time."""
        if self._kept is not None and not self.known:
            with contextlib.suppress(OSError):
                write_atomically(self._kept, bytes(memoryview(self._compiled.serialize())))
                self.known = True

    def _read(self) -> bool:
        if self._kept is None:
            return False
        try:
            data = self._kept.read_bytes()
        except OSError:
            return False
        return bool(self._compiled.deserialize(data))
