"""TensorRT on the GPU of this machine; see ``gate5.engine.tensorrt``."""

from __future__ import annotations

from typing import Any, ClassVar

from gate5.config.engine import EngineConfig
from gate5.engine.base import BuiltEngine, Engine
from gate5.engine.kind import Backend, Part


class TensorRT(Backend):
    """TensorRT 8.5, 10 and 11."""

    name: ClassVar[str] = "tensorrt"
    title: ClassVar[str] = "TensorRT"
    rank: ClassVar[int] = 30
    package: ClassVar[str] = "tensorrt"
    needs_gpu: ClassVar[bool] = True
    keep_warm_ms: ClassVar[int | None] = 1
    other_bytes: ClassVar[str | None] = (
        "TensorRT's builder takes the kernels that were quickest when it timed them, on the GPU, at that moment"
    )

    def missing(self) -> str | None:
        from gate5.engine.tensorrt.available import missing

        return missing()

    def parts(self) -> tuple[Part, ...]:
        from gate5.engine.tensorrt import parts

        return (parts.DRIVER, parts.GPU, parts.TENSORRT, parts.PYCUDA, parts.BINDINGS)

    def build(self, onnx: bytes, config: EngineConfig, *, timing_cache: bytes | None = None) -> BuiltEngine:
        from gate5.engine.tensorrt.builder import TensorRTExporter

        return TensorRTExporter(config).build(onnx, timing_cache=timing_cache)

    def runs_on(self) -> tuple[str, dict[str, str]] | None:
        from gate5.engine.tensorrt import gpu

        try:
            import tensorrt
        except ImportError:
            return None
        device = gpu.name()
        return None if device is None else (device, {self.name: str(tensorrt.__version__)})

    def load(self, blob: bytes, metadata: dict[str, Any], *, threads: int = 1) -> Engine:
        from gate5.engine.tensorrt.runtime import TensorRTEngine

        return TensorRTEngine.open(blob, metadata)

    def timing_place(self) -> str | None:
        import tensorrt

        from gate5.engine.tensorrt.gpu import Gpu

        gpu = Gpu()
        try:
            found = gpu.identity()
        finally:
            gpu.release()
        return f"{found['gpu']}-sm{found['compute_capability']}-tensorrt-{tensorrt.__version__}"


BACKEND = TensorRT()
