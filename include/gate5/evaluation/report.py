"""``EvaluationReport``: one row per scenario; it refuses rows that cannot be different scenarios."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate5.errors import EvaluationError, WorkspaceError
from gate5.evaluation.results import ControllerResult, ScenarioComparison
from gate5.evaluation.terms import nothing_to_count
from gate5.io import canonical
from gate5.io.files import write_atomically


@dataclass(frozen=True)
class EvaluationReport:
    """All scenarios of one evaluation, ordered by phase. Nothing is averaged over scenarios."""

    scenarios: tuple[ScenarioComparison, ...]

    @classmethod
    def of(cls, comparisons: Sequence[ScenarioComparison]) -> EvaluationReport:
        """Join comparisons.

        Raises:
            EvaluationError: there is none, two are of the same scenario, they were made on different plants or seeds,
                or two scenarios have the same numbers: then the plant was never told which scenario to run.
        """
        if not comparisons:
            raise EvaluationError("There is no scenario to compare: evaluate at least one first.")
        rows = tuple(sorted(comparisons, key=lambda c: (c.phase, c.scenario)))
        first = rows[0]
        for row in rows[1:]:
            for what in ("plant", "seed", "planned"):
                ours, theirs = getattr(first, what), getattr(row, what)
                if ours != theirs:
                    raise EvaluationError(
                        f"The evaluations cannot be joined: {first.scenario} has {what.replace('planned', 'episodes')} "
                        f"{ours} and {row.scenario} {theirs}; evaluate both with the same configuration."
                    )
        for a, b in itertools.combinations(rows, 2):
            if a.scenario == b.scenario:
                raise EvaluationError(f"The scenario {a.scenario!r} is there twice: give each once.")
            if _same(a, b):
                raise EvaluationError(
                    f"The scenarios {a.scenario} and {b.scenario} have identical numbers, so the plant {a.plant} "
                    "ran the same thing twice: it must be told its scenario and act on it."
                )
        return cls(rows)

    def __getitem__(self, scenario: str) -> ScenarioComparison:
        for row in self.scenarios:
            if row.scenario == scenario:
                return row
        raise KeyError(scenario)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"format": 1, "scenarios": [row.to_dict() for row in self.scenarios]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvaluationReport:
        """The inverse of ``to_dict``."""
        return cls(tuple(ScenarioComparison.from_dict(row) for row in data["scenarios"]))

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, of all scenarios."""
        flat: dict[str, float | None] = {"evaluation.scenarios": float(len(self.scenarios))}
        for row in self.scenarios:
            flat |= row.metrics()
        return flat

    def inapplicable(self) -> dict[str, str]:
        """Metric to why there is nothing to measure, of all scenarios."""
        told: dict[str, str] = {}
        for row in self.scenarios:
            told |= nothing_to_count(row.scenario, row.terms)
        return told

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, whole or not at all."""
        write_atomically(Path(path), canonical.dumps(self.to_dict()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EvaluationReport:
        """Read what ``save`` wrote.

        Raises:
            WorkspaceError: the file is missing or is not a report.
        """
        try:
            return cls.from_dict(canonical.loads(Path(path).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(
                f"{os.fspath(path)} is not an evaluation report ({error!r}); run `gate5 compare` again."
            ) from None


def _same(a: ScenarioComparison, b: ScenarioComparison) -> bool:
    """Whether two rows are one course of events: their traces agree as far as both go, or all their numbers do."""
    common = min(a.steps, b.steps) // 60
    if common and a.trace[:common] == b.trace[:common]:
        return True
    return a.trace == b.trace or (_numbers(a.rl) == _numbers(b.rl) and _about(a) == _about(b))


def _about(row: ScenarioComparison) -> list[Any]:
    return [] if row.baseline is None else _numbers(row.baseline)


def _numbers(result: ControllerResult) -> list[Any]:
    """What does not depend on an episode's length, to nine digits."""
    tracking = [(t.rmse, t.worst) for t in result.tracking]
    margins = [c.smallest_margin for c in result.constraints]
    flat = [result.reward_per_step, result.efficiency_mean, *itertools.chain(*tracking), *margins]
    return [None if value is None else f"{value:.9g}" for value in flat]
