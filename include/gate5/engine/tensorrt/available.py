"""Whether this machine can build and run TensorRT engines, and what it lacks."""

from __future__ import annotations


def missing() -> str | None:
    """What stands between this machine and a TensorRT engine, as half a sentence; ``None``: nothing."""
    try:
        import tensorrt  # noqa: F401
    except ImportError as error:
        return f"TensorRT is not there ({error})"
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        return f"PyCUDA is not there ({error})"
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        return f"the CUDA driver does not answer ({error})"
    return None if count else "there is no GPU"
