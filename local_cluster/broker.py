"""A task's message in Redis, as it lies there, delivered once more."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gate5.errors import OperationError
from local_airflow.patience import wait_for
from local_cluster.backing import needed

if TYPE_CHECKING:
    from local_cluster.cluster import Cluster

QUEUE, WORKER = "gpu", "gpu-worker"


@contextlib.contextmanager
def worker_away(cluster: Cluster) -> Iterator[None]:
    """Without the worker for the queue `gpu`, so that a message lies in the broker until ``deliver_twice``."""
    cluster.processes.stop(WORKER)
    try:
        yield
    finally:
        cluster.processes.again(WORKER)


def deliver_twice(cluster: Cluster) -> None:
    """Put the message that waits for the GPU worker into the queue a second time, and start the worker."""

    password, port = cluster.variables["REDIS_PASSWORD"], cluster.ports.redis

    def waiting() -> bytes | None:
        return redis(port, password, "LINDEX", QUEUE, "0").strip() or None

    message = wait_for("no task waits for the GPU worker", waiting)
    if int(redis(port, password, "-x", "RPUSH", QUEUE, data=message).strip() or 0) < 2:
        raise OperationError("The message did not get into the queue a second time.")
    cluster.processes.again(WORKER)


def redis(port: int, password: str, *words: str, data: bytes | None = None) -> bytes:
    """What `redis-cli` prints; ``data``: the command's last word."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **({"REDISCLI_AUTH": password} if password else {})}
    command = [needed("redis-cli"), "-h", "127.0.0.1", "-p", str(port), *words]
    return subprocess.run(command, env=environment, input=data, capture_output=True, check=False).stdout
