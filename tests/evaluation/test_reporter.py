"""The comparison: paired, told its scenario, refused where two scenarios are one; report files round trip."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig, EvaluationConfig
from gate5.control import open_baseline
from gate5.errors import EvaluationError, PlantError, WorkspaceError
from gate5.evaluation import EvaluationReport, EvaluationReporter, Evaluator, ScenarioComparison
from gate5.io import canonical
from tests.support.tank import Constant, Tank

CONFIG = EvaluationConfig(episodes=4, seed=11, bootstrap=100)


def run(plant: Any, policy: Any, config: EvaluationConfig = CONFIG) -> EvaluationReport:
    return EvaluationReporter(plant, config).run(policy, open_baseline(BaselineConfig(), plant))


def test_the_plant_is_told_its_scenario_and_rows_differ(tank: Tank, constant: type[Constant]) -> None:
    """Earlier, the reporter never told the environment its phase; its test's mock froze the fault in."""
    report = run(tank, constant(-0.1))
    assert tank.resets == ["hold", "hold", "step", "step", "leak", "leak"]
    assert [row.scenario for row in report.scenarios] == ["hold", "step", "leak"]
    assert len({row.rl.reward_per_step for row in report.scenarios}) == 3


def test_a_plant_that_ignores_its_scenario_is_found_out(make_tank: type[Tank], constant: type[Constant]) -> None:
    """Seven identical rows, gate True: the episodes' lengths and returns differed, the course of events did not."""
    with pytest.raises(EvaluationError, match=r"hold and step have identical numbers.*told its scenario"):
        run(make_tank(ignore_scenario=True), constant(-0.1))


def test_equal_numbers_with_different_traces_are_found_out(tank: Tank, constant: type[Constant]) -> None:
    """A plant at rest gives each scenario the same reward per step (0.936243 in six of seven), whatever its seeds."""
    report = run(tank, constant(-0.1))
    hold, step = report["hold"], report["step"]
    copy = dataclasses.replace(step, rl=hold.rl, baseline=hold.baseline)
    assert copy.trace != hold.trace
    with pytest.raises(EvaluationError, match="identical numbers"):
        EvaluationReport.of([hold, copy])


def test_policy_and_baseline_see_the_same_seeds_so_equal_controllers_differ_by_nothing(tank: Tank) -> None:
    same = open_baseline(BaselineConfig(), tank)
    report = run(tank, same)
    for row in report.scenarios:
        assert row.difference is not None
        assert (row.difference.mean, row.difference.low, row.difference.high) == (0.0, 0.0, 0.0)
        assert row.difference.effect_size is None


def test_the_difference_is_policy_minus_baseline(tank: Tank, constant: type[Constant]) -> None:
    row = run(tank, constant(0.5))["leak"]
    assert row.baseline is not None
    assert row.difference is not None
    deltas = np.array(row.rl.returns, dtype=float) - np.array(row.baseline.returns, dtype=float)
    assert row.difference.mean is not None
    assert row.difference.mean == pytest.approx(deltas.mean())
    assert row.difference.mean < 0
    assert row.difference.low is not None
    assert row.difference.high is not None
    assert row.difference.low <= row.difference.mean <= row.difference.high < 0
    assert (row.difference.pairs, row.difference.policy_better) == (4, 0)


def test_other_seeds_give_other_numbers(tank: Tank, constant: type[Constant]) -> None:
    other = EvaluationConfig(episodes=4, seed=900, bootstrap=100)
    assert run(tank, constant(-0.1))["hold"].rl.returns != run(tank, constant(-0.1), other)["hold"].rl.returns


def test_metrics_have_the_names_that_the_rules_use(tank: Tank, constant: type[Constant]) -> None:
    metrics = run(tank, constant(0.5)).metrics()
    assert metrics["evaluation.leak.rl.violations"] == run(tank, constant(0.5))["leak"].rl.violations
    for name in (
        "rl.violations", "rl.violating_episodes", "rl.episodes", "rl.engine_episodes", "rl.return_mean",
        "rl.violation_probability_upper", "baseline.episodes", "baseline.violations", "baseline.violating_episodes",
        "baseline.return_mean", "difference.mean", "difference.low", "difference.high", "rl.tracking.rmse",
        "rl.constraint.level_high.smallest_margin",
    ):  # fmt: skip
        value = metrics[f"evaluation.hold.{name}"]
        assert isinstance(value, float), name
    assert metrics["evaluation.hold.rl.engine_episodes"] == 0.0, "a controller that is no engine shows no engine"


