"""The fault campaign: everything goes wrong in the middle of the two hardest scenarios, and no constraint is broken.

Real engine processes are killed, stopped and made to misbehave; observations are spoilt between plant and supervisor.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults import SPOILINGS, Spoilt
from gate5.config.run import RunConfig
from gate5.edge.runtime.bindings.simulator import Simulator
from gate5.edge.runtime.decision import Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.supervisor import PolicyRuntime
from tests.support.bench import Bench, evaluated

HARD = ("load_rejection", "emergency_trip")
#: Periods after the start at which the fault begins: in and after the event (the trip comes between 27 and 50).
STARTS = (50, 60, 120)
#: Seeds and the periods in which the event of theirs begins, in one of the two scenarios or in both.
BEGINS = ((40_000, 48), (40_000, 50), (40_001, 38), (40_002, 50), (40_003, 40))


def violations(bench: Bench, plant: Simulator) -> dict[str, int]:
    return {f"{e.scenario}/{e.seed}": e.violations for e in plant.episodes if e.violations}


@pytest.mark.parametrize("scenario", HARD)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_engine_process_is_killed_or_stopped(bench: Bench, scenario: str, number: signal.Signals) -> None:
    deadline = 2000.0 if number == signal.SIGKILL else 50.0
    runtime = bench.runtime({"hand_over.deadline_ms": deadline})
    plant = bench.simulator(scenario)
    hit: list[int] = []

    def strike(period: int) -> None:
        if period == 50:
            hit.append(runtime.link.pid)
            os.kill(runtime.link.pid, number)

    tally = bench.run(runtime, plant, strike)
    assert hit
    assert violations(bench, plant) == {}
    causes = set(tally.causes)
    assert causes & ({"engine_dead"} if number == signal.SIGKILL else {"late"})
    # The PID's action in the very period in which the engine did not answer.
    (first,) = (i for i, d in enumerate(bench.decisions) if d.handed_over and d.cause in ("engine_dead", "late"))
    assert first == 50
    assert bench.decisions[first].source == "baseline"
    if number == signal.SIGSTOP:
        assert "engine_hung" in causes
        assert ended(hit[0])


@pytest.mark.parametrize("scenario", HARD)
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("sleep", "late"),
        ("nan", "answer_not_finite"),
        ("outside", "answer_out_of_range"),
        ("corner", "answer_too_fast"),
    ],
)
def test_the_engine_answers_late_or_wrongly(
    bench: Bench, scenario: str, fault: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fault"
    monkeypatch.setenv("GATE5_TEST_FAULT", str(file))
    runtime = bench.fresh_runtime("benchmarks.bad_engine", fault)
    plant = bench.simulator(scenario)

    def strike(period: int) -> None:
        if period == 50:
            file.write_text(fault)

    tally = bench.run(runtime, plant, strike)
    assert violations(bench, plant) == {}
    assert tally.hand_overs[cause] >= 1
    assert runtime.latched == (fault != "sleep"), "an engine that answers wrongly is not trusted again by itself"
    assert tally.baseline > 0


@pytest.mark.parametrize("name", SPOILINGS)
@pytest.mark.parametrize("scenario", HARD)
def test_the_observation_is_spoilt(bench: Bench, name: str, scenario: str) -> None:
    spoiling = SPOILINGS[name]
    lasts, cause = spoiling.periods, spoiling.cause
    runtime = bench.runtime()
    for start in STARTS:
        plant = bench.simulator(scenario)
        tally = bench.run(runtime, Spoilt(plant, start, [(spoiling.make(), lasts)]))
        assert violations(bench, plant) == {}, start
        assert tally.causes[cause] >= 1, (start, tally.causes)
        assert tally.hand_overs.total() >= 1
        if start + lasts < 200:
            assert bench.decisions[-1].source == "policy", "the fault is over, and the policy drives again"


def test_a_reading_of_which_nobody_knows_how_old_it_is(bench: Bench) -> None:
    """The plant's clock was set back: what came with it is not looked at, by the baseline neither."""
    runtime, plant = bench.runtime(), bench.simulator("steady_state")
    decisions = []
    for k in range(40):
        reading = plant.read()
        played = replace(reading, obs=np.asarray(2.0 * reading.obs, np.float32), age_s=np.inf)  # type: ignore[operator]
        decisions.append(runtime.step(played if k == 10 else reading))
        plant.write(decisions[-1].action)
    assert (decisions[9].source, decisions[10].source, decisions[-1].source) == ("policy", "baseline", "policy")
    assert decisions[10].cause == "observation_stale"
    assert "nobody knows" in decisions[10].text
    assert [k for k, decision in enumerate(decisions) if decision.cause] == [10]
    assert np.abs(decisions[11].action - decisions[10].action).max() < 0.2


