"""The GPU: its primary context, what identifies it, and its clocks."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from gate5.errors import EngineError

_STATE = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "pstate", "clocks_throttle_reasons.active")


class Gpu:
    """The device's primary context, which PyTorch and other CUDA runtime users share; current only while in use.

    ``with gpu:`` pushes it and pops it. Nothing stays on the thread's context stack in between, so several engines,
    threads and frameworks live together.
    """

    def __init__(self, ordinal: int = 0) -> None:
        try:
            import pycuda.driver as cuda
        except ImportError as error:
            raise EngineError(f"PyCUDA is not there ({error}); pip install pycuda.") from None
        self.cuda = cuda
        try:
            cuda.init()
            self.device = cuda.Device(ordinal)
            self._primary = self.device.retain_primary_context()
        except cuda.Error as error:
            raise EngineError(f"The GPU cannot be used ({error}).") from error
        self.push = self._primary.push
        self.pop = cuda.Context.pop

    def __enter__(self) -> Gpu:
        self.push()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pop()

    def release(self) -> None:
        """Let the primary context go; it lives on while someone else holds it."""
        self._primary.detach()

    def identity(self) -> dict[str, Any]:
        """What an engine is tied to, besides TensorRT's version."""
        major, minor = self.device.compute_capability()
        version = int(self.cuda.get_driver_version())
        return {
            "gpu": str(self.device.name()),
            "compute_capability": f"{major}.{minor}",
            "driver": driver_version(),
            "cuda_driver": f"{version // 1000}.{version % 1000 // 10}",
            "memory_mib": int(self.device.total_memory() >> 20),
        }


def name(ordinal: int = 0) -> str | None:
    """The GPU's name, for which no context is made; ``None`` where there is no PyCUDA or no GPU."""
    try:
        import pycuda.driver as cuda
    except ImportError:
        return None
    try:
        cuda.init()
        return str(cuda.Device(ordinal).name())
    except cuda.Error:
        return None


def driver_version() -> str:
    """The NVIDIA driver's version; ``unknown`` where the system does not say (Jetson)."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"Kernel Module(?:\s+for\s+\S+)?\s+([\d.]+)", text)
    if found:
        return found.group(1)
    rows = _query(("driver_version",))
    return rows["driver_version"] if rows else "unknown"


def uuid() -> str | None:
    """The first GPU's own id; ``None`` where the system does not say it (Jetson)."""
    rows = _query(("uuid",))
    return rows["uuid"] if rows else None


def state() -> dict[str, Any]:
    """Clocks, temperature, power and throttle reasons from nvidia-smi; asked before and after, never during."""
    return _query(_STATE) or {"note": "nvidia-smi is not there or does not answer"}


def _query(fields: tuple[str, ...]) -> dict[str, str] | None:
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    arguments = [command, f"--query-gpu={','.join(fields)}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    row = next(csv.reader(done.stdout.splitlines()), [])
    return dict(zip(fields, (value.strip() for value in row), strict=False)) if len(row) == len(fields) else None
