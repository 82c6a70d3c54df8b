"""An interval that straddles a veto's threshold: more episodes, all counted, no more wrong passes than alpha."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import EvaluationConfig
from gate5.config.gate import GateConfig
from gate5.evaluation import EvaluationReport, EvaluationReporter
from gate5.evaluation.current import CurrentRelease
from gate5.evaluation.repeat import Question, drive_until, questions
from gate5.evaluation.results import Difference, ScenarioComparison
from gate5.evaluation.statistics import paired_bootstrap
from tests.support.tank import Constant, Tank

LOW = "difference.low"


def driven(times: int, confidence: float) -> ScenarioComparison:
    """The tank, 4 episodes at a time; the current release opens the pump a little less."""
    tank = Tank()
    config = EvaluationConfig(episodes=4 * times, bootstrap=200, scenarios=("hold",))
    reporter = EvaluationReporter(tank, config, interval_confidence=confidence)
    current = CurrentRelease("tank-1", "its engine", Constant(0.0), tank)
    return reporter.scenario("hold", Constant(0.02), Constant(0.1), current=current)


def ends(row: ScenarioComparison) -> tuple[float, float]:
    assert row.current is not None
    assert row.current.difference is not None
    low, high = row.current.difference.low, row.current.difference.high
    assert low is not None
    assert high is not None
    return low, high


def test_what_is_decided_is_driven_once() -> None:
    low, high = ends(driven(1, 0.9625))
    for threshold, answer in ((low - 1.0, "yes"), (high + 1.0, "no")):
        row = drive_until(driven, [Question(f"current.{LOW}", ">=", threshold)], 0.95, 3)
        assert [(look.answer, look.episodes) for look in row.looks] == [(answer, 4)]
        assert ends(row) == (low, high)


def test_what_straddles_gets_more_episodes_and_the_first_are_among_them() -> None:
    low, high = ends(driven(1, 0.9625))
    row = drive_until(driven, [Question(f"current.{LOW}", ">=", (low + high) / 2)], 0.95, 3)
    assert row.looks[0].answer == "neither"
    assert len(row.looks) > 1
    assert [look.episodes for look in row.looks] == [4, 8, 12][: len(row.looks)]
    assert row.rl.returns[:4] == driven(1, 0.95).rl.returns
    assert row.planned == 4
    assert EvaluationReport.of([row, replace(driven(1, 0.95), scenario="other", trace=("x",))]).scenarios
    assert ScenarioComparison.from_dict(row.to_dict()) == row


def test_nothing_asked_is_one_look_at_the_whole_confidence() -> None:
    assert drive_until(driven, [], 0.95, 3).looks == ()
    assert ends(drive_until(driven, [], 0.95, 3)) == ends(driven(1, 0.95))


def test_only_vetoes_of_this_run_ask() -> None:
    rules: list[dict[str, Any]] = [
        {"name": "v", "metric": "evaluation.*.rl.violations", "op": "==", "threshold": 0},
        {"name": "pid", "metric": "evaluation.*.difference.low_percent", "op": ">=", "threshold": -1, "veto": False},
        {"name": "now", "metric": "evaluation.*.current.difference.low_percent", "op": ">=", "threshold": -0.05,
         "veto": "unattended", "by_scenario": {"leak": -0.2}},
    ]  # fmt: skip
    gate = GateConfig.model_validate({"rules": rules})
    assert questions(gate, "leak", unattended=False) == []
    asked = questions(gate, "leak", unattended=True)
    assert asked == [Question("current.difference.low_percent", ">=", -0.2)]
    assert questions(gate, "hold", unattended=True)[0].threshold == -0.05


def drawn(row: ScenarioComparison, rng: np.random.Generator) -> Callable[[int, float], ScenarioComparison]:
    """Paired differences whose mean is 0, in place of those that were driven; n at a time, all kept."""
    values = rng.normal(0.0, 1.0, 90)

    def drive(times: int, confidence: float) -> ScenarioComparison:
        part = values[: 30 * times]
        interval = paired_bootstrap(part, confidence=confidence, resamples=100, seed=0)
        assert interval is not None
        return replace(row, difference=Difference(float(part.mean()), *interval, None, part.size, 0))

    return drive


def test_one_that_is_exactly_at_its_limit_passes_no_more_often_than_alpha() -> None:
    """The one-sided alpha of a two-sided 80 % interval is 0.1; looking three times at the whole 80 % is caught."""
    rng, row, times = np.random.default_rng(3), driven(1, 0.8), 150
    asked = [Question(LOW, ">=", 0.0)]
    passed = careless = 0
    for _ in range(times):
        drive = drawn(row, rng)
        passed += drive_until(drive, asked, 0.8, 3).looks[-1].answer == "yes"
        careless += any((drive(n, 0.8).difference.low or -1.0) > 0.0 for n in (1, 2, 3))  # type: ignore[union-attr]
    error = float(np.sqrt(0.1 * 0.9 / times))
    assert passed / times <= 0.1 + 3 * error
    assert careless > passed
    assert careless / times > 0.1 + 2 * error, "the simulation sees what picking would do"


@pytest.mark.parametrize("threshold", [1e9, -1e9])
def test_without_an_interval_there_is_nothing_to_repeat(threshold: float) -> None:
    def alone(times: int, confidence: float) -> ScenarioComparison:
        return replace(driven(times, confidence), difference=None)

    assert [look.answer for look in drive_until(alone, [Question(LOW, ">=", threshold)], 0.95, 3).looks] == ["no"]
