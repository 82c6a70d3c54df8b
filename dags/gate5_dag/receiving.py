"""The first task of a release: which candidate it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import get_current_context

from gate5_dag.candidate import RECEIVED, Received, receive, receive_form, run_type
from gate5_dag.credentials import store_credentials
from gate5_dag.tasks import load_config, log


def receive_candidate(newest: Iterable[Any]) -> list[dict[str, Any]]:
    """Receive a candidate, into the XCom ``received``; returns the runs to start for the others.

    Args:
        newest: the events on the candidate asset that came last.
    """
    context: Any = get_current_context()
    if run_type(context) == "manual":  # a person chose; neither store nor announcements have a say
        return _hand_on(context, receive_form(context))
    from gate5.store import open_store

    config = load_config(context["params"])
    with store_credentials(config):
        received = receive(context, newest, open_store(config.store), config.schedule.on_many, state_of)
    for note in received.notes:
        log.info("not judged by this run: %s", note)
    log.info("this run judges %s", received.source or "no candidate")
    return _hand_on(context, received)


def _hand_on(context: Any, received: Received) -> list[dict[str, Any]]:
    context["ti"].xcom_push(key=RECEIVED, value=received.to_dict())
    return received.others


def state_of(run_id: str, dag_id: str | None = None) -> str | None:
    """A run's state; ``None`` where Airflow knows no such run.

    Args:
        dag_id: its DAG; ``None``: the one of the current task.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    context: Any = get_current_context()
    try:
        found = context["ti"].get_dagrun_state(dag_id or context["dag_run"].dag_id, run_id)
    except AirflowRuntimeError:
        return None
    return str(getattr(found, "value", found))
