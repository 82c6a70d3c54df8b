"""Tasks' messages in Redis: taken by a worker that is killed before it begins, sent again, delivered more than once."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gate5.errors import OperationError
from local_airflow.patience import wait_for
from local_cluster.backing import needed

if TYPE_CHECKING:
    from local_cluster.cluster import Cluster

#: Each worker, with the queue that it takes.
QUEUES = {"cpu-worker": "default", "gpu-worker": "gpu"}


@contextlib.contextmanager
def workers_that_begin_nothing(cluster: Cluster) -> Iterator[None]:
    """Workers take messages and begin nothing: their pools are stopped (STOP). A worker that is started anew begins."""
    for worker in QUEUES:
        wait_for(f"{worker} takes no messages", lambda worker=worker: _listens(cluster, worker))  # type: ignore[misc]
        cluster.processes.freeze_children(worker)
    try:
        yield
    finally:
        for worker in QUEUES:
            cluster.processes.again(worker)
            cluster.processes.thaw(worker)


def kill_before_it_begins(cluster: Cluster, run_id: str, task_id: str, *services: str) -> None:
    """kill -9 of services once a worker has taken the task's message, and before it has begun the task.

    Raises:
        OperationError: the task had begun.
    """
    _taken_message(cluster, run_id, task_id)
    for service in services:
        cluster.processes.kill(service)


def deliver_late_and_twice(cluster: Cluster, run_id: str, task_id: str, worker: str) -> None:
    """As above; then the worker stays away until Airflow has sent the task again, and gets old and new, the new twice.

    Raises:
        OperationError: the task had begun.
    """
    old = _taken_message(cluster, run_id, task_id)
    cluster.processes.kill(worker, stays=False)
    queue = QUEUES[worker]

    def sent_again() -> bytes | None:
        waiting = _lines(cluster, b"{", "LRANGE", queue, "0", "-1")
        return next((message for message in waiting if about(message) == (run_id, task_id)), None)

    new = wait_for(f"{task_id} is not sent again", sent_again, still_s=cluster.patience_s)
    for message in (new, old):  # the last is the first that is taken
        if int(_ask(cluster, "-x", "RPUSH", queue, data=message) or 0) < 2:
            raise OperationError("The message did not get into the queue once more.")
    cluster.processes.again(worker)


def about(message: bytes) -> tuple[str, str]:
    """Run and task that a message of Airflow's Celery executor asks for."""
    arguments = json.loads(base64.b64decode(json.loads(message)["body"]))[0]
    task = json.loads(arguments[0])["ti"]
    return task["run_id"], task["task_id"]


def redis(port: int, password: str, *words: str, data: bytes | None = None) -> bytes:
    """What `redis-cli` prints; ``data``: the command's last word."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **({"REDISCLI_AUTH": password} if password else {})}
    command = [needed("redis-cli"), "-h", "127.0.0.1", "-p", str(port), *words]
    return subprocess.run(command, env=environment, input=data, capture_output=True, check=False).stdout


def _taken_message(cluster: Cluster, run_id: str, task_id: str) -> bytes:
    """The task's message, once a worker has taken it; the task has to be `queued` still."""

    def taken() -> bytes | None:
        entries = (json.loads(line) for line in _lines(cluster, b"[", "HVALS", "unacked"))
        messages = [json.dumps(entry[0]).encode() for entry in entries]
        return next((message for message in messages if about(message) == (run_id, task_id)), None)

    message = wait_for(f"no worker takes the message of {task_id}", taken)
    (state,) = {str(task["state"]) for task in cluster.tasks(run_id) if task["task_id"] == task_id}
    if state != "queued":
        raise OperationError(f"{task_id} is {state} already: the worker that took its message had begun it.")
    return message


def _listens(cluster: Cluster, worker: str) -> bool | None:
    """A worker binds its mailbox once its pool is there."""
    return f"celery@{worker}.".encode() in _ask(cluster, "SMEMBERS", "_kombu.binding.celery.pidbox") or None


def _lines(cluster: Cluster, begin: bytes, *words: str) -> list[bytes]:
    """The lines of an answer; none where Redis says that it is gone or not ready."""
    return [line for line in _ask(cluster, *words).splitlines() if line.startswith(begin)]


def _ask(cluster: Cluster, *words: str, data: bytes | None = None) -> bytes:
    return redis(cluster.ports.redis, cluster.variables["REDIS_PASSWORD"], *words, data=data).strip()
