"""Real-time scheduling: asked for, given back, not handed on to what is started; a run that has it or goes without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate5.cli.main import main
from gate5.edge.runtime.loop import sleep_until
from gate5.edge.runtime.priority import SUPERVISOR, goes_first

ORDINARY = "import os; raise SystemExit(os.sched_getscheduler(0) != os.SCHED_OTHER)"


def test_it_is_had_and_given_back() -> None:
    before = os.sched_getscheduler(0)
    with goes_first(SUPERVISOR) as refused:
        has = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        assert (has == os.SCHED_FIFO) == (refused == "")
        if not refused:
            assert os.sched_getparam(0).sched_priority == SUPERVISOR
        assert subprocess.run([sys.executable, "-c", ORDINARY], check=False).returncode == 0, "what is started has not"
    assert os.sched_getscheduler(0) == before
    with goes_first(SUPERVISOR, wanted=False) as refused:
        assert (refused, os.sched_getscheduler(0)) == ("", before)


def test_where_it_is_not_permitted_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with goes_first(SUPERVISOR) as refused:
        assert refused == "Operation not permitted"


@pytest.mark.parametrize("early_s", [0.0, 1e-4, 0.02])
def test_nobody_wakes_before_the_time(early_s: float) -> None:
    for left in (0.005, 0.0, -1.0):
        due = time.monotonic() + left
        sleep_until(due, early_s)
        assert time.monotonic() >= due


def test_a_run_with_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getscheduler(0)
    command = [
        "run", "plant", "--trust", "var/keys/release.pub", "--speed", "500", "--periods", "40", "--json",
        "--set", "realtime=true", "--set", "flight.record=false", "--set", "hand_over.deadline_ms=2000",
        "--set", "binding.options={scenarios: [steady_state]}",
    ]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["tally"]["policy"] == 40
    with goes_first(SUPERVISOR) as refused:
        assert ("realtime is not permitted here" in said.err) == bool(refused)
    assert os.sched_getscheduler(0) == before
