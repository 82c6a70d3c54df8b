"""Airflow is only ever started in processes of its own here, each with a home folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

#: What an ordinary DAG imports whatever it does; not the doing of the DAGs under test.
BASELINE = """
from airflow.providers.standard.operators.hitl import HITLBranchOperator
from airflow.sdk import Asset, dag, task

@dag(schedule=[Asset(name="baseline", uri="baseline://candidate")])
def baseline():
    @task
    def nothing(): ...
    nothing()

baseline()
"""


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that imports Airflow: an empty home, nothing of the caller's settings."""
    home = tmp_path_factory.mktemp("airflow")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "GATE5"))}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "GATE5_HOME": str(ROOT),
    }


@pytest.fixture(scope="session")
def inspect_dags(
    airflow_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Parse the DAG folder in a new process with these further environment variables."""
    baseline = tmp_path_factory.mktemp("baseline")
    (baseline / "baseline.py").write_text(BASELINE)
    command = [sys.executable, str(HERE / "inspect_dags.py"), str(baseline)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=airflow_environment, cwd=ROOT, **pipes) as process:
        asked, said = process.stdin, process.stdout
        assert asked is not None
        assert said is not None

        def inspect(**environment: str) -> dict[str, Any]:
            print(json.dumps(environment), file=asked, flush=True)
            for line in said:
                if line.startswith("{"):  # Airflow may say something before
                    found: dict[str, Any] = json.loads(line)
                    assert "status" not in found, "the process that parses has failed; what it said is above"
                    return found
            raise AssertionError("the process that parses has ended; what it said is above")

        yield inspect
        process.kill()  # it has nothing to end


@pytest.fixture(scope="session")
def parsed(inspect_dags: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The DAG folder as it is."""
    return inspect_dags()


@pytest.fixture
def dag_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the DAGs' support package importable, as Airflow's DAG bundles do."""
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
