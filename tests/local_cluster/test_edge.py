"""The worker behind a firewall: what it is told, and what the site's compose file becomes for it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from gate5.errors import OperationError
from local_cluster.boxes import Ports
from local_cluster.cluster import AIRFLOW, Cluster
from local_cluster.compose import read_env, read_services
from local_cluster.edge import CHANGED, EXECUTOR, SITE, WORKER, check_edge, far_box

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}


class Told:
    """A cluster as far as `far_box` and `check_edge` ask."""

    variables, ports = VARIABLES, Ports(20001, 20002, 20003, 20004)

    def __init__(self, folder: Path, executor: str = EXECUTOR) -> None:
        self.folder, self.executor = folder, executor

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        return [
            {"task_id": "resolve", "executor": None, "hostname": "cpu"},
            {"task_id": "build", "executor": self.executor, "hostname": "gpu-1"},
        ]


def test_it_knows_the_api_server_and_s3_and_neither_broker_nor_database(tmp_path: Path) -> None:
    box = far_box(cast(Cluster, Told(tmp_path)))
    said = box.environment()
    assert said["AIRFLOW__EDGE__API_URL"] == "http://127.0.0.1:20001/edge_worker/v1/rpcapi"
    assert said["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:20001/execution/"
    assert said["AWS_ENDPOINT_URL"] == "http://127.0.0.1:20004"
    assert not [
        name for name, value in said.items() if re.search(r"SQL|BROKER|RESULT_BACKEND|FERNET|2000[23]", name + value)
    ]
    assert box.command()[:3] == ["airflow", "edge", "worker"]
    assert "--queues gpu --concurrency 4" in " ".join(box.command())
    (mount,) = (place for place, volume in box.service.mounts.items() if volume == "trust")
    assert mount == "/srv/gate5/var/keys"


def test_it_can_be_the_worker_of_another_kind_of_gpu() -> None:
    said = {**VARIABLES, "GATE5_SITE": "https://site", "GATE5_GPU_QUEUE": "gpu_l4"}
    worker = read_services(ROOT / "deploy/edge/docker-compose.yaml", said)[WORKER]
    assert "--queues gpu_l4 --concurrency 4" in " ".join(worker.command)


def test_what_both_sides_have_to_agree_on_is_the_same(tmp_path: Path) -> None:
    far = far_box(cast(Cluster, Told(tmp_path))).service.environment
    near = read_services(ROOT / "docker-compose.yaml", {**VARIABLES, **SITE})["gpu-worker"].environment
    shared = set(far) & set(near) - {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL"}
    assert {"AIRFLOW__API_AUTH__JWT_SECRET", "GATE5_WORKSPACES", "AWS_SECRET_ACCESS_KEY", "AIRFLOW_HOME"} <= shared
    assert {name: far[name] for name in shared} == {name: near[name] for name in shared}


def test_the_site_runs_both_executors_only_where_it_is_told_to() -> None:
    plain = read_services(ROOT / "docker-compose.yaml", VARIABLES)
    told = read_services(ROOT / "docker-compose.yaml", {**VARIABLES, **SITE})
    for name in AIRFLOW:
        assert plain[name].environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
        assert plain[name].environment["GATE5_GPU_EXECUTOR"] == ""
        assert plain[name].environment["AIRFLOW__EDGE__API_ENABLED"] == "false"
        assert told[name].environment["AIRFLOW__CORE__EXECUTOR"].startswith("CeleryExecutor,EdgeExecutor:")
    assert set(CHANGED) <= set(AIRFLOW)
    example = (ROOT / ".env.example").read_text()
    assert all(f"# {name}={value}\n" in example for name, value in SITE.items())


def test_a_task_that_runs_elsewhere_or_a_database_of_its_own_is_seen(tmp_path: Path) -> None:
    check_edge(cast(Cluster, Told(tmp_path)), "edge", "build")
    with pytest.raises(OperationError, match="runs on CeleryExecutor"):
        check_edge(cast(Cluster, Told(tmp_path, "CeleryExecutor")), "edge", "build")
    (tmp_path / WORKER / "airflow").mkdir(parents=True)
    database = tmp_path / WORKER / "airflow" / "airflow.db"
    database.touch()
    check_edge(cast(Cluster, Told(tmp_path)), "edge", "build")
    with contextlib.closing(sqlite3.connect(database)) as made:
        made.execute("CREATE TABLE dag (dag_id TEXT)")
    with pytest.raises(OperationError, match="made itself a database"):
        check_edge(cast(Cluster, Told(tmp_path)), "edge", "build")