def in_kelvin(value: float, low: float, high: float) -> float:
    return value + 273.15


def as_ten_times(value: float, low: float, high: float) -> float:
    return 10.0 * value


def failed_low(value: float, low: float, high: float) -> float:
    return low


def failed_high(value: float, low: float, high: float) -> float:
    return high


def gone(value: float, low: float, high: float) -> float:
    return np.nan


#: What the PID reads of the plant; set-points and commands are the control system's own.
READ = ("net_power", "turbine_inlet_temperature", "compressor_inlet_temperature", "coolant_temperature",
        "exhaust_temperature", "precooler_inlet_temperature", "surge_margin")  # fmt: skip


@pytest.mark.parametrize("spoil", [gone, in_kelvin, as_ten_times, failed_low, failed_high])
def test_one_sensor_that_the_baseline_reads_is_wrong(bench: Bench, spoil: Callable[..., float]) -> None:
    """200 s of it in steady state broke limits in dozens of steps: the baseline drove on what it was shown."""
    runtime = bench.runtime()
    space = bench.release.plant.observation_space
    for name in READ:
        at = space.names.index(name)

        def change(reading: Reading, at: int = at) -> Reading:
            assert reading.obs is not None
            obs = reading.obs.copy()
            obs[at] = spoil(float(obs[at]), float(space.low[at]), float(space.high[at]))
            return replace(reading, obs=obs)

        plant = bench.simulator("steady_state")
        tally = bench.run(runtime, Spoilt(plant, 45, [(change, 40)]))
        assert violations(bench, plant) == {}, name
        assert tally.causes.total() >= 40, "the policy is not asked with it"


def test_an_engine_process_that_ends_is_started_again_while_no_reading_comes(bench: Bench) -> None:
    runtime = bench.runtime({"hand_over.deadline_ms": 2000.0, "engine.restart_s": 0.0})
    plant = bench.simulator("load_rejection")
    gone = Spoilt(plant, 51, [(SPOILINGS["gone_for_10_s"].make(), 30)])
    starts = runtime.link.starts

    def strike(period: int) -> None:
        if period == 50:
            os.kill(runtime.link.pid, signal.SIGKILL)
        if period == 60:
            assert runtime.link.starts == starts + 1, "nobody could ask it, and yet it was started"

    bench.run(runtime, gone, strike)
    assert bench.decisions[70].source == "safe"


def test_an_engine_process_that_hangs_before_it_is_ready_is_ended(bench: Bench) -> None:
    """It would stay for ever, with a GPU's memory, and another beside it with each new try."""
    config = RunConfig.load(None, {"engine.start_timeout_s": 1.0, "engine.restart_s": 60.0})
    link = EngineLink(bench.release, bench.launcher, config, module="tests.support.hung_engine")
    bench.links.append(link)
    until = time.monotonic() + 120
    while not (pid := 0 if link._box is None else link._box.process):
        assert time.monotonic() < until
        link._started = time.monotonic()  # a slow machine: the time counts from here
        time.sleep(0.01)
    while (trouble := link.check_start()) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert trouble[0] == "engine_hung"
    while not ended(pid):
        assert time.monotonic() < until
        time.sleep(0.01)


def ended(pid: int) -> bool:
    """Whether the launcher has collected it yet or not."""
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("scenario", HARD)
def test_a_person_hands_over_as_the_event_begins(bench: Bench, scenario: str) -> None:
    runtime = bench.runtime()
    for seed, start in BEGINS:
        runtime.give_back()
        plant = bench.simulator(scenario, seed=seed)

        def at(period: int, start: int = start) -> None:
            if period == start:
                runtime.hand_over("now")

        tally = bench.run(runtime, plant, at)
        assert tally.causes["person"] > 0
        assert violations(bench, plant) == {}, start


def test_no_fault_no_hand_over_and_the_returns_of_evaluate(bench: Bench, home: Path) -> None:
    plant = bench.simulator()
    tally = bench.run(bench.runtime(), plant)
    assert tally.hand_overs == {}
    assert tally.policy == tally.periods
    assert [e.scenario for e in plant.episodes] == list(bench.release.plant.scenarios)
    for episode in plant.episodes:
        assert episode.violations == 0
        assert episode.reward == pytest.approx(evaluated(home, episode.scenario)[0], rel=1e-6)


def test_the_runtime_is_the_public_one() -> None:
    from gate5.edge import PolicyRuntime as Public

    assert Public is PolicyRuntime
