"""What a backend is: how to know whether it can be had, how to build an engine with it and how to open one."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from gate5.config.engine import EngineConfig
from gate5.engine.base import BuiltEngine, Engine


@dataclass(frozen=True)
class Part:
    """Something that a backend needs of a machine.

    Attributes:
        name: for a reader; a part that two backends share has one name in both.
        look: what was found, such as a version; raises ``ImportError`` or ``Gate5Error`` where it is not there.
        remedy: how to get it.
    """

    name: str
    look: Callable[[], str]
    remedy: str


def installed(module: str, package: str | None = None) -> str:
    """The version of a package, found by importing ``module`` of it (``None``: the package itself).

    Raises:
        ImportError: it is not there.
    """
    package = package or module
    loaded, top = importlib.import_module(module), importlib.import_module(package)
    version = getattr(top, "__version__", None) or getattr(top, "VERSION_TEXT", None)
    return str(version or getattr(loaded, "__version__", "version unknown"))


class Backend(ABC):
    """One way to run a policy.

    Attributes:
        name: as in ``engine.backend``; the name of its module in ``gate5.engine.backends``.
        title: for a reader.
        rank: ``auto`` takes the backend of the highest rank that can be had.
        package: what it imports.
        judge: the library that runs the exported graph when this backend's engine is compared with it; another one than
            the backend's own, because a library agrees with itself.
        needs_gpu: whether its engines are built and run on a GPU.
        keep_warm_ms: how often an idle engine is run, lest its device cools down; ``None``: it need not be.
        other_bytes: why two builds of one graph have other bytes; ``None``: they have the same.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rank: ClassVar[int]
    package: ClassVar[str]
    judge: ClassVar[str] = "onnxruntime"
    needs_gpu: ClassVar[bool] = False
    keep_warm_ms: ClassVar[int | None] = None
    other_bytes: ClassVar[str | None] = None

    @abstractmethod
    def missing(self) -> str | None:
        """What stands between this machine and an engine, as half a sentence; ``None``: nothing."""

    def parts(self) -> tuple[Part, ...]:
        """What it needs, in the order in which the parts build on each other, for ``gate5 doctor``.

        The part called ``title`` is the library itself: without it there is no engine.
        """
        return (Part(self.title, lambda: installed(self.package), f"pip install {self.package}"),)

    def lacking_to_build(self) -> str | None:
        """The same for building alone, which may need less than running."""
        return self.missing()

    def elsewhere(self, metadata: dict[str, Any]) -> str | None:
        """Why a built engine cannot run on this machine, one sentence; ``None``: it can, or the load will say."""
        return None

    @abstractmethod
    def build(self, onnx: bytes, config: EngineConfig, *, timing_cache: bytes | None = None) -> BuiltEngine:
        """Build an engine from an exported graph; see ``gate5.engine.build``."""

    @abstractmethod
    def load(self, blob: bytes, metadata: dict[str, Any], *, threads: int = 1) -> Engine:
        """Open a built engine in this thread; see ``gate5.engine.load``."""

    def runs_on(self) -> tuple[str, dict[str, str]] | None:
        """The device's name and the library's version, as a loaded engine would say them; nothing is loaded for it.

        ``None``: only a loaded engine can say.
        """
        return None

    def target(self, config: EngineConfig) -> str:
        """What an engine of a configuration is for, whatever machine builds it."""
        return self.name

    def precision(self, config: EngineConfig) -> str:
        """The precision that a configuration asks for."""
        return config.precision

    def timing_place(self) -> str | None:
        """The hardware and version whose timing caches a build here can use; ``None``: there is no such thing."""
        return None
