"""Two releases are promoted in the same instant, the first that a new installation's database hears of."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from local_cluster.packages import OVERLAY, ROOT
from tests.local_cluster.conftest import Database


@pytest.mark.airflow
def test_both_are_taken(database: Database, tmp_path: Path) -> None:
    """Through an alias one was not: the constraint that it broke is shown beside it, so that the test can fail."""
    address = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    environment = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "include"), "GATE5_HOME": str(ROOT),
        "AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"), address: database.client.environment()[address],
    }  # fmt: skip
    command = [str(OVERLAY / "bin/python"), str(ROOT / "tests/local_cluster/two_reports.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ours, by_alias = json.loads(done.stdout.splitlines()[-1])
    assert ours == {"first": "done", "second": "done"}
    assert by_alias == {"first": "done", "second": "IntegrityError"}
