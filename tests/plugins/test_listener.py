"""The note in the list of runs: written on a real row of Airflow's database, below what a person wrote there."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from gate5.report.outcome import Outcome


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run as the scheduler holds it; its outcome is given, because the way to it is tested on a real scheduler."""
    from gate5_plugin import listener, status

    class Session:
        no_autoflush = nullcontext()

    class Run:
        dag_id, run_id, note = "policy_release", "r", None

    resolved = {("resolve", -1, "return_value"): {"source": "s3://b/c", "policy_sha256": "a" * 64}}
    monkeypatch.setattr(listener, "object_session", lambda _: Session())
    monkeypatch.setattr(listener, "find_run", lambda *_, **__: status.Found(Run(), [], resolved, None))
    monkeypatch.setattr(listener, "run_outcome", lambda *_, **__: Outcome("rejected", "ada rejected it.", "ada"))
    return Run()


def test_it_says_what_became_of_the_run_once_and_keeps_what_a_person_wrote(run: Any) -> None:
    from gate5_plugin.listener import on_dag_run_failed

    run.note = "for the audit"
    for _ in range(2):
        on_dag_run_failed(run, "")
    assert run.note == "for the audit\n\nREJECTED BY ada: ada rejected it. Candidate s3://b/c (aaaaaaaaaaaa)."


def test_runs_of_other_dags_are_left_alone(run: Any) -> None:
    from gate5_plugin.listener import note

    run.dag_id = "somebody_elses"
    note(run)
    assert run.note is None


def test_a_fault_stops_no_run(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gate5_plugin import listener

    def fault(*_: object, **__: object) -> Outcome:
        raise ValueError("no")

    monkeypatch.setattr(listener, "run_outcome", fault)
    listener.on_dag_run_success(run, "")
    assert run.note is None
