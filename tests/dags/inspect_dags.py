"""Run as a process of its own: parse the DAG folder and print what the tests want to know as JSON, a line each time.

A process of its own, because the question which modules parsing imports has no answer in a process that runs pytest.
Each line that it reads is a JSON object of environment variables, with which a forked process parses; Airflow, which
takes longest, is imported once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "pycuda",
    "boto3",
    "numpy",
    "gymnasium",
    "CoolProp",
    "plotly",
    "openlineage",
)


def main() -> None:
    """Parse an empty folder first: what Airflow itself imports is not the DAGs' doing."""
    sys.path.insert(0, str(ROOT / "dags"))  # as Airflow's DAG bundles do
    from airflow.dag_processing.dagbag import DagBag

    empty = Path(sys.argv[1])
    DagBag(str(empty))
    before = set(sys.modules)
    for line in sys.stdin:
        if child := os.fork():
            if status := os.waitpid(child, 0)[1]:
                print(json.dumps({"status": status}), flush=True)
            continue
        os.environ |= json.loads(line)
        bag = DagBag(str(ROOT / "dags"))
        loaded = [name for name in HEAVY if name in sys.modules and name not in before]
        dags = {dag_id: describe(dag) for dag_id, dag in bag.dags.items()}
        print(json.dumps({"errors": bag.import_errors, "heavy": loaded, "dags": dags}), flush=True)
        os._exit(0)


def describe(dag: Any) -> dict[str, Any]:
    """One DAG in plain types."""
    listens = getattr(dag.timetable, "asset_condition", None)
    return {
        "doc": dag.doc_md,
        "groups": {name: sorted(of.children) for name, of in dag.task_group.get_task_group_dict().items() if name},
        "params": sorted(dag.params),
        "channel": dag.params.get("channel"),
        "assets": sorted(asset.name for asset in getattr(listens, "objects", [])),
        "timetable": type(dag.timetable).__name__,
        "next_run_in_s": next_run_in_s(dag),
        "tasks": {task.task_id: describe_task(task) for task in dag.tasks},
    }


def describe_task(task: Any) -> dict[str, Any]:
    """One task in plain types; a mapped one's values are those of its partial."""
    limit = task.execution_timeout
    return {
        "pool": task.pool,
        "pool_slots": task.pool_slots,
        "queue": task.queue,
        "retries": task.retries,
        "timeout_s": limit.total_seconds() if isinstance(limit, timedelta) else None,
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "upstream": sorted(task.upstream_task_ids),
        "downstream": sorted(task.downstream_task_ids),
        "doc": bool(task.doc_md or getattr(getattr(task, "python_callable", None), "__doc__", None)),
        "teardown": bool(task.is_teardown),
        "mapped": bool(task.is_mapped),
        "starts": task.partial_kwargs.get("trigger_dag_id") if task.is_mapped else None,
        "emits": sorted((type(out).__name__, out.name) for out in getattr(task, "outlets", [])),
        "told": bool(task.partial_kwargs["on_failure_callback"] if task.is_mapped else task.on_failure_callback),
    }


def next_run_in_s(dag: Any) -> float | None:
    """When the timetable would start a first run of a DAG that was just unpaused, in seconds from now."""
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction

    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    info = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
    )
    return None if info is None else info.run_after.timestamp() - time.time()


if __name__ == "__main__":
    main()
