"""The local Airflow's home: secrets that only its owner reads, and nothing of the caller's own Airflow."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from local_airflow.environment import AirflowHome, write_private


@pytest.fixture
def home(tmp_path: Path) -> AirflowHome:
    return AirflowHome(tmp_path / "airflow")


USERS = {"admin": "admin"}


def test_secrets_are_private_random_and_kept(home: AirflowHome, tmp_path: Path) -> None:
    first = home.environment(8080, USERS, {})
    again = home.environment(8080, USERS, {})
    other = AirflowHome(tmp_path / "other").environment(8080, USERS, {})
    for name in ("CORE__FERNET_KEY", "API__SECRET_KEY", "API_AUTH__JWT_SECRET"):
        assert first[f"AIRFLOW__{name}"] == again[f"AIRFLOW__{name}"] != other[f"AIRFLOW__{name}"]
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    for path in (home.passwords_file, home.path / "secrets.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_new_user_gets_a_password_and_the_others_keep_theirs(home: AirflowHome) -> None:
    before = home.passwords(USERS)["admin"]
    after = home.passwords({**USERS, "viewer": "viewer"})
    assert after["admin"] == before
    assert len(after["viewer"]) >= 12
    assert after["viewer"] != before


def test_the_callers_own_airflow_is_left_alone(home: AirflowHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the caller's connection string, `make release` would migrate the caller's database."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_HOME", "/opt/airflow")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_GATE5_STORE", "aws://")
    environment = home.environment(8080, USERS, {})
    assert "production" not in json.dumps(environment)
    assert environment["AIRFLOW_HOME"] == str(home.path)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["AIRFLOW_CONN_GATE5_STORE"] == "aws://", "a connection is asked for by name in a configuration"


def test_it_listens_to_this_machine_only(home: AirflowHome) -> None:
    environment = home.environment(8080, USERS, {})
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8080/execution/"


def test_only_ones_own_unfinished_runs_are_found(home: AirflowHome) -> None:
    """A run that waits for a person in `make ui` must survive the next `make release`."""
    with sqlite3.connect(home.path / "airflow.db") as database:
        database.execute("CREATE TABLE dag_run (dag_id TEXT, run_id TEXT, state TEXT)")
        rows = [("release__1", "running"), ("release__2", "queued"), ("release__3", "success"), ("release_", "running")]
        rows += [("manual__1", "running"), ("releaseXX4", "running")]
        database.executemany("INSERT INTO dag_run VALUES ('d', ?, ?)", rows)
    assert home.unfinished_runs("release__") == [("d", "release__1"), ("d", "release__2")]


def test_a_private_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("open to all")
    os.chmod(path, 0o644)
    write_private(path, "secret")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("secret", 0o600)
    assert list(tmp_path.iterdir()) == [path]
