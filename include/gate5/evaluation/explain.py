"""Why a scenario has violations, as sentences that name constraint, time and margin."""

from __future__ import annotations

from collections.abc import Iterator

from gate5.evaluation.report import EvaluationReport
from gate5.evaluation.results import ConstraintResult, ControllerResult
from gate5.evaluation.terms import term_notes

SHOWN = 3
_METRICS = ("violations", "violating_episodes", "violation_probability_upper")


def violation_notes(report: EvaluationReport) -> dict[str, str]:
    """For each scenario that the policy violates: the metrics that count it, to what was broken, when and by how much.

    The keys are names as in ``EvaluationReport.metrics()``: ``evaluation.load_rejection.rl.violations`` and so on.
    """
    notes: dict[str, str] = {}
    for row in report.scenarios:
        causes = list(_causes(row.rl))
        if causes:
            more = [f"and {len(causes) - SHOWN} more"] if len(causes) > SHOWN else []
            told = "; ".join([*causes[:SHOWN], *more])
            notes |= {f"evaluation.{row.scenario}.rl.{metric}": told for metric in _METRICS}
        for constraint in row.rl.constraints:
            if constraint.violations:
                start = f"evaluation.{row.scenario}.rl.constraint.{constraint.name}"
                notes[f"{start}.violations"] = notes[f"{start}.smallest_margin"] = _broken(constraint, row.rl.episodes)
        notes |= term_notes(row.scenario, row.terms)
    return notes


def _causes(result: ControllerResult) -> Iterator[str]:
    # What is not the policy's explains the rest: after a failed solver no value is finite.
    for count, what in (
        (result.solver_failures, "the plant's solver failed"),
        (result.nonfinite_actions, "the action was not finite"),
        (result.unexplained_terminations, "the plant ended the episode without a broken constraint"),
    ):
        if count:
            yield f"{what} ({count} times in {result.episodes} episodes)"
    # The constraint that most episodes break says most about the policy.
    for constraint in sorted(result.constraints, key=lambda c: -c.violating_episodes):
        if constraint.violations:
            yield _broken(constraint, result.episodes)


def _broken(constraint: ConstraintResult, episodes: int) -> str:
    unit = constraint.unit if constraint.unit != "1" else ""
    margin = "the value was not finite"
    if constraint.smallest_margin is not None:
        margin = (
            f"margin {_amount(constraint.smallest_margin, unit)} at worst "
            f"(seed {constraint.seed}, {constraint.time_s:g} s)"
        )
    first = f"first in seed {constraint.first_violation_seed} at {constraint.first_violation_time_s:g} s"
    return (
        f"{constraint.name} ({_limits(constraint, unit)}) is broken in {constraint.violating_episodes} of {episodes} "
        f"episodes, {first}, {margin}"
    )


def _limits(constraint: ConstraintResult, unit: str) -> str:
    low, high = constraint.low, constraint.high
    if low is None:
        return f"{constraint.variable} <= {_amount(high, unit)}"
    if high is None:
        return f"{constraint.variable} >= {_amount(low, unit)}"
    return f"{low:g} <= {constraint.variable} <= {_amount(high, unit)}"


def _amount(value: float | None, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
