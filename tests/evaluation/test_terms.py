"""Terms that nobody compared are never counted as none that is worse."""

from __future__ import annotations

import dataclasses

import pytest

from gate5.config.evaluation import EvaluationConfig
from gate5.config.gate import RuleConfig
from gate5.evaluation import EvaluationReport, EvaluationReporter
from gate5.gate.judge import judge
from gate5.gate.report import GateReport
from gate5.plant.base import Term
from tests.support.tank import Constant, Tank

RULE = RuleConfig(name="terms", metric="evaluation.*.term.essential_inferior", op="==", threshold=0)
LEVEL = Term("level", "level", "m", weight=1.0, margin=9.0, essential=True)


def verdict(tank: Tank, *, baseline: bool = True) -> GateReport:
    """Of the one rule, on two scenarios."""
    reporter = EvaluationReporter(tank, EvaluationConfig(episodes=3, bootstrap=100, scenarios=("hold", "step")))
    report = reporter.run(Constant(0.02), Constant(0.1) if baseline else None)
    return judge([RULE], report.metrics(), reporter.scenarios, 1.0, inapplicable=report.inapplicable())


def tank(*terms: Term) -> Tank:
    made = Tank()
    made.objective = terms  # type: ignore[attr-defined]
    return made


def test_what_was_compared_is_counted() -> None:
    assert verdict(tank(LEVEL)).verdict == "pass"
    assert verdict(tank(dataclasses.replace(LEVEL, margin=0.0, reported_only=True))).verdict == "fail"
    assert verdict(tank(LEVEL), baseline=False).verdict == "error", "nobody compared"


@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize("terms", [(), (dataclasses.replace(LEVEL, essential=False),)])
def test_none_of_nothing_is_no_pass(terms: tuple[Term, ...], baseline: bool) -> None:
    """Seen: PASS by a rule that no plant without essential terms could ever fail, without a baseline, too."""
    found = verdict(tank(*terms), baseline=baseline)
    assert (found.verdict, {rule.outcome for rule in found.rules}) == ("error", {"not_applicable"})
    assert "the plant's objective has no essential term" in found.rules[0].note


def test_a_document_from_before_there_were_terms_has_counted_nothing() -> None:
    reporter = EvaluationReporter(tank(LEVEL), EvaluationConfig(episodes=3, bootstrap=100, scenarios=("hold",)))
    row = dataclasses.replace(reporter.scenario("hold", Constant(0.02), Constant(0.1)), terms=())
    report = EvaluationReport.of([row])
    found = judge([RULE], report.metrics(), ["hold"], 1.0, inapplicable=report.inapplicable())
    assert (found.verdict, found.rules[0].outcome) == ("error", "missing")
