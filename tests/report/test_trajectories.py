"""The panels of one episode: which curves, against which set-point, with which limits and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.evaluation import ScenarioComparison
from gate5.report.artifacts import Arrays, Artifacts
from gate5.report.chart import Chart, draw
from gate5.report.sections import trajectories
from tests.support.finished_run import Run


@pytest.fixture
def episode(run: Run, tmp_path: Path) -> tuple[ScenarioComparison, Arrays]:
    artifacts = Artifacts(run.at(tmp_path))
    row = next(row for row in artifacts.scenarios if row.scenario == "ramp")
    return row, artifacts.trajectories("ramp")


def drawn(episode: tuple[ScenarioComparison, Arrays], monkeypatch: pytest.MonkeyPatch) -> dict[str, Chart]:
    """The charts by title, as they go to the drawing."""
    charts: dict[str, Chart] = {}

    def keep(chart: Chart) -> Any:
        charts[chart.title] = chart
        return draw(chart)

    monkeypatch.setattr(trajectories, "draw", keep)
    trajectories.trajectories(*episode)
    return charts


def test_a_followed_variable_its_error_and_the_actions(
    episode: tuple[ScenarioComparison, Arrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    charts = drawn(episode, monkeypatch)
    assert list(charts) == ["Furnace temperature", "Furnace temperature, error", "Action: burner"]
    curves = {series.name: series for series in charts["Furnace temperature"].series}
    assert set(curves) == {"policy", "PID", "set-point"}
    assert np.array_equal(curves["policy"].y, episode[1]["rl/temperature"])
    assert np.array_equal(curves["PID"].y, episode[1]["baseline/temperature"])
    assert curves["PID"].x[-1] == 300 * 5 / 60


def test_an_episode_that_ended_early_keeps_the_pids_set_point_and_error(
    episode: tuple[ScenarioComparison, Arrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    row, arrays = episode
    cut = {name: np.where(np.arange(300) < 100, data, np.nan) if name.startswith("rl/") else data
           for name, data in arrays.items()}  # fmt: skip
    charts = drawn((row, cut), monkeypatch)
    curves = {series.name: series for series in charts["Furnace temperature"].series}
    assert np.isfinite(curves["set-point"].y).all()
    errors = {series.name: series for series in charts["Furnace temperature, error"].series}
    assert np.isfinite(errors["PID"].y).all()
    assert np.isfinite(errors["policy"].y).sum() == 100
    expected = arrays["baseline/temperature"] - arrays["baseline/temperature_setpoint"]
    assert np.allclose(errors["PID"].y, expected)


def test_every_declared_limit_is_drawn_where_it_applies(
    episode: tuple[ScenarioComparison, Arrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {limit.name: limit for limit in drawn(episode, monkeypatch)["Furnace temperature"].limits}
    assert {name: (limit.value, limit.upper) for name, limit in limits.items()} == {
        "too_hot": (760.0, True), "too_cold": (665.0, False), "melts": (800.0, True)
    }  # fmt: skip
    assert limits["melts"].catastrophic
    assert limits["too_hot"].where is None
    flags = np.maximum(episode[1]["rl/hot"], episode[1]["baseline/hot"])
    assert limits["too_cold"].where is not None
    ((begin, end),) = limits["too_cold"].where
    assert begin == pytest.approx(np.argmax(flags) * 5 / 60, abs=5 / 60)
    assert end == 25.0


def test_a_constraint_that_never_applied_is_not_drawn(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.loads(run.artifacts["evaluation/ramp.json"])
    for constraint in data["rl"]["constraints"]:
        constraint["checked"] = 0 if constraint["name"] == "too_cold" else constraint["checked"]
    changes = {"evaluation/ramp.json": json.dumps(data).encode()}
    artifacts = Artifacts(run.at(tmp_path, changes=changes))
    row = next(row for row in artifacts.scenarios if row.scenario == "ramp")
    chart = drawn((row, artifacts.trajectories("ramp")), monkeypatch)["Furnace temperature"]
    assert {limit.name for limit in chart.limits} == {"too_hot", "melts"}


def test_the_worst_seed_is_drawn_beside_the_first(
    episode: tuple[ScenarioComparison, Arrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    row, arrays = episode
    worst = {f"worst/{name.removeprefix('rl/')}": data + 1.0 for name, data in arrays.items() if name.startswith("rl/")}
    charts = drawn((row, {**arrays, **worst}, 4711), monkeypatch)  # type: ignore[arg-type]
    assert list(charts)[:4] == [
        "Furnace temperature",
        "Furnace temperature, worst seed",
        "Furnace temperature, error",
        "Furnace temperature, error, worst seed",
    ]
    beside = {series.name: series for series in charts["Furnace temperature, worst seed"].series}
    assert np.array_equal(beside["policy"].y, arrays["rl/temperature"] + 1.0)
    assert "PID" not in beside, "the policy alone drove it"
    assert list(drawn((row, arrays, 4711), monkeypatch)) == list(drawn(episode, monkeypatch)), "where it was not kept"  # type: ignore[arg-type]
