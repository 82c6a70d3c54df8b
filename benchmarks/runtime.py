#!/usr/bin/env python3
"""What `gate5 run` costs: a period's share, 1 kHz held, an engine killed, releases swapped, memory, idle gaps.

python -m benchmarks.runtime [--seconds 600] [--periods 1000000] [--swaps 50] [--kills 20] [--gaps 200]
    [--home FOLDER]

``--home``: a folder that an earlier call with ``--prepare FOLDER`` filled with keys and a pulled release; a machine
without PyTorch measures so. Supervisor and engine ask for real-time scheduling, and the empty loop does, too.

What an empty loop misses, the machine misses: one that is awake as early as the supervisor and one that sleeps, each
of a quarter of the length, in turns with 1 kHz; and each as long as the swaps, while engines load and end as they did
there (``benchmarks.runtime_loads``).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import results
from benchmarks.plant_folder import publish
from benchmarks.runtime_page import page
from gate5.config.gate import OF_MANY_EPISODES, default_rules
from gate5.config.models import ReleaseConfig
from gate5.config.run import RunConfig
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.loop import Tally, drive, sleep_until
from gate5.edge.runtime.priority import EARLY_S, SUPERVISOR, goes_first
from gate5.edge.runtime.rehearsal import Rehearsal
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.edge.runtime.update import Update
from gate5.plant.base import Float32
from gate5.plant.judged import judged_plant
from gate5.store import load_public_keys
from gate5.workspace.artifacts import open_workspace

PERIOD_S = 1e-3
GAP_S = 0.1
TURNS = 10
SHARES = ("p50", "p90", "p99", "p99.9")
CHECKPOINT = results.ROOT / "examples/checkpoints/good"
CONFIG = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "evaluation": {"episodes": 5, "monte_carlo": 0},
    "gate": {"rules": [rule.model_dump(mode="json") for rule in default_rules(OF_MANY_EPISODES)]},
}


class Replay:
    """A plant that reads out one recorded episode again and again."""

    address, troubles = "", 0

    def __init__(self, obs: list[Float32]) -> None:
        self._obs, self._at, self.began = obs, 0, 0

    def open(self) -> None:
        """Nothing to connect."""

    def read(self) -> Reading:
        self.began = time.perf_counter_ns()
        at = self._at % len(self._obs)
        self._at += 1
        return Reading(self._obs[at], starts=at == 0)

    def write(self, action: Float32) -> None:
        """It goes nowhere."""

    def close(self) -> None:
        """Nothing to free."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="at 1 kHz")
    parser.add_argument("--periods", type=int, default=1_000_000, help="without a pause, for the memory")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--gaps", type=int, default=200, help="answers after 100 ms, kept warm and not; 0: none")
    parser.add_argument("--home", type=Path, help="made by --prepare; left out: a new one")
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="make it, and measure nothing")
    told = parser.parse_args()
    if told.prepare is not None:
        told.prepare.mkdir(parents=True)
        os.environ["GATE5_HOME"] = str(told.prepare.absolute())
        installed(told.prepare.absolute())
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        home = str(told.home.absolute()) if told.home else temporary
        os.environ["GATE5_HOME"] = home
        key = Path(home) / "var/keys/release.pub"
        release = read_installed(Path(home) / "plant", load_public_keys([key])) if told.home else installed(Path(home))
        obs = episode(release)
        gc.collect()
        gc.freeze()
        launcher = Launcher()
        result: dict[str, Any] = {
            "machine": results.description(("onnxruntime",)),
            "asked": {name: value for name, value in vars(told).items() if isinstance(value, int | float)},
        }
        result["cadence"] = cadence(release, launcher, obs, told.seconds)
        result["kills"] = kills(release, launcher, obs, told.kills)
        result["swaps"] = swaps(Path(home) / "plant", release, launcher, obs, told.swaps)
        result["memory"] = memory(release, launcher, obs, told.periods)
        result["gaps"] = gaps(release, launcher, obs, told.gaps)
        launcher.close()
    command = f"python -m benchmarks.runtime --seconds {told.seconds:g} --periods {told.periods} --swaps {told.swaps}"
    print(
        results.write(
            "runtime",
            "What `gate5 run` costs",
            f"{command} --kills {told.kills} --gaps {told.gaps}",
            result,
            page(result),
        )
    )
    return 0


def installed(home: Path) -> Installed:
    """A release that was judged and pulled."""
    (home / "release.yaml").write_text(yaml.safe_dump(CONFIG))
    config = str(home / "release.yaml")
    os.chdir(home)
    gate5("keygen")
    publish(open_workspace(str(home / "w")), ReleaseConfig.load(config), str(CHECKPOINT))
    key = home / "var/keys/release.pub"
    gate5("pull", str(home / "plant"), "--config", config, "--trust", str(key))
    return read_installed(home / "plant", load_public_keys([key]))


def gate5(*arguments: str) -> None:
    """Run the command; stop where it says no."""
    if subprocess.run([sys.executable, "-m", "gate5", *arguments], check=False).returncode != 0:
        raise SystemExit(f"gate5 {arguments[0]} failed")


