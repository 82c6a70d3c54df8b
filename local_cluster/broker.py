"""A task's message in Redis, as it lies there, delivered once more."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from local_airflow.patience import wait_for
from local_cluster.backing import needed

if TYPE_CHECKING:
    from local_cluster.cluster import Cluster

QUEUE = "gpu"


def deliver_twice(cluster: Cluster) -> None:
    """Put the message that waits for the GPU worker into the queue a second time, and start the worker."""

    password, port = cluster.variables["REDIS_PASSWORD"], cluster.ports.redis

    def waiting() -> bytes | None:
        return redis(port, password, "LINDEX", QUEUE, "0").strip() or None

    message = wait_for("no task waits for the GPU worker", waiting)
    redis(port, password, "-x", "RPUSH", QUEUE, data=message)
    cluster.processes.again("gpu-worker")


def redis(port: int, password: str, *words: str, data: bytes | None = None) -> bytes:
    """What `redis-cli` prints; ``data``: the command's last word."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **({"REDISCLI_AUTH": password} if password else {})}
    command = [needed("redis-cli"), "-h", "127.0.0.1", "-p", str(port), *words]
    return subprocess.run(command, env=environment, input=data, capture_output=True, check=False).stdout
