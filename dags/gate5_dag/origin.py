"""Who started a run, and where its page is: noted in the run's workspace, for report, manifest and log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from gate5.workspace.artifacts import Workspace


def note_origin(workspace: Workspace) -> None:
    """Write ``run.json``: the person who started the run (none where a schedule or an event did) and its address."""
    from gate5.workspace import origin

    run = get_current_context()["dag_run"]
    begun = None if run.start_date is None else run.start_date.strftime("%Y-%m-%dT%H:%M:%SZ")
    person = getattr(run, "triggering_user_name", None) or None
    origin.write(workspace, origin.Origin(run.dag_id, run.run_id, person, begun, run_url(run.dag_id, run.run_id)))


def run_url(dag_id: str, run_id: str) -> str | None:
    """The address of a run in Airflow's UI; ``None`` where ``[api] base_url`` is not set."""
    base = base_url()
    return f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}" if base else None


def base_url() -> str | None:
    """The address of Airflow's UI, without a slash at its end; ``None`` where it is not set."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback=None)
    return str(base).rstrip("/") if base else None
