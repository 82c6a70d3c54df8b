"""A GPU worker behind a firewall: Airflow's edge worker in place of Celery's. It knows api-server and S3 alone."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from gate5.errors import OperationError
from local_airflow.patience import wait_for
from local_cluster.boxes import Box, share, write_config
from local_cluster.cluster import CONFIG, DAG, QUICK, Cluster
from local_cluster.compose import read_services
from local_cluster.packages import ROOT
from local_cluster.processes import Running

WORKER, EXECUTOR = "edge-worker", "EdgeExecutor"
#: What docker-compose.yaml says is to be set for it.
SITE = {
    "GATE5_EXECUTOR": f"CeleryExecutor,{EXECUTOR}:airflow.providers.edge3.executors.{EXECUTOR}",
    "GATE5_EDGE": "true",
    "GATE5_GPU_EXECUTOR": EXECUTOR,
}
#: Who has to know of it.
CHANGED = ("api-server", "scheduler", "dag-processor")


def far_box(cluster: Cluster) -> Box:
    """The box of the worker, from the compose file of its machine."""
    variables = {**cluster.variables, "GATE5_SITE": "http://api-server:8080"}
    service = read_services(ROOT / "deploy/edge/docker-compose.yaml", variables)[WORKER]
    return Box(service, cluster.folder / WORKER, cluster.ports)


@contextlib.contextmanager
def edge_worker(cluster: Cluster) -> Iterator[None]:
    """The GPU worker gone, an edge worker in its place, the site told of it; and all as before afterwards."""
    box, processes = far_box(cluster), cluster.processes
    box.folder.mkdir(mode=0o755)
    box.make()
    write_config({WORKER: box}, CONFIG, QUICK)
    trust = cluster.boxes["gpu-worker"]
    share({"trust": trust.code / "var/keys"}, {WORKER: box})
    services = read_services(ROOT / "docker-compose.yaml", {**cluster.variables, **SITE})
    processes.stop("gpu-worker")
    try:
        _start_again(
            cluster, {name: Box(services[name], cluster.boxes[name].folder, cluster.ports) for name in CHANGED}
        )
        processes.start(Running(WORKER, box.command(), box.environment(), box.code, box.log, stays=True))
        yield
    finally:
        processes.stop(WORKER)
        _start_again(cluster, {name: cluster.boxes[name] for name in CHANGED})
        processes.again("gpu-worker")


def check_edge(cluster: Cluster, run_id: str, task_id: str) -> None:
    """Make sure that a task runs on the edge worker, and that this one keeps nothing in a database of its own.

    Raises:
        OperationError: it does not, or has.
    """
    (found,) = {(str(t["executor"]), str(t["hostname"])) for t in cluster.tasks(run_id) if t["task_id"] == task_id}
    if found[0] != EXECUTOR:
        raise OperationError(f"{task_id} runs on {found[0]} of {found[1]}, and not on {EXECUTOR}.")
    for made in (cluster.folder / WORKER).rglob("airflow.db"):  # Airflow opens one, whatever it is for
        with contextlib.closing(sqlite3.connect(f"file:{made}?mode=ro", uri=True)) as database:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise OperationError(f"The edge worker has made itself a database: {made}.")


def _start_again(cluster: Cluster, boxes: Mapping[str, Box]) -> None:
    """Services with other boxes' environments; the DAG processor has read the DAG again when this returns."""

    def parsed() -> str:
        return str(cluster.patiently(lambda: cluster.api.get(f"dags/{DAG}"))["last_parsed_time"])

    before = parsed()
    with ThreadPoolExecutor() as side_by_side:  # each takes some seconds to end
        for done in [
            side_by_side.submit(cluster.processes.started_again, name, box.environment()) for name, box in boxes.items()
        ]:
            done.result()
    wait_for("The DAG is not read again", lambda: parsed() != before or None, every_s=1.0)
