"""Two releases are promoted in the same instant, the first that a new installation's database hears of."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from local_cluster.backing import start_postgres
from local_cluster.boxes import Box, Ports
from local_cluster.compose import read_env, read_services
from local_cluster.packages import OVERLAY, program
from local_cluster.processes import Processes

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(
        program("postgres") is None or not (OVERLAY / "bin" / "python").is_file(),
        reason="no PostgreSQL here, or `make test-cluster` never ran: it installs the client",
    ),
]


def test_both_are_taken(tmp_path: Path) -> None:
    """Through an alias one was not: the constraint that it broke is shown beside it, so that the test can fail."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o711)  # PostgreSQL runs as another user
    variables = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}
    services, ports = read_services(ROOT / "docker-compose.yaml", variables), Ports.free()
    postgres, init = (Box(services[name], tmp_path / name, ports) for name in ("postgres", "init"))
    postgres.folder.mkdir()
    address = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    environment = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "include"), "GATE5_HOME": str(ROOT),
        "AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"), address: init.environment()[address],
    }  # fmt: skip
    with Processes() as processes:
        start_postgres(postgres, processes)
        command = [str(OVERLAY / "bin/python"), str(ROOT / "tests/local_cluster/two_reports.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ours, by_alias = json.loads(done.stdout.splitlines()[-1])
    assert ours == {"first": "done", "second": "done"}
    assert by_alias == {"first": "done", "second": "IntegrityError"}