def test_an_engine_is_recognised_by_what_it_is(tank: Tank, constant: type[Constant]) -> None:
    policy = constant(0.0)
    policy.engine = SimpleNamespace(info=SimpleNamespace(backend="onnxruntime"))  # type: ignore[attr-defined]
    row = EvaluationReporter(tank, CONFIG).scenario("hold", policy, None)
    assert (row.rl.driver, row.rl.engine_episodes) == ("onnxruntime", 4)


def test_without_a_baseline_there_is_no_difference_and_zero_compared(tank: Tank, constant: type[Constant]) -> None:
    row = EvaluationReporter(tank, CONFIG).scenario("hold", constant(0.0), None)
    assert row.baseline is None
    assert row.difference is None
    assert row.metrics()["evaluation.hold.baseline.episodes"] == 0.0
    assert "evaluation.hold.difference.high" not in row.metrics()


def test_a_report_survives_its_file(tank: Tank, constant: type[Constant], tmp_path: Path) -> None:
    report = run(tank, constant(1.0))
    report.save(tmp_path / "comparison.json")
    assert EvaluationReport.load(tmp_path / "comparison.json") == report
    assert EvaluationReport.from_dict(canonical.loads(canonical.dumps(report.to_dict()))) == report
    row = EvaluationReporter(tank, CONFIG).scenario("hold", constant(0.0), None)
    assert ScenarioComparison.from_dict(canonical.loads(canonical.dumps(row.to_dict()))) == row


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"scenarios": [{}]}')
    with pytest.raises(WorkspaceError, match=r"x\.json is not an evaluation report"):
        EvaluationReport.load(tmp_path / "x.json")


def test_rows_that_do_not_belong_together_are_refused(tank: Tank, constant: type[Constant]) -> None:
    with pytest.raises(EvaluationError, match="no scenario to compare"):
        EvaluationReport.of([])
    hold = EvaluationReporter(tank, CONFIG).scenario("hold", constant(0.0), None)
    with pytest.raises(EvaluationError, match="'hold' is there twice"):
        EvaluationReport.of([hold, hold])
    other = EvaluationReporter(tank, EvaluationConfig(episodes=3, seed=11)).scenario("leak", constant(0.0), None)
    with pytest.raises(EvaluationError, match="hold has episodes 4 and leak 3"):
        EvaluationReport.of([hold, other])


def test_trajectories_are_the_first_seed_with_gaps_after_the_end(tank: Tank, constant: type[Constant]) -> None:
    reporter = EvaluationReporter(tank, CONFIG)
    with pytest.raises(EvaluationError, match="'leak' has not been run"):
        reporter.trajectories("leak")
    row = reporter.scenario("leak", constant(1.0), open_baseline(BaselineConfig(), tank))
    arrays = reporter.trajectories("leak")
    assert arrays["t_s"][0] == 2.0
    assert {len(a) for a in arrays.values()} == {240}
    assert {"rl/level", "rl/reward", "rl/action/0", "baseline/level_setpoint"} <= set(arrays)
    assert np.isnan(arrays["rl/level"]).sum() > 0, "the overflow ended it"
    assert np.nansum(arrays["rl/reward"]) == pytest.approx(row.rl.returns[0])
    assert np.isfinite(arrays["baseline/level"]).all()


def test_progress_counts_both_controllers(tank: Tank) -> None:
    seen: list[tuple[int, int]] = []
    pid = open_baseline(BaselineConfig(), tank)
    assert pid is not None
    EvaluationReporter(tank, CONFIG).scenario("hold", pid, pid, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 240) for i in range(1, 241)]


def test_scenarios_that_do_not_exist_are_refused_with_the_near_name(tank: Tank) -> None:
    with pytest.raises(PlantError, match="no scenario 'stepp': did you mean 'step'"):
        EvaluationReporter(tank, EvaluationConfig(scenarios=("hold", "stepp")))
    with pytest.raises(PlantError, match="it has hold, step, leak"):
        EvaluationReporter(tank, CONFIG).scenario("zzz", open_baseline(BaselineConfig(), tank), None)  # type: ignore[arg-type]


def test_the_evaluator_can_be_replaced(tank: Tank, constant: type[Constant]) -> None:
    made: list[float] = []

    def factory(plant: Any, confidence: float) -> Evaluator:
        made.append(confidence)
        return Evaluator(plant, confidence)

    EvaluationReporter(tank, CONFIG, factory).scenario("hold", constant(0.0), None)
    assert made == [0.95]