def episode(release: Installed) -> list[Float32]:
    """The observations of one episode of steady state under the baseline."""
    plant, baseline = judged_plant(release.config), release.baseline(None)
    obs = plant.reset("steady_state", [20_000])
    baseline.reset(1)
    seen = []
    for _ in range(plant.scenarios["steady_state"].steps):
        seen.append(obs[0].copy())
        obs = plant.step(baseline.predict(obs)[0]).obs
    return seen


def started(release: Installed, launcher: Launcher, extra: dict[str, Any] | None = None) -> PolicyRuntime:
    """A runtime at 1 kHz whose engine is ready."""
    told = {
        "period_s": PERIOD_S,
        "realtime": True,
        "hand_over.hold_periods": 1,
        "hand_over.deadline_ms": 0.5,
        **(extra or {}),
    }
    config = RunConfig.load(None, told)
    link = EngineLink(release, launcher, config)
    while not link.ready:
        link.check_start()
        time.sleep(0.01)
    runtime = PolicyRuntime(release, link, config)
    drive(runtime, Replay(EPISODE or []), speed=runtime.period_s / PERIOD_S, periods=500)
    return runtime


#: Of the release under measurement; for the warm-up of each runtime.
EPISODE: list[Float32] = []


def cadence(release: Installed, launcher: Launcher, obs: list[Float32], seconds: float) -> dict[str, Any]:
    """1 kHz in turns with an empty loop."""
    EPISODE[:] = obs
    runtime = started(release, launcher)
    periods = max(int(seconds / TURNS / PERIOD_S), 1)
    total, empty, asleep = Tally(), 0, 0
    overhead: list[int] = []
    waited: list[int] = []

    binding, last = Replay(obs), [Decision(obs[0], "policy")]

    def observe(reading: Reading, decision: Decision) -> None:
        last[0] = decision

    def between() -> None:  # the last thing of a period, as `read` is the first
        waited.append(last[0].waited_ns)
        overhead.append(time.perf_counter_ns() - binding.began - last[0].waited_ns)

    rehearsal = Rehearsal(runtime)
    collected = collections()
    for _ in range(TURNS):
        with goes_first(SUPERVISOR):
            empty += empty_loop(periods // 4, EARLY_S)
            asleep += empty_loop(periods // 4, 0.0)
            tally = drive(
                runtime, binding, periods=periods, observers=[observe], between=between, early_s=EARLY_S,
                rehearse=rehearsal,
            )  # fmt: skip
        total.missed += tally.missed
        total.missed_by.update(tally.missed_by)
        total.policy += tally.policy
        total.periods += tally.periods
        total.causes.update(tally.causes)
    rehearsal.close()
    runtime.link.close()
    share = np.percentile(np.array(overhead) / 1e3, [50, 90, 99, 99.9])
    return {
        "periods": total.periods, "missed": total.missed, "missed_empty": empty,
        "missed_asleep": asleep, "empty_periods": TURNS * (periods // 4), "policy": total.policy,
        "missed_by": dict(total.missed_by), "collected": collections() - collected,
        "causes": dict(total.causes), "overhead_us": dict(zip(SHARES, share.tolist(), strict=True)),
        "waited_us": {"p50": float(np.median(waited)) / 1e3, "p99": float(np.percentile(waited, 99)) / 1e3},
    }  # fmt: skip


def collections() -> int:
    """Runs of the garbage collector in this process so far."""
    return sum(int(each["collections"]) for each in gc.get_stats())


def empty_loop(periods: int, early_s: float) -> int:
    """Periods that a loop that does nothing begins late; counted as ``drive`` does.

    Args:
        early_s: so long before a period it is awake and watches the clock; 0: it sleeps until then.
    """
    missed, due = 0, time.monotonic()
    for _ in range(periods):
        due += PERIOD_S
        left = due - time.monotonic()
        if left > 0:
            sleep_until(due, early_s)
            continue
        missed += 1
        if left < -PERIOD_S:
            due = time.monotonic()
    return missed


def kills(release: Installed, launcher: Launcher, obs: list[Float32], count: int) -> dict[str, Any]:
    """kill -9 of the engine process between two periods: how many periods later the PID's action was applied."""
    later: list[int] = []
    for _ in range(count):
        runtime = started(release, launcher)
        sources: list[str] = []

        def observe(reading: Reading, decision: Decision, sources: list[str] = sources) -> None:
            sources.append(decision.source)

        drive(runtime, Replay(obs), periods=50, observers=[observe])
        if runtime.link.pid <= 0:
            raise SystemExit("the engine process had ended by itself; try again on a quieter machine")
        os.kill(runtime.link.pid, signal.SIGKILL)
        sources.clear()
        drive(runtime, Replay(obs), periods=50, observers=[observe])
        runtime.link.close()
        later.append(sources.index("baseline") if "baseline" in sources else 50)
    return {"kills": count, "same_period": later.count(0), "most_periods_later": max(later, default=0)}


def swaps(root: Path, release: Installed, launcher: Launcher, obs: list[Float32], count: int) -> dict[str, Any]:
    """Releases taken over at 1 kHz: engine process started, warmed, 100 periods in shadow, swapped in."""
    if not count:
        return {"swaps": 0}
    extra = {"update.shadow_periods": 100, "update.probation_periods": 50, "update.most_hand_overs": 1_000_000}
    runtime = started(release, launcher, {**extra, "update.margin_loss": 1e6, "update.shadow_late": 1.0})
    update = Update(root, runtime, launcher, [], lambda text: None)
    missed_at: list[int] = []
    swapped_at: list[int] = []
    period = 0

    def observe(reading: Reading, decision: Decision) -> None:
        nonlocal period
        period += 1
        if decision.missed:
            missed_at.append(period)

    def between() -> None:
        before = runtime.link
        if update.phase == "idle":
            update.offer(release, EngineLink(release, launcher, runtime.config))
        elif update.phase != "holding":
            update.between()
        else:
            update.phase = "idle"
        if runtime.link is not before:
            swapped_at.append(period)

    def done() -> bool:
        return len(swapped_at) >= count and update.phase == "idle"

    rehearsal = Rehearsal(runtime)
    with goes_first(SUPERVISOR):
        tally = drive(
            runtime, Replay(obs), observers=[update, observe], between=between, stop=done, early_s=EARLY_S,
            rehearse=rehearsal,
        )  # fmt: skip
    update.close()
    runtime.link.close()
    with loads(root.parent) as loaded, goes_first(SUPERVISOR):
        empty = empty_loop(tally.periods, EARLY_S)
    with loads(root.parent) as beside, goes_first(SUPERVISOR):
        asleep = empty_loop(tally.periods, 0.0)
    near = sum(any(0 <= m - at <= 2 for m in missed_at) for at in swapped_at)
    return {
        "swaps": len(swapped_at), "periods": tally.periods, "missed": tally.missed, "missed_at_a_swap": near,
        "missed_by": dict(tally.missed_by), "missed_empty": empty, "missed_asleep": asleep,
        "loads_beside_it": loaded[0], "loads_beside_sleep": beside[0],
        "without_the_policy": tally.baseline + tally.safe, "causes": dict(tally.causes),
    }  # fmt: skip


@contextlib.contextmanager
def loads(home: Path) -> Iterator[list[int]]:
    """Engine processes that load and end in the meantime; how many it were, in the list, afterwards."""
    command = [sys.executable, "-m", "benchmarks.runtime_loads", os.fspath(home)]
    loaded: list[int] = []
    with subprocess.Popen(
        command, cwd=results.ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as beside:
        assert beside.stdin is not None
        assert beside.stdout is not None
        beside.stdout.readline()
        yield loaded
        beside.stdin.close()
        loaded.append(int(beside.stdout.readline()))


def memory(release: Installed, launcher: Launcher, obs: list[Float32], periods: int) -> dict[str, Any]:
    """Resident memory of the supervisor's process after a tenth of the periods and after all."""
    runtime = started(release, launcher, {"hand_over.deadline_ms": 100.0})
    binding = Replay(obs)
    drive(runtime, binding, speed=float("inf"), periods=periods // 10)
    first = resident_kib()
    drive(runtime, binding, speed=float("inf"), periods=periods - periods // 10)
    last = resident_kib()
    runtime.link.close()
    return {"periods": periods, "kib_after_a_tenth": first, "kib_at_the_end": last}


def gaps(release: Installed, launcher: Launcher, obs: list[Float32], samples: int) -> dict[str, Any]:
    """The wait for an answer after 100 ms of nothing, in turns with and without inferences in between [us]."""
    waited: dict[str, list[int]] = {"idle": [], "kept warm": []}
    if not samples:
        return {"samples": 0}
    told = {"period_s": GAP_S, "hand_over.deadline_ms": 50.0}
    runtimes = {
        name: started(release, launcher, {**told, "engine.keep_warm_ms": every})
        for name, every in (("idle", 0), ("kept warm", 1))
    }
    for _ in range(TURNS):
        for name, runtime in runtimes.items():
            runtime.link.keep_warm(True)

            def observe(reading: Reading, decision: Decision, into: list[int] = waited[name]) -> None:
                into.append(decision.waited_ns)

            drive(runtime, Replay(obs), periods=max(samples // TURNS, 2), observers=[observe])
            runtime.link.keep_warm(False)
            runtime.step(Reading(obs[0]))  # which tells its process so
    for runtime in runtimes.values():
        runtime.link.close()
    return {
        "samples": samples, "gap_ms": 1e3 * GAP_S,
        **{name: {"p50": float(np.median(w)) / 1e3, "p95": float(np.percentile(w, 95)) / 1e3}
           for name, w in waited.items()},
    }  # fmt: skip


def resident_kib() -> int:
    """VmRSS."""
    text = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")))


if __name__ == "__main__":
    raise SystemExit(main())
