"""Run as a process of its own: ``dag.test()`` of policy_release with each configuration given, and print the outcomes.

    python run_dag.py '[{"checkpoint": "...", "config": "..."}, ...]'

The last line of the output is JSON: for each run its state, its tasks' states and tries, and what the tasks left.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """One run after the other, in one process and one database."""
    from airflow.utils.db import initdb

    sys.path.insert(0, str(ROOT / "dags"))
    initdb()
    from policy_release import policy_release  # type: ignore[import-not-found,unused-ignore]

    dag = policy_release()
    print(json.dumps([outcome(dag.test(run_conf=conf)) for conf in json.loads(sys.argv[1])]))


def outcome(run: Any) -> dict[str, Any]:
    """A finished run in plain types."""
    instances = run.get_task_instances()
    return {
        "run_id": run.run_id,
        "state": str(run.state),
        "tasks": {name(task): str(task.state) for task in instances},
        "tries": {name(task): task.try_number for task in instances},
        "xcom": {
            "gate": pull(run, "gate", "return_value"),
            "promote": pull(run, "promote", "return_value"),
            "reasons": pull(run, "reject", "reasons"),
            "error": pull(run, "resolve", "error"),
        },
    }


def name(task: Any) -> str:
    """``evaluate[steady_state]`` for a mapped task."""
    return f"{task.task_id}[{task.rendered_map_index}]" if task.map_index >= 0 else str(task.task_id)


def pull(run: Any, task_id: str, key: str) -> Any:
    """What a task left under a key."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        row = session.scalars(
            XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, task_ids=task_id, key=key)
        ).first()
        return None if row is None else XComModel.deserialize_value(row)


if __name__ == "__main__":
    main()
