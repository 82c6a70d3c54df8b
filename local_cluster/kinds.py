"""Another kind of GPU beside the first, with two workers: one announced candidate is judged on each kind."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate5.config.gpus import release_dag
from gate5.errors import OperationError
from gate5.store import announced
from local_airflow.patience import wait_for
from local_cluster.boxes import Box, share, write_config
from local_cluster.cluster import CHECKPOINT, CONFIG, DAG, QUICK, Cluster
from local_cluster.faults import Case, Fault, Met
from local_cluster.outcome import Ending, channel_log, cluster_store
from local_cluster.processes import Running

KIND, CHANNEL, PLACE = "l4", "production-l4", "gpu_l4"
WORKERS = ("l4-worker-1", "l4-worker-2")
SITE: dict[str, Any] = {**QUICK, "other_gpus": {KIND: {"channel": CHANNEL}}}
#: A run that a person starts, so that the second worker of the kind has something to do, too.
TRIAL = "kinds-trial"
GONE = WORKERS[0]
KINDS = Case(
    "kinds",
    (
        Fault("a candidate announced, judged on two kinds of GPU", "all", lambda _: None),
        Fault(f"kill -9 {GONE}, one of two of its kind, for good", "falsify", lambda cluster: gone_for_good(cluster)),
    ),
)
#: Airflow's names of runs that an announcement starts.
ANNOUNCED = "asset_triggered__"


@dataclass(frozen=True)
class Ran:
    """A run on a kind of GPU.

    Attributes:
        dag_id, run_id: its name.
        channel: that it has to move.
        place: the pool and the queue of its GPU tasks.
        workers: the boxes that may run them.
    """

    dag_id: str
    run_id: str
    channel: str
    place: str
    workers: tuple[str, ...]


def kind_box(cluster: Cluster, name: str) -> Box:
    """The box of a worker as docker-compose.yaml has it for another kind: as the first's, but for the queue."""
    first = cluster.boxes["gpu-worker"].service
    words = tuple(PLACE if word == "gpu" else word for word in first.command)
    return Box(replace(first, name=name, command=words), cluster.folder / name, cluster.ports)


@contextlib.contextmanager
def other_kind(cluster: Cluster) -> Iterator[dict[str, Box]]:
    """The site configured for another kind, its pool made and its workers started; all as before afterwards."""
    boxes, dag_id = {name: kind_box(cluster, name) for name in WORKERS}, release_dag(KIND)
    for box in boxes.values():
        box.folder.mkdir(mode=0o755)
        box.make()
    write_config(boxes, CONFIG, SITE)
    share({"trust": cluster.boxes["gpu-worker"].code / "var/keys"}, boxes)
    cluster.configure(SITE)
    try:
        cluster.init()
        cluster.processes.kill("dag-processor")  # back at once, it reads the DAGs as the site now has them
        for name, box in boxes.items():
            cluster.processes.start(Running(name, box.command(), box.environment(), box.code, box.log, stays=True))
        cluster.patiently(lambda: cluster.api.call("PATCH", f"dags/{dag_id}", {"is_paused": False}))
        yield boxes
    finally:
        cluster.configure(QUICK)
        with contextlib.suppress(OperationError):
            cluster.api.call("PATCH", f"dags/{dag_id}", {"is_paused": True})
        cluster.processes.kill("dag-processor")
        for name in boxes:
            cluster.processes.stop(name)


def carry_out_kinds(cluster: Cluster) -> Met:
    """Announce a candidate, wait for both kinds' runs, and look where each task ran and what each channel has.

    A worker of the kind is gone from the middle of its run on.
    """
    began = time.monotonic()
    with other_kind(cluster) as boxes:
        announce(cluster)
        other = release_dag(KIND)
        conf = {"checkpoint": CHECKPOINT, "config": f"config/{CONFIG}", "channel": TRIAL}
        cluster.patiently(lambda: cluster.api.trigger(other, TRIAL, conf))
        runs = [
            Ran(DAG, started(cluster, DAG), "production", "gpu", ("gpu-worker",)),
            Ran(other, started(cluster, other), CHANNEL, PLACE, WORKERS),
            Ran(other, TRIAL, TRIAL, PLACE, WORKERS),
        ]
        fault = KINDS.faults[1]
        met = cluster.wait_for_task(runs[1].run_id, fault.task, fault.states, other) in fault.states
        fault.do(cluster)
        every = {**cluster.boxes, **boxes}
        wrong, beside = list[str](), list[dict[str, Any]]()
        for run in runs:
            wrong += faults_of(cluster, run, every)
            beside += cluster.tasks(run.run_id, run.dag_id) if run.place == PLACE else []
        wrong += beside_a_benchmark(beside)
        known = sorted((str(each.announcement.gpu), each.outcome) for each in announced.recent(cluster_store(cluster)))
        if known != [("None", "promoted"), (KIND, "promoted")]:
            wrong.append(f"the candidate was announced once, and `gate5 candidates` has {known}")
    told = tuple(f"promoted on {run.place}" for run in runs)
    tries = {
        f"{task['dag_run_id'][:15]}: {task['task_id']}": task["try_number"] for task in beside if task["try_number"] > 1
    }
    return Met(KINDS, (True, met), time.monotonic() - began, Ending("kinds", "success", told, tries, tuple(wrong)))


