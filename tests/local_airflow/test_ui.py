"""`make ui`: a port that stays the same, and two users to see the difference."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gate5.store.signing import load_signer
from local_airflow import environment
from local_airflow.components import LocalAirflow, free_port
from local_airflow.environment import AirflowHome
from local_airflow.ui import PORT, USERS, welcome


def test_the_wanted_port_is_taken_if_it_is_free_and_another_one_if_not() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", wanted))
        other.listen()
        assert free_port(wanted) != wanted


def test_there_is_an_admin_and_a_viewer_with_passwords_of_their_own(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path)
    passwords = home.passwords(USERS)
    assert set(passwords) == {"admin", "viewer"}
    assert passwords["admin"] != passwords["viewer"]
    assert json.loads(home.passwords_file.read_text()) == passwords
    roles = home.environment(PORT, USERS, {})["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert roles == "admin:admin,viewer:viewer"
    assert LocalAirflow(tmp_path, "make ui", users=USERS, port=PORT).login == ("admin", passwords["admin"])


def test_a_home_of_before_there_was_a_viewer_keeps_its_admin(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path)
    before = home.passwords({"admin": "admin"})
    assert home.passwords(USERS)["admin"] == before["admin"]


def test_it_is_said_who_can_log_in_and_where() -> None:
    text = welcome("http://127.0.0.1:8080", {"admin": "one", "viewer": "two"}, PORT)
    assert "http://127.0.0.1:8080" in text
    assert "taken" not in text
    assert "viewer    two" in text
    assert "port 8080 is taken" in welcome("http://127.0.0.1:41234", {"admin": "one", "viewer": "two"}, PORT)


def test_many_started_at_once_in_a_new_folder_make_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    together = threading.Barrier(8)

    def start(_: int) -> Path | None:
        together.wait()
        return environment.make_default_key()

    with ThreadPoolExecutor(8) as pool:
        made = {path for path in pool.map(start, range(8)) if path is not None}
    assert len(made) == 1
    assert load_signer(made.pop())
