"""The last runs of the DAGs that release, and what became of each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.models.dagrun import DagRun
from sqlalchemy import select

from gate5.config.gpus import RELEASE_DAG
from gate5.errors import Gate5Error, StoreError
from gate5_plugin.pages import headline
from gate5_plugin.run import RunStatus
from gate5_plugin.status import find_run, run_status

LAST = 12


@dataclass(frozen=True)
class Candidate:
    """A run and what became of it."""

    dag_id: str
    run_id: str
    at: str | None
    candidate: str | None
    by: str | None
    word: str
    colour: str
    reason: str | None


def candidates(session: Any, dag_ids: Sequence[str], limit: int = LAST) -> list[Candidate]:
    """The last runs of some DAGs, newest first; one that cannot be read says so."""
    asked = (
        select(DagRun)
        .where(DagRun.dag_id.in_(dag_ids))
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(limit)
    )
    found: list[Candidate] = []
    down: Gate5Error | None = None
    for run in session.scalars(asked).all():
        one, down = _candidate(session, run, down)
        if one is not None:
            found.append(one)
    return found


def _candidate(session: Any, run: Any, down: Gate5Error | None) -> tuple[Candidate | None, Gate5Error | None]:
    """A run; ``down``: where the workspaces of others did not answer, this one's is not asked either.

    ``None``: it is of somebody else's DAG, whose name begins as ours do.
    """
    at = run.start_date.strftime("%Y-%m-%dT%H:%M:%SZ") if run.start_date else None
    source, problem = (run.conf or {}).get("checkpoint"), None
    status: RunStatus | None = None
    found = find_run(session, run.dag_id, run.run_id, files=False)
    if found is not None and not found.release and run.dag_id != RELEASE_DAG:
        return None, down
    resolved = found.value("resolve") if found else None
    if isinstance(resolved, Mapping):
        source = f"{resolved.get('source')} ({str(resolved.get('policy_sha256'))[:12]})"
    try:
        if down is not None:
            raise down
        status = run_status(session, run.dag_id, run.run_id)
    except Gate5Error as error:
        down, problem = error if isinstance(error, StoreError) else None, str(error)
    word, colour, reason = _became(status, str(run.state))
    text = None if source is None else str(source)
    by = run.triggering_user_name
    return Candidate(run.dag_id, run.run_id, at, text, by, word, colour, problem or reason), down


def _became(status: RunStatus | None, state: str) -> tuple[str, str, str | None]:
    if status is None or (status.outcome is None and not status.waits):
        return state.upper(), "wait", None if status is None else headline(status)
    if status.outcome is None:
        return "WAITS FOR AN ANSWER", "warn", None
    return status.outcome.word, status.outcome.colour, status.outcome.sentence