def gone_for_good(cluster: Cluster) -> None:
    """One worker of the kind is killed and does not come back: the other one does what is left."""
    cluster.processes.kill(GONE, stays=False)


def faults_of(cluster: Cluster, run: Ran, boxes: Mapping[str, Box]) -> list[str]:
    """What is not right of a run, once it has ended: its state, its note, where its tasks ran, its channel."""
    state = cluster.wait_for_run(run.run_id, run.dag_id)
    about = cluster.patiently(lambda: cluster.api.get(cluster.api.run_path(run.dag_id, run.run_id)))
    wrong = [] if state == "success" else [f"{run.run_id} of {run.dag_id} ended {state}"]
    if not str(about["note"]).startswith("PROMOTED"):
        wrong.append(f"the note of {run.run_id} of {run.dag_id} is {about['note']!r}")
    wrong += out_of_place(run, cluster.tasks(run.run_id, run.dag_id), logs(boxes, run))
    entries, faults = channel_log(cluster, run.channel)
    if [entry.kind for entry in entries] != ["promote"]:
        wrong.append(f"the channel {run.channel} has {[entry.kind for entry in entries]}")
    return [*wrong, *faults]


def announce(cluster: Cluster) -> None:
    """`gate5 candidate`, on the CPU worker's machine."""
    box = cluster.boxes["cpu-worker"]
    login = {
        "AIRFLOW_URL": cluster.api.address,
        "AIRFLOW_USER": "admin",
        "AIRFLOW_PASSWORD": cluster.variables["GATE5_ADMIN_PASSWORD"],
    }
    command = ["gate5", "candidate", CHECKPOINT]
    environment = {**box.environment(), **login}
    done = subprocess.run(command, env=environment, cwd=box.code, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OperationError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}")


def started(cluster: Cluster, dag_id: str) -> str:
    """The run that an announcement has started, once it is there."""

    def found() -> str | None:
        runs = cluster.patiently(lambda: cluster.api.get(f"dags/{dag_id}/dagRuns", limit=100))["dag_runs"]
        return next((str(run["dag_run_id"]) for run in runs if run["dag_run_id"].startswith(ANNOUNCED)), None)

    return wait_for(f"The announcement starts no run of {dag_id}", found, cluster.busy, every_s=1.0)


def logs(boxes: Mapping[str, Box], run: Ran) -> dict[str, set[str]]:
    """The tasks of a run that wrote their log in each box, which is where they ran: boxes share no folder."""
    return {
        name: {
            path.name.removeprefix("task_id=")
            for path in (box.folder / "airflow/logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}").glob(
                "task_id=*"
            )
        }
        for name, box in boxes.items()
    }


def out_of_place(run: Ran, tasks: Sequence[Mapping[str, Any]], ran: Mapping[str, set[str]]) -> list[str]:
    """What did not run where it has to: a GPU task on its own kind's workers, in its own pool, and nothing else there.

    Args:
        tasks: as Airflow's API has them.
        ran: by box, the tasks that it ran.
    """
    done = [task for task in tasks if task["state"] == "success"]
    on_gpu = {str(task["task_id"]) for task in done if task["queue"] != "default"}
    wrong = [
        f"{run.dag_id}: {task['task_id']} has the pool {task['pool']} and the queue {task['queue']}"
        for task in done
        if task["queue"] != "default" and (task["pool"], task["queue"]) != (run.place, run.place)
    ]
    if not {"build", "benchmark", "evaluate"} <= on_gpu:
        wrong.append(f"{run.dag_id}: no more than {sorted(on_gpu)} ran on a GPU worker")
    here = set().union(*(ran[name] for name in run.workers))
    if here != on_gpu:
        wrong.append(f"{run.dag_id}: {', '.join(run.workers)} ran {sorted(here)}, and not {sorted(on_gpu)}")
    for name, names in ran.items():
        if name not in run.workers and names & on_gpu:
            wrong.append(f"{run.dag_id}: {name} ran {sorted(names & on_gpu)}")
    return wrong


def beside_a_benchmark(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What ran in a benchmark's pool while it did, on whatever worker: the benchmark has all slots."""
    spans = [(str(task["task_id"]), str(task["dag_run_id"]), *_span(task)) for task in tasks if _in_pool(task)]
    return [
        f"{name} of {run} ran while {other} did its benchmark"
        for benchmark, other, begin, end in spans
        if benchmark == "benchmark"
        for name, run, since, until in spans
        if (name, run) != (benchmark, other) and since < end and begin < until
    ]


def _in_pool(task: Mapping[str, Any]) -> bool:
    return task["queue"] != "default" and bool(task["start_date"]) and bool(task["end_date"])


def _span(task: Mapping[str, Any]) -> tuple[datetime, datetime]:
    begin, end = (datetime.fromisoformat(str(task[key]).replace("Z", "+00:00")) for key in ("start_date", "end_date"))
    return begin, end
