"""What is done when a task has failed for good: people are told, and the candidate's record says so."""

from __future__ import annotations

from typing import Any

from gate5.config.gpus import is_release
from gate5.io import canonical
from gate5_dag.tasks import log, run_workspace


def on_failure(context: Any) -> None:
    """Airflow's ``on_failure_callback``: told once for a run, whatever else fails in it; again where it was cleared.

    A refusal (exit code 1, as of a held policy) is told as one; `reject` tells its own.
    """
    from airflow.sdk.execution_time.context import set_current_context

    try:
        with set_current_context(context):  # Airflow has left the task's own by now
            _tell(context)
    except Exception:  # noqa: BLE001 - the task has failed already
        log.exception("Nobody was told that this run has failed")


def _tell(context: Any) -> None:
    from gate5_dag.judged import tell_end
    from gate5_dag.moved import told_of
    from gate5_dag.told import tell

    ti = context["ti"]
    if ti.task_id == "reject" or _told_before(context["dag_run"]):
        return
    error = ti.xcom_pull(task_ids=ti.task_id, key="error", map_indexes=ti.map_index) or {}
    text = f"{ti.task_id}: {error.get('text') or context.get('exception') or 'it failed without a word'}"
    refused = error.get("exit_code") == 1
    moved = None if refused else told_of()
    if moved is not None:  # and the candidate's record says so
        before = f"before that this run had moved {moved['channel']} (entry {moved['entry']})"
        tell("broken", f"{text.rstrip('.')}; {before}: Releases shows what is in charge")
        return
    tell("refused" if refused else "broken", text)
    if is_release(context["dag_run"].dag_id) and error.get("kind") != "AlreadyJudged":
        tell_end("refused" if refused else "broken", text)


def _told_before(run: Any) -> bool:
    """Whether it was told since the run was cleared last; it is noted that it is told now."""
    workspace, cleared = run_workspace(), int(run.clear_number or 0)
    data = workspace.find("told.json")
    if data is not None and canonical.loads(data).get("cleared", cleared) >= cleared:
        return True
    workspace.write_json("told.json", {"cleared": cleared})
    return False
