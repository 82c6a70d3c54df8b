"""Run as a process of its own: ``dag.test()`` of the DAGs named, one after the other, and print the outcomes as JSON.

    python run_retrain.py '[{"dag": "policy_retrain", "conf": {...}, "keep": "first"}, ...]'

``{"uri_of": "first"}`` as the checkpoint stands for the candidate that the run ``first`` made.
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
    from policy_retrain import policy_retrain  # type: ignore[import-not-found,unused-ignore]

    dags = {"policy_retrain": policy_retrain, "policy_release": policy_release}
    done: dict[str, dict[str, Any]] = {}
    for wanted in json.loads(sys.argv[1]):
        conf = dict(wanted["conf"])
        if isinstance(conf.get("checkpoint"), dict):
            conf["checkpoint"] = done[conf["checkpoint"]["uri_of"]]["xcom"]["train"]["uri"]
        before = len(events())
        run = dags[wanted["dag"]]().test(run_conf=conf)  # made anew: test() leaves its conf in the DAG's params
        done[wanted["keep"]] = {**outcome(run), "events": events()[before:]}
    print(json.dumps(done))


def outcome(run: Any) -> dict[str, Any]:
    """A finished run in plain types."""
    return {
        "run_id": run.run_id,
        "state": str(run.state),
        "tasks": {task.task_id: str(task.state) for task in run.get_task_instances()},
        "tries": {task.task_id: task.try_number for task in run.get_task_instances()},
        "xcom": {
            **{
                task: pull(run, task, "return_value")
                for task in ("train", "quick_check", "announce", "gate", "promote")
            },
            "reasons": pull(run, "quick_check", "reasons"),
            "error": pull(run, "train", "error"),
        },
    }


def pull(run: Any, task_id: str, key: str) -> Any:
    """What a task left under a key."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        row = session.scalars(
            XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, task_ids=task_id, key=key)
        ).first()
        return None if row is None else XComModel.deserialize_value(row)


def events() -> list[dict[str, Any]]:
    """The extras of all events on the candidate asset, oldest first."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return [dict(event.extra) for event in session.scalars(select(AssetEvent).order_by(AssetEvent.id))]


if __name__ == "__main__":
    main()
