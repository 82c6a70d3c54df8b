"""Where a release comes from: gate5's version and commit, the libraries' versions, the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from gate5 import __version__

LIBRARIES = (
    "numpy",
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "pycuda",
    "stable-baselines3",
    "gymnasium",
    "apache-airflow",
    "pydantic",
)


def describe() -> dict[str, Any]:
    """gate5, Python, libraries and machine, as plain JSON types."""
    return {
        "gate5": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": library_versions(),
        "machine": machine(),
    }


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The installed versions of packages, those that shape a release; what is not installed is left out."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The git commit of the source tree that gate5 runs from (``-dirty`` where it was changed), or ``None``."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return os.environ.get("GATE5_COMMIT")
    try:
        return subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, Any]:
    """The machine as a reader of measured numbers needs it; ``cpus`` are those that this process may use."""
    return {
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1),
        "memory_gib": _memory_gib(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
