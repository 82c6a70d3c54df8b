"""A wait ends where nothing moves, and never because the machine is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_airflow import patience as module
from local_airflow.patience import Patience, StillError, cpu_seconds, log_bytes, wait_for


class Clock:
    """Stands in for the module's clock: a sleep is over at once and counts."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_what_moves_is_waited_for_for_days(clock: Clock) -> None:
    def found() -> float | None:
        return clock.now if clock.now > 200_000 else None

    assert wait_for("it is not there", found, lambda: clock.now // 250, every_s=4.0, still_s=300.0) > 200_000


def test_where_nothing_moves_it_gives_up_and_says_what_it_saw(clock: Clock) -> None:
    with pytest.raises(StillError, match=r"The run has not ended, .* moved for 300 s: \{'gate': 'queued'\}"):
        wait_for("The run has not ended", lambda: None, lambda: {"gate": "queued"}, every_s=1.0)
    assert 300 <= clock.now < 310


def test_a_watcher_that_was_stopped_has_seen_nothing_still(clock: Clock) -> None:
    """A machine that slept for a day did not show a day without progress."""
    patience = Patience("it is not there", still_s=300.0)
    patience.look("same")
    clock.now += 86_400
    patience.look("same")
    for _ in range(58):
        clock.now += 5
        patience.look("same")
    clock.now += 5
    with pytest.raises(StillError):
        patience.look("same")


def test_the_signs_are_read_from_logs_and_processes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.log").write_text("12345")
    assert log_bytes(tmp_path) == 5
    assert log_bytes(tmp_path / "none") == 0
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert cpu_seconds([gone.pid]) == 0
    assert cpu_seconds([os.getpid(), gone.pid]) == cpu_seconds([os.getpid()]) >= 0
    busy = "import time\nwhile time.process_time() < 1.2: pass\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu_seconds([child.pid]) >= 1
