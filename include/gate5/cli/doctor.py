"""``gate5 doctor``: what this machine has for releasing and running policies, what it lacks, and how to get it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from gate5 import __version__
from gate5.config.engine import EngineConfig
from gate5.config.models import ReleaseConfig
from gate5.engine import choose_backend
from gate5.engine.backends import backend, ranked
from gate5.engine.kind import Part, installed
from gate5.errors import ConfigError, Gate5Error
from gate5.io.paths import resolve_path
from gate5.io.plain import to_plain
from gate5.store import open_store


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
        builds_only: why engines of that backend are built here and cannot run here; ``None``: they can.
    """

    findings: tuple[Finding, ...]
    configured: str
    backend: str | None
    problem: str | None
    builds_only: str | None = None

    @property
    def exit_code(self) -> int:
        """0, or 2 where the configured backend cannot run."""
        return 0 if self.problem is None else ConfigError.exit_code

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))

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
        end = f"✓ engine.backend: {self.configured} comes to {self.backend}"
        if self.builds_only:
            end += f", which is built here and cannot run here: {self.builds_only}"
        return "\n".join([*rows, end])


def examine(config: ReleaseConfig) -> DoctorReport:
    """Look at this machine; nothing is changed, and no error of what is looked at ends the examination."""
    of_backends = {part.name: part for found in ranked() for part in found.parts()}  # a shared part is looked at once
    others = (
        Part("onnx", lambda: installed("onnx"), "pip install onnx"),
        Part(
            "PyTorch",
            lambda: installed("torch"),
            "pip install torch; needed where policies are exported, not where engines run",
        ),
        Part("store", lambda: _store(config), "correct store.uri, its credentials or its server"),
        Part("signing key", lambda: _key(config), "gate5 keygen"),
    )
    findings = [Finding("gate5", True, f"{__version__}, Python {platform.python_version()}, {platform.machine()}")]
    findings += [_look(part) for part in (*of_backends.values(), *others)]
    chosen, problem = _backend(config.engine, findings)
    builds_only = None if chosen is None else backend(chosen).missing()
    return DoctorReport(tuple(findings), config.engine.backend, chosen, problem, builds_only)


def _look(part: Part) -> Finding:
    try:
        return Finding(part.name, True, part.look())
    except ImportError as error:
        return Finding(part.name, False, f"not there ({error})", part.remedy)
    except Gate5Error as error:
        return Finding(part.name, False, str(error), part.remedy)
    except Exception as error:  # noqa: BLE001 - a broken library must not hide what the others say
        return Finding(part.name, False, f"broken ({type(error).__name__}: {error})", part.remedy)


def _backend(settings: EngineConfig, findings: list[Finding]) -> tuple[str | None, str | None]:
    try:
        chosen = choose_backend(settings)
    except Gate5Error as error:
        return None, str(error)
    title = backend(chosen).title
    library = next((finding for finding in findings if finding.name == title), None)
    if library is not None and not library.there:
        return None, f"{title} is {library.found}; {library.remedy}."
    return chosen, None


def _store(config: ReleaseConfig) -> str:
    store = open_store(config.store)
    store.backend.list("channels/", limit=1)
    return f"{store.uri} answers"


def _key(config: ReleaseConfig) -> str:
    store = open_store(config.store)
    store.signer  # noqa: B018 - reading the property loads the key
    return str(resolve_path(config.store.signing_key))
