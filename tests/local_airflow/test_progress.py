"""What `make release` prints while it waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_airflow import progress as module
from local_airflow.progress import Progress, log_tail


def instance(task_id: str, state: str | None, **more: Any) -> dict[str, Any]:
    """A task as Airflow's API describes it."""
    plain = {"map_index": -1, "try_number": 1, "start_date": None, "end_date": None, "duration": None}
    return {"task_id": task_id, "state": state, "rendered_map_index": None, **plain, **more}


@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Progress:
    monkeypatch.setenv("GATE5_WORKSPACES", str(tmp_path / "workspaces"))
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    return Progress("dag", "run", tmp_path / "logs")


def shown(progress: Progress, capsys: pytest.CaptureFixture[str], *instances: dict[str, Any]) -> list[str]:
    progress.show(list(instances))
    return [" ".join(line.split()[1:]) for line in capsys.readouterr().out.splitlines()]


def test_each_change_is_told_once(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    running, done = instance("build", "running"), instance("build", "success", duration=1.25)
    assert shown(progress, capsys, instance("build", None)) == []
    assert shown(progress, capsys, running) == ["build started"]
    assert shown(progress, capsys, running) == []
    assert shown(progress, capsys, done) == ["build done 1.2 s"]
    assert shown(progress, capsys, done) == []


def test_the_branch_not_taken_and_what_a_failure_stopped_are_not_told(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [instance("promote", "skipped"), instance("gate", "upstream_failed"), instance("build", "failed")]
    assert shown(progress, capsys, *states) == ["build failed"]


def test_a_second_try_is_told(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    shown(progress, capsys, instance("build", "running"))
    assert shown(progress, capsys, instance("build", "up_for_retry")) == ["build to retry"]
    assert shown(progress, capsys, instance("build", "running", try_number=2)) == ["build started try 2"]


def test_a_scenario_is_told_by_its_name(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow knows the name a moment after the start; a bare number says nothing."""
    assert shown(progress, capsys, instance("evaluate", "running", map_index=3, rendered_map_index="3")) == []
    named = instance("evaluate", "running", map_index=3, rendered_map_index="eaf_transients")
    assert shown(progress, capsys, named) == ["evaluate eaf_transients started"]


def test_a_long_task_shows_its_newest_log_line(
    progress: Progress, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "logs" / "dag_id=dag" / "run_id=run" / "task_id=evaluate" / "map_index=0" / "attempt=1.log"
    path.parent.mkdir(parents=True)
    lines = [
        {"logger": "gate5.evaluation", "event": "10 of 50 episodes"},
        {"logger": "airflow.task", "event": "noise"},
        {"logger": "gate5.evaluation", "event": "20 of 50 episodes"},
    ]
    text = "not JSON\n" + "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text + '{"logger": "gate5.evaluation", "event": "half a li')
    task = instance("evaluate", "running", map_index=0, rendered_map_index="steady_state")
    assert "evaluate steady_state ... 20 of 50 episodes" in shown(progress, capsys, task)
    assert shown(progress, capsys, task) == []
    with path.open("a") as file:
        file.write('ne"}\n')
    assert shown(progress, capsys, task) == ["evaluate steady_state ... half a line"]


def test_the_log_of_a_broken_task_ends_with_the_error(tmp_path: Path) -> None:
    frames = [{"filename": "stages.py", "lineno": 7, "name": "build"}]
    detail = {"exc_type": "EngineError", "exc_value": "no memory", "frames": frames}
    path = tmp_path / "attempt=1.log"
    path.write_text(json.dumps({"level": "error", "event": "Task failed", "error_detail": [detail]}) + "\n")
    assert log_tail(path) == ["error: Task failed", "  stages.py:7 in build", "  EngineError: no memory"]
