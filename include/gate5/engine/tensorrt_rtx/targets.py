"""The GPUs that a TensorRT-RTX engine is built for, by compute capability: ``sm121`` is the DGX Spark's GB10."""

from __future__ import annotations

from typing import Any

from gate5.errors import ConfigError

#: Compute capability -> what has it, for a reader.
KNOWN = {
    "sm75": "Turing",
    "sm80": "A100",
    "sm86": "GeForce RTX 30 series, A10, A40",
    "sm89": "GeForce RTX 40 series, L4, L40",
    "sm120": "GeForce RTX 50 series, RTX PRO Blackwell",
    "sm121": "GB10 (DGX Spark)",
}


def capability_of(trt: Any, target: str) -> Any:
    """TensorRT-RTX's name of a target.

    Raises:
        ConfigError: this TensorRT-RTX builds for no such GPU; the text lists those that it does build for.
    """
    names = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    if target.upper() not in names:
        listed = ", ".join(f"{name.lower()} ({KNOWN.get(name.lower(), 'another GPU')})" for name in sorted(names))
        raise ConfigError(
            f"engine.targets has {target!r}, for which TensorRT-RTX {trt.__version__} builds no engine; "
            f"it knows {listed}."
        )
    return getattr(trt.ComputeCapability, target.upper())


def named(compute_capability: str) -> str:
    """The target that fits a device's compute capability: ``sm121`` of ``12.1``."""
    return "sm" + compute_capability.replace(".", "")
