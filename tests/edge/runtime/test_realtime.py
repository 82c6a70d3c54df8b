"""Real-time scheduling: asked for, given back, not handed on to what is started; a run that has it or goes without."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gate5.cli.main import main
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.loop import drive, sleep_until
from gate5.edge.runtime.priority import SUPERVISOR, goes_first, stays_on
from gate5.edge.runtime.rehearsal import Rehearsal
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.plant.base import Float32
from tests.support.bench import Bench

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


def test_a_cpu_of_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getaffinity(0)
    with stays_on(max(before)):
        assert os.sched_getaffinity(0) == {max(before)}
    with stays_on(None):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before
    for key in ("cpu", "engine.cpu"):
        assert main(["run", "plant", "--trust", "var/keys/release.pub", "--set", f"{key}=4095"]) == 2
        assert "CPU 4095 is not one that this process may run on" in capsys.readouterr().err


class Plant:
    """A binding whose reading, or nothing, takes long."""

    address, troubles = "", 0

    def __init__(self, obs: Float32, slow: dict[int, float]) -> None:
        self.obs, self.slow, self.period = obs, slow, 0

    def open(self) -> None:
        """Nothing to connect."""

    def read(self) -> Reading:
        self.period += 1
        time.sleep(self.slow.get(self.period, 0.0))
        return Reading(self.obs)

    def write(self, action: Float32) -> None:
        """It goes nowhere."""

    def close(self) -> None:
        """Nothing to free."""


def test_why_a_period_was_missed(bench: Bench) -> None:
    """Its own work, then the period after it, which begins late."""
    runtime = bench.runtime({"period_s": 0.5})
    obs = bench.release.plant.reset("steady_state", [1])[0].astype(np.float32)
    tally = drive(runtime, Plant(obs, {3: 0.7, 4: 0.45}), periods=6)
    assert tally.missed == sum(tally.missed_by.values()) >= 2
    assert tally.missed_by["own_work"] >= 1
    assert tally.missed_by["the_one_before"] >= 1


def test_a_late_period_waits_less_for_the_engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No longer than its end allows, at the plant's own clock; a simulator in a hurry waits as told."""
    runtime, step = bench.runtime({"period_s": 0.05}), PolicyRuntime.step
    obs = bench.release.plant.reset("steady_state", [1])[0].astype(np.float32)
    until: list[float] = []

    def watched(self: PolicyRuntime, reading: Reading, answered_by: float = math.inf) -> Decision:
        until.append(answered_by)
        return step(self, reading, answered_by)

    monkeypatch.setattr(PolicyRuntime, "step", watched)
    before = time.monotonic()
    drive(runtime, Plant(obs, {}), periods=3)
    assert before < until[0] - 0.045 < time.monotonic(), "a tenth is left for what follows"
    assert until[1] - until[0] == pytest.approx(0.05), "counted from when a period is due, not from when it began"
    drive(runtime, Plant(obs, {}), periods=3, speed=2.0)
    assert until[3:] == [math.inf] * 3


def test_no_time_left_speaks_not_against_the_engine(bench: Bench) -> None:
    """It is handed over in the same period, and an engine that had no chance to answer is not ended as a hung one."""
    runtime = bench.runtime({"hand_over.deadline_ms": 3_600_000, "engine.hung_periods": 2, "engine.hung_s": 0.0})
    plant = bench.simulator("steady_state")
    decision = runtime.step(plant.read())
    assert decision.source == "policy"
    os.kill(runtime.link.pid, signal.SIGSTOP)
    for _ in range(5):
        plant.write(decision.action)
        decision = runtime.step(plant.read(), time.monotonic() + 0.01)
        assert (decision.source, decision.cause) == ("baseline", "late")
        assert "began so late" in decision.text
    os.kill(runtime.link.pid, signal.SIGCONT)
    assert runtime.link.starts == 1
    plant.write(decision.action)
    assert runtime.step(plant.read()).policy is not None


def test_a_rehearsal_changes_nothing(bench: Bench) -> None:
    """The same decisions to the bit, with and without one before each period."""
    runtime = bench.runtime()
    found = []
    for rehearsed in (False, True):
        plant, actions = bench.simulator("emergency_trip"), list[Float32]()
        rehearsal = Rehearsal(runtime)
        for _ in range(80):
            reading = plant.read()
            if rehearsed:
                rehearsal(reading)
            actions.append(runtime.step(reading).action)
            plant.write(actions[-1])
        rehearsal.close()
        found.append(np.array(actions))
    np.testing.assert_array_equal(found[0], found[1])


def test_a_rehearsal_of_readings_that_are_no_use(bench: Bench) -> None:
    """It must not raise: it is called from the control loop itself."""
    runtime = bench.runtime()
    plant = bench.simulator("load_rejection")
    rehearsal = Rehearsal(runtime)
    rehearsal(plant.read())
    obs = np.full(bench.release.obs_dim, np.nan, np.float32)
    for reading in (
        Reading(None),
        Reading(obs),
        Reading(np.zeros_like(obs), age_s=1e9),
        Reading(obs[:3]),
        Reading(None),
    ):
        rehearsal(reading)
    assert runtime.link.starts == 1
    rehearsal.close()


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
