"""Run as a process of its own, with Airflow: the pod that the executor would make for a task of the queue `gpu`.

And what is said about each file of the folder that is named.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """As the scheduler does it: the DAG from its serialized form, the override over the template."""
    sys.path.insert(0, str(ROOT / "dags"))
    from airflow.dag_processing.dagbag import DagBag
    from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_utils import get_base_pod_from_template
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from airflow.serialization.serialized_objects import DagSerialization
    from kubernetes.client import ApiClient

    bag = DagBag(str(ROOT / "dags"))
    if bag.import_errors:
        json.dump({"errors": list(bag.import_errors.values())}, sys.stdout)
        return
    serialized = {name: DagSerialization.from_dict(DagSerialization.to_dict(dag)) for name, dag in bag.dags.items()}
    tasks = [task for dag in serialized.values() for task in dag.tasks]
    where = [[task.task_id, task.queue, task.executor, bool(task.executor_config)] for task in tasks]
    build = serialized["policy_release"].get_task("build")
    pod = PodGenerator.construct_pod(
        dag_id="policy_release",
        task_id="build",
        pod_id="one",
        try_number=1,
        kube_image="none",
        date=None,
        args=["python", "-m", "airflow.sdk.execution_time.execute_workload", "--help"],
        pod_override_object=PodGenerator.from_obj(build.executor_config),
        base_worker_pod=get_base_pod_from_template(os.environ["TEMPLATE"], None),
        namespace="default",
        scheduler_job_id="1",
    )
    said = {path.stem: about(path) for path in Path(sys.argv[1]).glob("*.yaml")}
    json.dump({"where": where, "pod": ApiClient().sanitize_for_serialization(pod), "said": said}, sys.stdout)


def about(path: Path) -> str:
    """What `read_pod` refuses a file with."""
    from gate5.errors import ConfigError
    from gate5_dag.pods import read_pod

    try:
        read_pod(path)
    except ConfigError as error:
        return str(error)
    return "taken"


if __name__ == "__main__":
    main()
