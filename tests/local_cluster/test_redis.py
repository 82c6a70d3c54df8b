"""Redis as the compose file starts it: it asks for the password, and what is queued outlives a kill -9."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_airflow.patience import wait_for
from local_cluster.backing import start_redis
from local_cluster.boxes import Box, Ports
from local_cluster.broker import redis
from local_cluster.compose import read_env, read_services
from local_cluster.packages import program
from local_cluster.processes import Processes

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    program("redis-server") is None or program("redis-cli") is None,
    reason="no Redis here: apt-get install redis-server",
)


def test_a_message_outlives_a_kill(tmp_path: Path) -> None:
    variables = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}
    ports = Ports.free()
    box = Box(read_services(ROOT / "docker-compose.yaml", variables)["redis"], tmp_path / "redis", ports)
    (box.folder / "tmp").mkdir(parents=True)

    def ask(*words: str, password: str = variables["REDIS_PASSWORD"]) -> bytes:
        return redis(ports.redis, password, *words).strip()

    def there() -> bool | None:
        return ask("PING") == b"PONG" or None

    with Processes() as processes:
        start_redis(box, processes)
        wait_for("Redis does not answer", there, every_s=0.05)
        assert b"NOAUTH" in ask("LLEN", "gpu", password="")
        assert ask("RPUSH", "gpu", "a task") == b"1"
        processes.kill("redis")
        wait_for("Redis has not come again", there, every_s=0.05)
        assert ask("LRANGE", "gpu", "0", "-1") == b"a task"
