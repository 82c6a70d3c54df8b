"""How far a run is: its tasks from Airflow's database, its report from its workspace."""

from __future__ import annotations

from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select

from gate5.workspace.address import find_run_workspace
from gate5.workspace.contents import STAGES
from gate5_plugin.run import RunStatus, Stage

#: The tasks of a run in the order in which they come: the stages, and what Airflow has beside them.
_BEFORE = {"evaluate": "scenarios", "promote": "approval"}
ORDER = tuple(task for stage in STAGES for task in (_BEFORE.get(stage.name), stage.name) if task is not None)
#: Tasks that say nothing to the reader of a report.
HIDDEN = {"scenarios"}
_COLUMNS: tuple[Any, ...] = (
    TaskInstance.task_id,
    TaskInstance.map_index,
    TaskInstance.state,
    TaskInstance.rendered_map_index,
)


def run_status(session: Any, dag_id: str, run_id: str) -> RunStatus | None:
    """The status of a run, or ``None`` where Airflow has no such run.

    Raises:
        Gate5Error: the workspace cannot be read.
    """
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if run is None:
        return None
    tasks = session.execute(select(*_COLUMNS).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)).all()
    known = [task for task in tasks if task.task_id in ORDER]
    known.sort(key=lambda task: (ORDER.index(task.task_id), task.map_index))
    stages = tuple(
        Stage(_name(task), str(task.state or "waiting"))
        for task in known
        if task.task_id not in HIDDEN and task.state not in ("skipped", "removed")
    )
    release = {"resolve", "gate"} <= {task.task_id for task in tasks}
    workspace = find_run_workspace(dag_id, run_id) if release else None
    has_report = workspace is not None and workspace.exists("report.html")
    return RunStatus(str(run.state), release, stages, has_report)


def _name(task: Any) -> str:
    if task.map_index < 0:
        return str(task.task_id)
    return f"{task.task_id} {task.rendered_map_index or task.map_index}"
