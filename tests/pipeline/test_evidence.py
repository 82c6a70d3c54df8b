"""What a run was never meant to show does not count against it, and what it did see always does."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gate5.config.gate import default_rules
from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError
from gate5.evaluation import EvaluationReport
from gate5.gate.judge import judge
from gate5.gate.report import GateReport, RuleResult
from gate5.pipeline import measurements
from gate5.pipeline.evidence import evidence
from gate5.robustness.matrix import Matrix
from gate5.robustness.monte_carlo import Chance
from gate5.robustness.report import RobustnessReport, SearchResult

NAME = "evaluation.trip.rl.violation_probability_upper"


class Rows:
    """Stands for a run's comparison: one scenario with so many paired episodes."""

    def __init__(self, episodes: int, violations: int, bound: float) -> None:
        start = "evaluation.trip.rl"
        self.numbers = {f"{start}.episodes": float(episodes), f"{start}.violations": float(violations), NAME: bound}
        self.scenarios = [self]
        self.scenario = "trip"

    def metrics(self) -> dict[str, float | None]:
        return dict(self.numbers)

    def inapplicable(self) -> dict[str, str]:
        return {}


class Files:
    def __init__(self, robustness: RobustnessReport) -> None:
        self.robustness = robustness

    def find(self, name: str) -> bytes | None:
        return None

    def read_json(self, name: str) -> Any:
        return copy.deepcopy(self.robustness.to_dict()) if name == "robustness.json" else {}


def chance(episodes: int, violating: int, bound: float) -> Chance:
    return Chance("trip", episodes, 0, violating, bound, 0.95, "", "", None, 0, None, 0, None, None)


def found(
    monkeypatch: pytest.MonkeyPatch,
    *,
    chances: tuple[Chance, ...] = (),
    rows: tuple[int, int, float] = (50, 0, 0.058),
    declared: bool = True,
    settings: dict[str, Any] | None = None,
) -> GateReport:
    """The verdict of the default rules about robustness on such a run."""
    monkeypatch.setattr(EvaluationReport, "from_dict", lambda data: Rows(*rows))
    monkeypatch.setattr("gate5.pipeline.evidence.violation_notes", lambda rows: {})
    monkeypatch.setattr(measurements, "metrics", lambda files: {})
    monkeypatch.setattr(measurements, "notes", lambda files: {})
    worst = RobustnessReport(
        chances,
        () if declared else (SearchResult("trip", applicable=False),),
        () if declared else (Matrix("trip", applicable=False),),
        {"declared": declared},
    )
    config = ReleaseConfig.parse({"evaluation": settings or {}})
    told = evidence(Files(worst), config)
    names = {"violation_bound", "no_violations", "disturbances_declared", "full_evidence"}
    rules = [rule for rule in default_rules() if rule.name in names | ({"worst_case"} if not declared else set())]
    return judge(rules, told.metrics, ["trip"], 1.0, told.notes, inapplicable=told.inapplicable)


def bound(report: GateReport) -> RuleResult:
    (rule,) = (rule for rule in report.rules if rule.name == "violation_bound")
    return rule


def test_too_few_episodes_are_refused_and_told_how_many_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    report = found(monkeypatch, chances=(chance(100, 0, 0.0295),))
    assert report.verdict == "fail"
    assert "100 episodes without a violation show no less: for 0.001 at 95 % it takes 2,995" in bound(report).note
    assert "evaluation.monte_carlo" in bound(report).note


def test_enough_episodes_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    report = found(monkeypatch, chances=(chance(3000, 0, 0.000998),))
    assert (report.verdict, bound(report).outcome) == ("pass", "pass")


def test_a_quick_run_is_not_asked_for_a_bound_and_says_what_it_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    report = found(monkeypatch, chances=(chance(100, 0, 0.0295),), settings={"quick": True})
    assert (report.verdict, bound(report).outcome) == ("pass", "not_applicable")
    assert "100 without a violation show 0.0295 and no less" in bound(report).note
    assert [rule.outcome for rule in report.rules if rule.name == "full_evidence"] == ["fail"]


@pytest.mark.parametrize(
    ("chances", "rows"),
    [((chance(100, 1, 0.047),), (10, 0, 0.26)), ((chance(100, 0, 0.03),), (10, 1, 0.4)), ((), (10, 1, 0.4))],
)
@pytest.mark.parametrize("declared", [True, False])
def test_an_episode_that_violates_counts_in_every_run(
    monkeypatch: pytest.MonkeyPatch, chances: tuple[Chance, ...], rows: tuple[int, int, float], declared: bool
) -> None:
    settings = {"quick": True, "accept_undeclared": True}
    report = found(monkeypatch, chances=chances, rows=rows, declared=declared, settings=settings)
    assert (report.verdict, bound(report).outcome) == ("fail", "fail")
    assert "no less" not in bound(report).note


@pytest.mark.parametrize(("accepted", "verdict"), [(False, "fail"), (True, "pass")])
def test_a_plant_that_declares_nothing_is_proven_only_where_the_configuration_says_so(
    monkeypatch: pytest.MonkeyPatch, accepted: bool, verdict: str
) -> None:
    report = found(monkeypatch, declared=False, settings={"accept_undeclared": accepted})
    assert report.verdict == verdict
    assert {rule.name for rule in report.rules if rule.outcome == "not_applicable"} == {"violation_bound", "worst_case"}
    assert "the plant declares no disturbances: 50 without a violation show 0.058 and no less" in bound(report).note


def test_a_default_rule_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"No default rule is called 'violation_bond'; they are onnx_parity, "):
        default_rules(["violation_bond"])


def test_the_defaults_are_vetoes() -> None:
    vetoes = {rule.name for rule in default_rules() if rule.veto is True}
    assert {"violation_bound", "worst_case", "no_violations"} <= vetoes
    assert json.dumps([rule.name for rule in default_rules(["worst_case"]) if rule.veto is True]).count("worst") == 0
