"""Runs on further kinds of GPU: listed and noted as the first kind's, for whoever may see them; on Airflow's tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

from tests.support import releases_site as site

FIRST, OTHER, GONE, STRANGE = "policy_release", "policy_release_l4", "policy_release_t4", "policy_release_notes"
DAGS = (FIRST, OTHER, GONE, STRANGE, "policy_releases", "policy_retrain")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Of each kind a run that has been refused, of one that is configured no more; and of somebody else's DAGs, too."""
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

    import_all_models()  # type: ignore[no-untyped-call]
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    begun = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with Session(engine) as opened:
        for minutes, dag_id in enumerate(DAGS):
            at = begun + timedelta(minutes=minutes)
            about = {"bundle_name": "dags", "max_active_tasks": 1, "max_consecutive_failed_dag_runs": 0}
            opened.execute(
                insert(DagModel).values(
                    dag_id=dag_id, has_task_concurrency_limits=False, is_stale=dag_id == GONE, **about
                )
            )
            run = {"dag_id": dag_id, "run_id": "r", "run_type": "manual", "state": "failed", "run_after": at}
            opened.execute(insert(DagRun).values(id=minutes, start_date=at, **run))
            for name in ("write",) if dag_id == STRANGE else ("resolve", "gate"):
                task = {"task_id": name, "dag_id": dag_id, "run_id": "r", "pool": "default_pool", "state": "failed"}
                opened.execute(insert(TaskInstance).values(**task))
        opened.commit()
        yield opened


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))


class Rights:
    """An auth manager that knows rights per DAG."""

    def __init__(self, *dag_ids: str) -> None:
        self.dag_ids = dag_ids

    def is_authorized_dag(self, *, method: str, access_entity: Any, user: Any, details: Any) -> bool:
        assert (method, access_entity.name, user) == ("GET", "XCOM", "ada")
        return details.id in self.dag_ids


@pytest.mark.parametrize("seen", [DAGS, (FIRST,), (FIRST, OTHER), ()])
def test_a_reader_sees_the_runs_of_the_kinds_that_they_may_see(
    session: Session, monkeypatch: pytest.MonkeyPatch, seen: tuple[str, ...]
) -> None:
    from gate5_plugin import security
    from gate5_plugin.releases.candidates import candidates

    monkeypatch.setattr(security, "get_auth_manager", lambda: Rights(*seen))
    allowed = security.release_dags("ada", session)  # type: ignore[arg-type]
    assert set(allowed) == set(seen) & {FIRST, OTHER, GONE, STRANGE}, "also of a kind that is configured no more"
    found = candidates(session, allowed)
    assert [one.dag_id for one in found] == [dag_id for dag_id in (GONE, OTHER, FIRST) if dag_id in seen]
    assert {one.word for one in found} <= {"BROKEN"}


def test_the_page_names_the_kind_and_leads_to_its_run(session: Session, tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from gate5_plugin.releases.candidates import candidates

    last = candidates(session, [FIRST, OTHER])
    page = TestClient(site.application(site.config(tmp_path), candidates=last)).get("/gate5/releases").text
    assert "</a> on l4</div>" in page
    assert 'href="/dags/policy_release_l4/runs/r"' in page
    assert page.count("</a> on ") == 1, "the first kind needs no name"


def test_the_note_is_written_for_every_kind_and_for_no_other_dag(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.dagrun import DagRun

    from gate5_plugin import listener

    monkeypatch.setattr(listener, "object_session", lambda _: session)
    notes = {}
    for run in session.scalars(select(DagRun)).all():
        seen = SimpleNamespace(dag_id=run.dag_id, run_id=run.run_id, note=None)
        listener.note(seen)
        notes[run.dag_id] = seen.note
    assert {dag_id for dag_id, note in notes.items() if note} == {FIRST, OTHER, GONE}
    assert notes[OTHER].startswith("BROKEN: resolve failed")
