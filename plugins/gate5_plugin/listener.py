"""A run's note in Airflow's list of runs: what became of it. Written by the scheduler when the run ends.

The scheduler waits for this, so it asks nothing but Airflow's own database: no workspace, no store.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.listeners import hookimpl
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import object_session

from gate5.config.gpus import RELEASE_DAG, is_release
from gate5.errors import Gate5Error
from gate5_plugin.status import find_run, run_outcome, stages_of

_LONGEST = 900
_log = logging.getLogger("gate5.plugin")


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Write the note."""
    note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Write the note."""
    note(dag_run)


def note(dag_run: Any) -> None:
    """Put what became of a run into its note, below what a person wrote there; a fault here stops no run."""
    session = object_session(dag_run) if is_release(dag_run.dag_id) else None
    if session is None:
        return
    try:
        with session.no_autoflush:
            found = find_run(session, dag_run.dag_id, dag_run.run_id, files=False)
        if found is None or not (found.release or dag_run.dag_id == RELEASE_DAG):
            return  # somebody else's DAG, whose name begins as ours do
        became, resolved = run_outcome(found, stages_of(found), stands=False), found.value("resolve")
        about = resolved if isinstance(resolved, Mapping) else {}
        candidate = f" Candidate {about['source']} ({str(about.get('policy_sha256'))[:12]})." if about else ""
        text = f"{became.word}: {became.sentence}{candidate}"[:_LONGEST]
        before = dag_run.note or ""
        dag_run.note = before if text in before else f"{before}\n\n{text}".strip()
    except (Gate5Error, SQLAlchemyError, ValueError, TypeError, KeyError, AttributeError):
        _log.exception("The note of the run %s could not be written", dag_run.run_id)
