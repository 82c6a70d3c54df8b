"""Why the gate says no: constraint, time and margin, in the words of the plant."""

from __future__ import annotations

from typing import Any

from gate5.config.evaluation import EvaluationConfig
from gate5.config.gate import RuleConfig
from gate5.evaluation import EvaluationReport, EvaluationReporter
from gate5.evaluation.explain import violation_notes
from gate5.gate.judge import judge
from gate5.gate.report import GateReport
from tests.support.tank import Constant, Tank

CONFIG = EvaluationConfig(episodes=3, seed=11, bootstrap=100)
RULE = RuleConfig(name="no_violations", metric="evaluation.*.rl.violations", op="==", threshold=0)


def report(plant: Any, policy: Any, *scenarios: str) -> EvaluationReport:
    reporter = EvaluationReporter(plant, CONFIG)
    return reporter.report([reporter.scenario(name, policy, None) for name in scenarios])


def test_the_failed_rule_names_constraint_scenario_time_and_margin(tank: Tank, constant: type[Constant]) -> None:
    rows = report(tank, constant(0.5), "hold", "leak")
    names = [row.scenario for row in rows.scenarios]
    verdict = judge([RULE], rows.metrics(), names, 1.0, violation_notes(rows))
    (reason, *_) = verdict.reasons
    worst = next(c for c in rows["hold"].rl.constraints if c.name == "level_high")
    assert worst.smallest_margin is not None
    assert worst.time_s is not None
    assert worst.first_violation_time_s is not None
    for words in (
        "evaluation.hold.rl.violations",
        "level_high (level <= 3 m) is broken in 3 of 3 episodes",
        f"first in seed {worst.first_violation_seed} at {worst.first_violation_time_s:g} s",
        f"margin {worst.smallest_margin:.4g} m at worst (seed {worst.seed}, {worst.time_s:g} s)",
    ):
        assert words in reason
    assert verdict.table().count("is broken in 3 of 3") == len(verdict.reasons), (
        "the reason says it, the table need not"
    )
    assert GateReport.from_dict(verdict.to_dict()) == verdict


def test_a_rule_that_passes_and_a_metric_without_violations_get_no_note(tank: Tank, constant: type[Constant]) -> None:
    rows = report(tank, constant(-0.1), "hold")
    assert rows["hold"].rl.violations == 0
    assert violation_notes(rows) == {}
    lenient = RuleConfig(name="some", metric="evaluation.*.rl.violations", op="<=", threshold=1e9)
    broken = report(tank, constant(0.5), "hold")
    passed = judge([lenient], broken.metrics(), ["hold"], 1.0, violation_notes(broken))
    assert passed.rules[0].note == ""


def test_an_action_that_is_not_finite_is_a_cause_of_its_own(tank: Tank, constant: type[Constant]) -> None:
    rows = report(tank, constant(-0.1, lost_at=5), "hold")
    assert "the action was not finite (3 times in 3 episodes)" in violation_notes(rows)["evaluation.hold.rl.violations"]


def test_a_value_that_was_not_finite_is_said_instead_of_a_margin(tank: Tank, constant: type[Constant]) -> None:
    class Lossy(type(tank)):  # type: ignore[misc]
        """Reports no level at all."""

        def _variables(self) -> dict[str, Any]:
            values: dict[str, Any] = super()._variables()
            return values | {"level": values["level"] * float("nan")}

    assert "not finite" in violation_notes(report(Lossy(), constant(0.0), "hold"))["evaluation.hold.rl.violations"]
