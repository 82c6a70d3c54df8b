"""``RobustnessReport``: what all scenarios came to, put together for the gate and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gate5.robustness.cases import Case
from gate5.robustness.matrix import Matrix
from gate5.robustness.monte_carlo import Chance


@dataclass(frozen=True)
class SearchResult:
    """The search for one scenario's worst case.

    Attributes:
        applicable: false where the plant declares no disturbances.
        evaluations: episodes that were driven.
        earlier: cases of earlier candidates that were tried.
        curve: ``[evaluations, smallest share so far]`` after each batch.
        smallest: by constraint, the smallest margin less integration error that was seen, in its unit.
        case: the worst that was found; ``None`` where the search is not applicable.
    """

    scenario: str
    applicable: bool
    evaluations: int = 0
    earlier: int = 0
    curve: tuple[tuple[int, float], ...] = ()
    smallest: Mapping[str, float] = field(default_factory=dict)
    case: Case | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the case lies in a file of its own too."""
        return {
            "format": 1,
            "scenario": self.scenario,
            "applicable": self.applicable,
            "evaluations": self.evaluations,
            "earlier": self.earlier,
            "curve": [list(point) for point in self.curve],
            "smallest": dict(self.smallest),
            "case": None if self.case is None else self.case.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchResult:
        """The inverse of ``to_dict``."""
        return cls(
            scenario=data["scenario"],
            applicable=bool(data["applicable"]),
            evaluations=int(data["evaluations"]),
            earlier=int(data["earlier"]),
            curve=tuple((int(n), float(share)) for n, share in data["curve"]),
            smallest=dict(data["smallest"]),
            case=None if data["case"] is None else Case.from_dict(data["case"]),
        )

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate: ``worst_case.SCENARIO.margin`` and so on."""
        start = f"worst_case.{self.scenario}"
        if self.case is None:
            return {f"{start}.margin": None}
        return {
            f"{start}.margin": self.case.margin,
            f"{start}.violates": float(self.case.violates),
            f"{start}.evaluations": float(self.evaluations),
            **{f"{start}.constraint.{name}": margin for name, margin in self.smallest.items()},
        }

    def inapplicable(self) -> dict[str, str]:
        """Why there is no margin, where there cannot be one."""
        name = f"worst_case.{self.scenario}.margin"
        if self.case is None:
            return {name: "the plant declares no disturbances"}
        return {} if self.case.constraint or self.case.violates else {name: "no limit ever holds in this scenario"}

    def note(self) -> dict[str, str]:
        """What explains a margin that is refused."""
        if self.case is None:
            return {}
        name = f"worst_case.{self.scenario}.margin"
        return {name: f"{self.case.sentence()}; replay it with `gate5 replay cases/{self.scenario}.json`"}


@dataclass(frozen=True)
class RobustnessReport:
    """By scenario, in the order in which the release covers them.

    Attributes:
        about: what the plant declares: ``declared``, ``unmeasurable`` (observed), ``integration_error``.
    """

    chances: tuple[Chance, ...] = ()
    searches: tuple[SearchResult, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "format": 1,
            "chances": [chance.to_dict() for chance in self.chances],
            "searches": [search.to_dict() for search in self.searches],
            "matrices": [matrix.to_dict() for matrix in self.matrices],
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RobustnessReport:
        """The inverse of ``to_dict``."""
        return cls(
            tuple(Chance.from_dict(entry) for entry in data["chances"]),
            tuple(SearchResult.from_dict(entry) for entry in data["searches"]),
            tuple(Matrix.from_dict(entry) for entry in data["matrices"]),
            dict(data.get("about") or {}),
        )

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, of all scenarios."""
        flat: dict[str, float | None] = {}
        for chance in self.chances:
            flat |= chance.metrics()
        for search in self.searches:
            flat |= search.metrics()
        for matrix in self.matrices:
            flat |= matrix.metrics()
        return flat

    def inapplicable(self) -> dict[str, str]:
        """Metric to why there is nothing to measure."""
        told: dict[str, str] = {}
        for search in self.searches:
            told |= search.inapplicable()
        for matrix in self.matrices:
            told |= matrix.inapplicable()
        return told

    def notes(self) -> dict[str, str]:
        """Metric to what explains it."""
        notes: dict[str, str] = {}
        for search in self.searches:
            notes |= search.note()
        for chance in self.chances:
            if chance.violating_episodes:
                name = f"evaluation.{chance.scenario}.rl.violation_probability_upper"
                notes[name] = (
                    f"{chance.violating_episodes} of {chance.episodes:,} episodes violate, the worst is seed "
                    f"{chance.worst_seed}: {chance.constraint}"
                )
        for matrix in self.matrices:
            if matrix.no_current:
                start = f"stress.{matrix.scenario}"
                told = [name for name in matrix.metrics() if ".current." in name.removeprefix(start)]
                notes |= dict.fromkeys(told, matrix.no_current)
            broken = [c for c in matrix.of("policy") if c.expected and c.violating]
            if broken:
                shown = ", ".join(f"{c.title} {c.level:g} {c.unit}".strip() for c in broken[:4])
                more = f" and {len(broken) - 4} more" if len(broken) > 4 else ""
                notes[f"stress.{matrix.scenario}.expected.violating_episodes"] = f"broken under {shown}{more}"
        return notes
