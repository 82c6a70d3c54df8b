"""Which policy a release is, whatever the bytes of its build: what it computes, and what it was judged for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gate5.io import canonical
from gate5.store.manifest import Release


@dataclass(frozen=True)
class Candidate:
    """A policy as a channel knows it.

    Attributes:
        function: hash of what the policy computes (layers, normaliser, spaces); of a release that does not record it,
            hash of its graph.
        plant: what it was judged on.
        target: back end of the engine, and what it was built for where it is built for other machines.
        precision: of the engine.
    """

    function: str
    plant: str
    target: str
    precision: str

    @property
    def identity(self) -> str:
        """64 hexadecimal digits; equal for the same policy, judged for the same."""
        return canonical.digest(asdict(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def candidates_of(release: Release) -> tuple[Candidate, ...]:
    """What a release is known by: the recorded candidate first, and its graph, by which older releases are known."""
    provenance = release.provenance
    engine = provenance.get("engine") or {}
    target = {"plant": str(provenance.get("plant")), "target": str(engine.get("backend"))}
    target["precision"] = str(engine.get("precision"))
    found = _recorded(provenance.get("candidate"))
    graph = Candidate(release.files.get("policy.onnx") or release.id, **target)
    return (graph,) if found is None else (found, graph)


def identities(release: Release) -> tuple[str, ...]:
    """The same as hashes: the release's own identity first."""
    return tuple(candidate.identity for candidate in candidates_of(release))


def _recorded(data: Any) -> Candidate | None:
    if not isinstance(data, Mapping) or set(data) != {"function", "plant", "target", "precision"}:
        return None
    return Candidate(**{name: str(value) for name, value in data.items()})
