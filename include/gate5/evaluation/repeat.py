"""An interval that straddles a veto's threshold: more episodes are driven, and all of them count.

The seeds go on where they ended, so that what was driven before is part of what is judged after. The chance of error is
spent over the looks (``gate5.io.spending``), so that looking again passes a worse policy no more often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gate5.config.gate import GateConfig
from gate5.config.operators import OPERATORS
from gate5.evaluation.results import ControllerResult, Difference, IntervalLook, ScenarioComparison
from gate5.io.spending import confidences

#: What a rule may ask of an interval, by the end of the metric's name: whether of the current release, and in percent.
ASKED = {
    "difference.low": (False, False),
    "difference.low_percent": (False, True),
    "current.difference.low": (True, False),
    "current.difference.low_percent": (True, True),
}


@dataclass(frozen=True)
class Question:
    """What a rule with a veto asks of a scenario's interval; ``metric`` without ``evaluation.SCENARIO.``."""

    metric: str
    op: str
    threshold: float


def questions(gate: GateConfig, scenario: str, *, unattended: bool) -> list[Question]:
    """Of the rules that have a veto in this run, those on the low end of an interval."""
    found = []
    for rule in gate.rules:
        name = rule.metric.replace("*", scenario).removeprefix(f"evaluation.{scenario}.")
        if name in ASKED and rule.op in (">", ">=") and rule.vetoes(unattended) and not isinstance(rule.threshold, str):
            found.append(Question(name, rule.op, rule.by_scenario.get(scenario, rule.threshold)))
    return found


def drive_until(
    drive: Callable[[int, float], ScenarioComparison], asked: Sequence[Question], confidence: float, looks: int
) -> ScenarioComparison:
    """Drive until every question has its answer, at most ``looks`` times.

    Args:
        drive: ``drive(n, confidence)``: the scenario with n times the episodes, its intervals at this confidence.
        asked: nothing: one look is taken, at the whole confidence.
        confidence: of all looks together.
    """
    levels = confidences(confidence, looks if asked else 1)
    seen: list[IntervalLook] = []
    for turn, level in enumerate(levels, 1):
        row = drive(turn, level)
        seen += [_look(row, question, level) for question in asked]
        if all(look.answer != "neither" for look in seen[len(seen) - len(asked) :]):
            break
    return replace(row, looks=tuple(seen))


def _look(row: ScenarioComparison, question: Question, confidence: float) -> IntervalLook:
    of_current, in_percent = ASKED[question.metric]
    difference: Difference | None = row.difference
    other: ControllerResult | None = row.baseline
    if of_current:
        difference, other = (None, None) if row.current is None else (row.current.difference, row.current.result)
    low, high = (None, None) if difference is None else (difference.low, difference.high)
    scale = 1.0
    if in_percent:
        size = None if other is None else other.return_mean
        scale = 100.0 / abs(size) if size else 0.0
    if low is None or high is None or not scale:
        return IntervalLook(question.metric, row.rl.episodes, confidence, None, None, question.threshold, "no")
    low, high = scale * low, scale * high
    holds = OPERATORS[question.op].holds
    answer = "yes" if holds(low, question.threshold) else "neither" if holds(high, question.threshold) else "no"
    return IntervalLook(question.metric, row.rl.episodes, confidence, low, high, question.threshold, answer)
