"""The evaluation and the tuned PID on the shipped plant."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig, EvaluationConfig
from gate5.control import open_baseline
from gate5.evaluation import EvaluationReport, EvaluationReporter, Evaluator
from gate5.plant.base import Constraint, Controller, Float32
from gate5.plant.sco2.plant import SCO2Plant
from tests.support.scenarios import SCENARIOS


def pid(plant: Any) -> Controller:
    controller = open_baseline(BaselineConfig(), plant)
    assert controller is not None
    return controller


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    """Constant commands in mid-range against the tuned PID, four episodes of each scenario."""

    class Middle:
        def reset(self, batch: int) -> None: ...

        def predict(self, obs: Float32) -> tuple[Any, None]:
            return np.zeros((len(obs), 4), dtype=np.float32), None

    plant = SCO2Plant()
    return EvaluationReporter(plant, EvaluationConfig(episodes=4, bootstrap=200)).run(Middle(), pid(plant))


def test_all_seven_scenarios_reach_the_plant_and_give_different_rows(report: EvaluationReport) -> None:
    """Seven identical rows, gate True: with the shipped plant, no mock between reporter and plant."""
    assert tuple(row.scenario for row in report.scenarios) == SCENARIOS
    for what in ("rl", "baseline"):
        assert len({getattr(row, what).reward_per_step for row in report.scenarios}) == 7
    assert len({row.trace for row in report.scenarios}) == 7


def test_the_tuned_pid_keeps_every_limit_in_every_scenario(report: EvaluationReport) -> None:
    for row in report.scenarios:
        assert row.baseline is not None
        broken = [c.name for c in row.baseline.constraints if c.violations]
        assert (row.scenario, broken, row.baseline.solver_failures) == (row.scenario, [], 0)
        assert row.baseline.end_reasons == {"completed": 4}


def test_doing_nothing_breaks_limits_and_is_worse_than_the_pid(report: EvaluationReport) -> None:
    """A plant whose actuators cannot break a limit would make "zero violations" mean nothing."""
    assert sum(row.rl.violations > 0 for row in report.scenarios) >= 5
    for row in report.scenarios:
        assert row.difference is not None
        assert row.difference.high is not None
        assert row.difference.high < 0


def test_net_power_is_what_tracking_is_judged_by(report: EvaluationReport) -> None:
    row = report["load_following"]
    assert row.baseline is not None
    assert row.baseline.tracking[0].variable == "net_power"
    assert row.baseline.tracking[0].rmse is not None
    assert row.rl.tracking[0].rmse is not None
    assert row.baseline.tracking[0].rmse < 0.5 < row.rl.tracking[0].rmse


def test_every_declared_constraint_is_in_the_report_and_is_exercised_somewhere(report: EvaluationReport) -> None:
    """Earlier, most declared constraints were checked by nothing."""
    checked: dict[str, int] = {}
    for row in report.scenarios:
        assert [c.name for c in row.rl.constraints] == [c.name for c in SCO2Plant().constraints]
        for constraint in row.rl.constraints:
            checked[constraint.name] = checked.get(constraint.name, 0) + constraint.checked
    assert min(checked.values()) > 0


def test_a_tightened_limit_is_named_with_its_episode_time_and_margin() -> None:
    class Tight(SCO2Plant):
        @property
        def constraints(self) -> tuple[Constraint, ...]:
            return tuple(
                dataclasses.replace(c, high=16.0) if c.name == "high_pressure_high" else c for c in super().constraints
            )

    plant = Tight()
    result, tape = Evaluator(plant).run(pid(plant), "load_following", [20_000, 20_001])
    broken = [c for c in result.constraints if c.violations]
    assert [c.name for c in broken] == ["high_pressure_high"]
    worst = float(tape.of("high_pressure").max())
    assert broken[0].smallest_margin == pytest.approx(16.0 - worst)
    assert broken[0].seed in (20_000, 20_001)
    assert broken[0].time_s is not None
    t, b = int(broken[0].time_s / 5.0) - 1, broken[0].seed - 20_000
    assert tape.of("high_pressure")[t, b] == worst
