"""Which task a message asks for, and that it says when it is too old."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from local_cluster import packages
from local_cluster.boxes import Box, Ports
from local_cluster.broker import about
from local_cluster.compose import read_env, read_services

ROOT = Path(__file__).resolve().parents[2]
#: Sends a task as Airflow's executor does, and prints the message.
SEND = """
import base64, json
from airflow.executors.base_executor import ExecutorConf
from airflow.providers.celery.executors.celery_executor_utils import create_celery_app
app = create_celery_app(ExecutorConf(None))
with app.connection_for_write() as connection:
    task = json.dumps({"ti": {"run_id": "plain", "task_id": "look_up"}})
    app.tasks["execute_workload"].apply_async(args=(task,), queue="gpu", task_id="one", connection=connection)
    message = connection.SimpleQueue("gpu").get(timeout=10)
    print(json.dumps({"body": base64.b64encode(bytes(message.body)).decode(), "headers": message.headers}))
"""


def test_a_message_says_for_which_task_of_which_run_it_is() -> None:
    task = json.dumps({"ti": {"run_id": "plain", "task_id": "look_up"}, "token": "x"})
    body = base64.b64encode(json.dumps([[task], {}, {"chain": None}]).encode()).decode()
    assert about(json.dumps({"body": body, "headers": {}}).encode()) == ("plain", "look_up")


def test_what_airflow_sends_says_when_a_worker_has_to_drop_it(tmp_path: Path) -> None:
    """With what the cluster's environment has for it; skipped where that was never made."""
    python = packages.OVERLAY / "bin" / "python"
    if not (packages.OVERLAY / "installed").is_file():
        pytest.skip("no environment of the cluster here: make test-cluster")
    variables = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}
    service = read_services(ROOT / "docker-compose.yaml", variables)["scheduler"]
    environment = {
        **Box(service, tmp_path, Ports.free()).environment(),
        "AIRFLOW__CELERY__BROKER_URL": "memory://",
        "AIRFLOW__CELERY__RESULT_BACKEND": "db+sqlite://",
    }
    done = subprocess.run([python, "-c", SEND], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    message = done.stdout.strip().splitlines()[-1]
    assert about(message.encode()) == ("plain", "look_up")
    assert json.loads(message)["headers"]["expires"]
