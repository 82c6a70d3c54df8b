"""``gate5 doctor``: what this machine has for releasing and running policies, what it lacks, and how to get it."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from gate5 import __version__
from gate5.config.models import EngineConfig, ReleaseConfig
from gate5.engine import choose_backend
from gate5.engine.backends import backend as backend_of
from gate5.errors import ConfigError, EngineError, Gate5Error
from gate5.io.paths import resolve_path
from gate5.store import open_store

_REMEDY = {
    "driver": "install NVIDIA's driver (580 or newer for CUDA 13; JetPack brings its own), docs/gpu.md",
    "TensorRT": "pip install tensorrt==10.16.1.11; on a Jetson it comes with JetPack (python3-libnvinfer), docs/gpu.md",
    "PyCUDA": "pip install pycuda, with the CUDA toolkit (nvcc, cuda.h) on the machine, docs/gpu.md",
    "cuda-bindings": "pip install cuda-bindings (cuda-python 11.x on JetPack 5); without it there is no CUDA graph",
    "ONNX Runtime": "pip install onnxruntime",
    "onnx": "pip install onnx",
    "PyTorch": "pip install torch; needed where policies are exported, not where engines run",
    "store": "correct store.uri, its credentials or its server",
    "signing key": "gate5 keygen",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for; ``remedy`` says how to get it and is empty where it is there."""

    name: str
    there: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """What ``examine`` found.

    Attributes:
        findings: one per thing, in the order in which they build on each other.
        configured: ``engine.backend`` of the configuration.
        backend: what it comes to on this machine; ``None``: it cannot run here.
        problem: why not, one sentence.
    """

    findings: tuple[Finding, ...]
    configured: str
    backend: str | None
    problem: str | None

    @property
    def exit_code(self) -> int:
        """0, or 2 where the configured backend cannot run."""
        return 0 if self.problem is None else ConfigError.exit_code

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "findings": [asdict(finding) for finding in self.findings]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DoctorReport:
        """The inverse of ``to_dict``."""
        return cls(**{**data, "findings": tuple(Finding(**row) for row in data["findings"])})

    def line(self) -> str:
        """A line per finding, how to get what is missing, and the conclusion."""
        width = max(len(finding.name) for finding in self.findings)
        rows = []
        for finding in self.findings:
            rows.append(f"{'✓' if finding.there else '–'} {finding.name:<{width}}  {finding.found}")
            if finding.remedy:
                rows.append(f"  {'':<{width}}  to get it: {finding.remedy}")
        if self.problem:
            return "\n".join([*rows, f"✗ engine.backend: {self.configured} cannot run here: {self.problem}"])
        return "\n".join([*rows, f"✓ engine.backend: {self.configured} comes to {self.backend}"])


def examine(config: ReleaseConfig) -> DoctorReport:
    """Look at this machine; nothing is changed, and no error of what is looked at ends the examination."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("driver", _driver),
        ("GPU", _gpu),
        ("TensorRT", _tensorrt),
        ("PyCUDA", lambda: _package("pycuda.driver", "pycuda")),
        ("cuda-bindings", _bindings),
        ("ONNX Runtime", lambda: _package("onnxruntime", "onnxruntime")),
        ("onnx", lambda: _package("onnx", "onnx")),
        ("PyTorch", lambda: _package("torch", "torch")),
        ("store", lambda: _store(config)),
        ("signing key", lambda: _key(config)),
    )
    findings = [Finding("gate5", True, f"{__version__}, Python {platform.python_version()}, {platform.machine()}")]
    findings += [_look(name, check) for name, check in checks]
    backend, problem = _backend(config.engine, findings)
    return DoctorReport(tuple(findings), config.engine.backend, backend, problem)


def _look(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except ImportError as error:
        return Finding(name, False, f"not there ({error})", _REMEDY.get(name, ""))
    except Gate5Error as error:
        return Finding(name, False, str(error), _REMEDY.get(name, ""))
    except Exception as error:  # noqa: BLE001 - a broken library must not hide what the others say
        return Finding(name, False, f"broken ({type(error).__name__}: {error})", _REMEDY.get(name, ""))


def _backend(settings: EngineConfig, findings: list[Finding]) -> tuple[str | None, str | None]:
    try:
        backend = choose_backend(settings)
    except Gate5Error as error:
        return None, str(error)
    title = backend_of(backend).title
    library = next((finding for finding in findings if finding.name == title), None)
    if library is not None and not library.there:
        return None, f"{title} is {library.found}; {library.remedy}."
    return backend, None


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


def _package(module: str, package: str) -> str:
    loaded = importlib.import_module(module)
    top = importlib.import_module(package)
    version = getattr(top, "__version__", None) or getattr(top, "VERSION_TEXT", None)
    return str(version or getattr(loaded, "__version__", "version unknown"))


def _store(config: ReleaseConfig) -> str:
    store = open_store(config.store)
    store.backend.list("channels/", limit=1)
    return f"{store.uri} answers"


def _key(config: ReleaseConfig) -> str:
    store = open_store(config.store)
    store.signer  # noqa: B018 - reading the property loads the key
    return str(resolve_path(config.store.signing_key))
