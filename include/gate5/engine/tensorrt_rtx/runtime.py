"""``TensorRTRTXEngine``: finishes an engine on the device that it was built for, and runs it as TensorRT's.

No GPU that this project could measure on has a compute capability that TensorRT-RTX supports: what is below has run
against imitations of the device only, with TensorRT-RTX's real builder and bindings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gate5.engine.tensorrt import compat
from gate5.engine.tensorrt.gpu import Gpu
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.engine.tensorrt_rtx import contexts
from gate5.engine.tensorrt_rtx.targets import KNOWN, named
from gate5.errors import EngineError

#: In the metadata of an engine that is opened, never of a released one: the folder that a runtime cache is kept in.
BESIDE = "beside"


class TensorRTRTXEngine(TensorRTEngine):
    """One plan for all batches; streams, buffers and CUDA graphs are ``TensorRTEngine``'s."""

    BACKEND = "tensorrt_rtx"

    def __init__(self, trt: Any, gpu: Gpu, blob: bytes, metadata: dict[str, Any], path: str) -> None:
        beside = metadata.get(BESIDE)
        self._kept = None if beside is None else Path(beside) / contexts.FILE
        super().__init__(trt, gpu, blob, metadata, path)

    def _open(self, trt: Any, blob: bytes) -> None:
        self._runtime = trt.Runtime(self._logger)
        self._stream = self._gpu.cuda.Stream()
        engine = self._deserialise(trt, blob, largest=self._info.batch_max)
        own = contexts.Contexts(trt, engine, self._stream.handle, self._kept)
        self._engine = self._wide_engine = own
        self._first = self._make(1)
        own.keep()  # the first inference has been made, so what batch 1 needs is compiled

    @classmethod
    def open(cls, blob: bytes, metadata: dict[str, Any], path: str = "graph") -> TensorRTRTXEngine:
        """Check device, version and the engine's own header before a byte more is read; then open it.

        Args:
            blob, metadata: of ``BuiltEngine``.
            path: see ``TensorRTEngine.open``.

        Raises:
            EngineError: there is no GPU, it is none of the engine's targets, or TensorRT-RTX is another version or
                finds the engine invalid here.
        """
        gpu = open_gpu(metadata)
        try:
            check_target(metadata, gpu.identity())
            trt = _library(metadata)
            with gpu:
                _check_header(trt, blob)
                return cls(trt, gpu, blob, metadata, path)
        except BaseException:
            gpu.release()
            raise


def open_gpu(metadata: dict[str, Any]) -> Gpu:
    """This machine's GPU.

    Raises:
        EngineError: there is none; says what the engine was built for.
    """
    try:
        return Gpu()
    except EngineError as error:
        targets = ", ".join(metadata.get("hardware", {}).get("targets", [])) or "no GPU at all"
        why = str(error).rstrip(".")
        raise EngineError(f"The engine was built for {targets}, and no GPU can be used here ({why}).") from None


def check_target(metadata: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse an engine that was built for other GPUs; the library is not asked, so it need not be there.

    Raises:
        EngineError: names both sides.
    """
    targets = list(metadata.get("hardware", {}).get("targets", []))
    own = named(str(here["compute_capability"]))
    if own not in targets:
        remedy = f"build it with engine.targets: [{own}]" if own in KNOWN else "TensorRT-RTX does not support this GPU"
        raise EngineError(
            f"The engine was built for {', '.join(targets) or 'no GPU at all'}, but this is {here['gpu']} ({own}): "
            f"{remedy}."
        )


def check_version(metadata: dict[str, Any], version: str) -> None:
    """Refuse an engine that another TensorRT-RTX built.

    Raises:
        EngineError: names both sides.
    """
    built = metadata.get("versions", {}).get("tensorrt_rtx")
    if built != version:
        raise EngineError(f"The engine was built by TensorRT-RTX {built}, here is {version}: build it again.")


def _library(metadata: dict[str, Any]) -> Any:
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise EngineError(f"The engine needs TensorRT-RTX, which is not there ({error}).") from None
    check_version(metadata, str(trt.__version__))
    return trt


def _check_header(trt: Any, blob: bytes) -> None:
    messages: list[str] = []
    runtime = trt.Runtime(compat.logger(trt, messages))
    validity, diagnostics = runtime.get_engine_validity(blob[: runtime.engine_header_size])
    if validity == trt.EngineValidity.INVALID:
        raise EngineError(
            f"TensorRT-RTX finds the engine invalid on this machine (diagnostics {diagnostics}): "
            f"{' / '.join(messages[-2:]) or 'it gives no reason'}"
        )
