"""TensorRT-RTX: built anywhere, run on the GPUs that it was built for; see ``gate5.engine.tensorrt_rtx``."""

from __future__ import annotations

from typing import Any, ClassVar

from gate5.config.engine import EngineConfig
from gate5.engine.base import BuiltEngine, Engine
from gate5.engine.kind import Backend, Part, installed
from gate5.errors import EngineError


class TensorRTRTX(Backend):
    """For the DGX Spark and GeForce or RTX PRO GPUs."""

    name: ClassVar[str] = "tensorrt_rtx"
    title: ClassVar[str] = "TensorRT-RTX"
    rank: ClassVar[int] = 20
    package: ClassVar[str] = "tensorrt_rtx"
    keep_warm_ms: ClassVar[int | None] = 1

    def missing(self) -> str | None:
        """Nothing where the library and a GPU that it supports are here; `auto` takes it there only."""
        return self.lacking_to_build() or self._no_device()

    def lacking_to_build(self) -> str | None:
        """The library is enough."""
        try:
            import tensorrt_rtx  # noqa: F401
        except ImportError as error:
            return f"TensorRT-RTX is not there ({error})"
        return None

    def elsewhere(self, metadata: dict[str, Any]) -> str | None:
        """That there is no GPU, or another one than the engine's targets."""
        from gate5.engine.tensorrt_rtx.runtime import check_target, check_version, open_gpu

        try:
            gpu = open_gpu(metadata)
        except EngineError as error:
            return str(error)
        try:
            check_target(metadata, gpu.identity())
            import tensorrt_rtx

            check_version(metadata, str(tensorrt_rtx.__version__))
        except (EngineError, ImportError) as error:
            return str(error)
        finally:
            gpu.release()
        return None

    def parts(self) -> tuple[Part, ...]:
        remedy = "pip install 'gate5[rtx]' (Linux, x86-64 or aarch64)"
        return (Part(self.title, lambda: installed(self.package), remedy),)

    def target(self, config: EngineConfig) -> str:
        return " ".join([self.name, *sorted(config.targets)])

    def build(self, onnx: bytes, config: EngineConfig, *, timing_cache: bytes | None = None) -> BuiltEngine:
        from gate5.engine.tensorrt_rtx.builder import build

        return build(onnx, config)

    def runs_on(self) -> tuple[str, dict[str, str]] | None:
        from gate5.engine.tensorrt import gpu

        try:
            import tensorrt_rtx
        except ImportError:
            return None
        device = gpu.name()
        return None if device is None else (device, {self.name: str(tensorrt_rtx.__version__)})

    def load(self, blob: bytes, metadata: dict[str, Any], *, threads: int = 1) -> Engine:
        from gate5.engine.tensorrt_rtx.runtime import TensorRTRTXEngine

        return TensorRTRTXEngine.open(blob, metadata)

    def _no_device(self) -> str | None:
        from gate5.engine.tensorrt.gpu import Gpu
        from gate5.engine.tensorrt_rtx.targets import KNOWN, named

        try:
            gpu = Gpu()
        except EngineError as error:
            return str(error)
        try:
            own = named(str(gpu.identity()["compute_capability"]))
        finally:
            gpu.release()
        return None if own in KNOWN else f"TensorRT-RTX does not support this GPU ({own})"


BACKEND = TensorRTRTX()
