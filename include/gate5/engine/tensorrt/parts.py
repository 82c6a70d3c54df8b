"""What TensorRT needs of a machine, one by one, for ``gate5 doctor``."""

from __future__ import annotations

from gate5.config.engine import EngineConfig
from gate5.engine.kind import Part, installed
from gate5.errors import EngineError


def _driver() -> str:
    from gate5.engine.tensorrt.gpu import driver_version

    version = driver_version()
    if version == "unknown":
        raise EngineError("no NVIDIA driver answers (a Jetson does not say its version either)")
    return version


def _gpu() -> str:
    from gate5.engine.tensorrt.gpu import Gpu

    gpu = Gpu()
    try:
        found = gpu.identity()
    finally:
        gpu.release()
    return (
        f"{found['gpu']}, compute capability {found['compute_capability']}, {found['memory_mib']} MiB, "
        f"CUDA up to {found['cuda_driver']}"
    )


def _tensorrt() -> str:
    """The version, and which of the ways in ``compat`` it takes."""
    import tensorrt as trt

    from gate5.engine.tensorrt import compat

    compat.check_settings(trt, EngineConfig())
    way = "strongly typed networks" if compat.strongly_typed(trt) else "FP16 flag and bound layers"
    return f"{trt.__version__}, {way}"


def _bindings() -> str:
    from gate5.engine.tensorrt.graph import driver_module

    module = driver_module()
    if module is None:
        raise ImportError("neither cuda.bindings.driver nor cuda.cuda; engines run without a CUDA graph, slower")
    return str(module.__name__)


DRIVER = Part(
    "driver", _driver, "install NVIDIA's driver (580 or newer for CUDA 13; JetPack brings its own), docs/gpu.md"
)
GPU = Part("GPU", _gpu, "")
TENSORRT = Part(
    "TensorRT",
    _tensorrt,
    "pip install tensorrt==10.16.1.11; on a Jetson it comes with JetPack (python3-libnvinfer), docs/gpu.md",
)
PYCUDA = Part(
    "PyCUDA",
    lambda: installed("pycuda.driver", "pycuda"),
    "pip install pycuda, with the CUDA toolkit (nvcc, cuda.h) on the machine, docs/gpu.md",
)
BINDINGS = Part(
    "cuda-bindings",
    _bindings,
    "pip install cuda-bindings (cuda-python 11.x on JetPack 5); without it there is no CUDA graph",
)
