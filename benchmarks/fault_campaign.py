#!/usr/bin/env python3
"""Faults at random instants of the two hardest scenarios, with seeds that nobody has looked at: is a constraint broken?

python -m benchmarks.fault_campaign [--seeds 20] [--first 40000] [--home FOLDER] [--only FAULT ...] [--scenarios ...]

A fault is one of the readings, one of the engine process, or two of them at once (``NAME+NAME``). ``none`` is the
policy without a fault, ``baseline`` the PID from the beginning on: what they break, no supervisor could have kept.
Writes docs/results/faults.md.
``--home``: made by ``python -m benchmarks.runtime --prepare FOLDER``; left out: a new one.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.faults import SPOILINGS, Spoilt
from benchmarks.runtime import installed
from gate5.config.run import RunConfig
from gate5.edge.runtime.bindings.simulator import Simulator
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.loop import drive
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.plant.judged import judged_plant
from gate5.store import load_public_keys

SCENARIOS = ("load_rejection", "emergency_trip")
#: Faults of the engine process and the periods that they last; ``kill`` and ``stop`` need a new process. Nothing is
#: wrong with ``person``: somebody hands over, and the PID drives to the end.
ENGINE = {"kill": 1, "stop": 8, "sleep": 8, "nan": 3, "outside": 3, "corner": 3, "person": 1}
#: Two at once: one of the readings with one of the engine, and readings spoilt in two ways.
PAIRS = (
    *(f"{a}+{b}" for a, b in product(("frozen", "delayed", "biased", "one_nan", "gone_for_10_s"), ("kill", "nan"))),
    "delayed+one_nan", "biased+frozen", "late_without_stamps+corner", "late_without_stamps+one_nan",
)  # fmt: skip
EVERY = ("none", "baseline", *SPOILINGS, *ENGINE, *PAIRS)


@dataclass
class Row:
    """What became of the episodes of a fault in a scenario."""

    episodes: int = 0
    broken: list[str] = field(default_factory=list)  # seed@instant: steps
    until: list[int] = field(default_factory=list)  # periods until the policy no longer drove
    unseen: int = 0
    jump: float = 0.0


class Campaign:
    """One release, one engine process after another."""

    def __init__(self, release: Installed, file: Path) -> None:
        self.release, self._file = release, file
        os.environ["GATE5_TEST_FAULT"] = str(file)
        self.launcher = Launcher()
        self._plant = judged_plant(release.config)
        self._links: dict[str, tuple[EngineLink, RunConfig]] = {}

    def episode(self, fault: str, scenario: str, seed: int, row: Row) -> None:
        """Drive one and add what came of it."""
        parts = [part for part in fault.split("+") if part in SPOILINGS]
        engine = next((part for part in fault.split("+") if part in ENGINE), "")
        chance = random.Random(f"{fault} {scenario} {seed}")
        steps = self._plant.scenarios[scenario].steps
        start = chance.randrange(20, 80) if chance.random() < 0.7 else chance.randrange(1, steps - 1)
        runtime = self._runtime("baseline" if fault == "baseline" else engine)
        plant = Simulator(self._plant, {"scenarios": [scenario], "seed": seed})
        plant.open()
        sources: list[Decision] = []

        def observe(reading: Reading, decision: Decision) -> None:
            sources.append(decision)

        def between() -> None:
            self._strike(engine, runtime, len(sources) - start, ENGINE.get(engine, 0))

        binding = Spoilt(plant, start, [(SPOILINGS[part].make(), SPOILINGS[part].periods) for part in parts])
        tally = drive(runtime, binding, speed=math.inf, observers=[observe], between=between)
        self._file.unlink(missing_ok=True)
        row.episodes += 1
        row.broken += [f"{seed}@{start}: {e.violations}" for e in plant.episodes if e.violations]
        if fault not in ("none", "baseline"):
            acted = [i for i, d in enumerate(sources[start:]) if d.source != "policy"]
            row.until += acted[:1]
            row.unseen += not acted
        if tally.largest_jump is not None:
            row.jump = max(row.jump, float(tally.largest_jump.max()))

    def close(self) -> None:
        """End every process."""
        for link, _ in self._links.values():
            link.close()
        self.launcher.close()

    def _runtime(self, kind: str) -> PolicyRuntime:
        """A new one, for each remembers what it has seen of the plant; engine processes are used again."""
        if kind not in self._links:
            told = {"hand_over.deadline_ms": 100.0 if kind in ("stop", "sleep") else 2000.0, "engine.restart_s": 0.0}
            config = RunConfig.load(None, {**told, "mode": "shadow" if kind == "baseline" else "control"})
            self._links[kind] = EngineLink(self.release, self.launcher, config, module="benchmarks.bad_engine"), config
        link, config = self._links[kind]
        runtime = PolicyRuntime(self.release, link, config)
        obs = self._plant.reset("steady_state", [1])[0]
        while not link.ready:
            link.check_start()
            runtime.step(Reading(obs))
            time.sleep(0.01)
        return runtime

    def _strike(self, engine: str, runtime: PolicyRuntime, since: int, lasts: int) -> None:
        """The engine's fault begins after the period before ``start``, and ends."""
        if engine == "person":
            if since == 0:
                runtime.hand_over("the campaign")
        elif engine in ("kill", "stop"):
            if since == 0 and runtime.link.pid > 0:
                os.kill(runtime.link.pid, signal.SIGKILL if engine == "kill" else signal.SIGSTOP)
            # At the plant a new process is there one period (5 s) later; here it has to be waited for.
            until = time.monotonic() + 60.0
            while engine == "kill" and since > 1 and not runtime.link.ready and time.monotonic() < until:
                runtime.link.revive()
                if runtime.link.check_start() is not None:
                    break
                time.sleep(0.01)
        elif engine:
            if since == 0:
                self._file.write_text(engine)
            elif since == lasts:
                self._file.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=40_000, help="the first seed; judged were 20000 and on")
    parser.add_argument("--only", nargs="*", choices=EVERY, default=EVERY, metavar="FAULT", help=", ".join(EVERY))
    parser.add_argument("--scenarios", nargs="*", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--no-page", action="store_true", help="print the table alone")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (told.home or Path(temporary)).absolute()
        os.environ["GATE5_HOME"] = str(home)
        key = home / "var/keys/release.pub"
        release = read_installed(home / "plant", load_public_keys([key])) if told.home else installed(home)
        campaign = Campaign(release, Path(temporary) / "fault")
        rows: dict[tuple[str, str], Row] = defaultdict(Row)
        for fault, scenario in product(told.only, told.scenarios):
            for seed in range(told.first, told.first + told.seeds):
                campaign.episode(fault, scenario, seed, rows[fault, scenario])
            print(" | ".join(line(fault, scenario, rows[fault, scenario])), flush=True)
            for text in rows[fault, scenario].broken:
                print(f"    {text} violating steps", flush=True)
        campaign.close()
    if not told.no_page:
        print(results.write("faults", "Faults at random instants", command(told), document(told, rows), page(rows)))
    return int(any(row.broken for (fault, _), row in rows.items() if fault not in ("none", "baseline")))


def command(told: argparse.Namespace) -> str:
    """That makes the page again."""
    return f"python -m benchmarks.fault_campaign --seeds {told.seeds} --first {told.first}"


def document(told: argparse.Namespace, rows: dict[tuple[str, str], Row]) -> dict[str, Any]:
    """As plain JSON types."""
    return {
        "machine": results.description(("onnxruntime",)),
        "asked": {"seeds": told.seeds, "first": told.first},
        "rows": {f"{fault} in {scenario}": vars(row) for (fault, scenario), row in rows.items()},
    }


def line(fault: str, scenario: str, row: Row) -> tuple[str, ...]:
    """A row of the table."""
    until = f"{statistics.median(row.until):g} / {max(row.until)}" if row.until else "-"
    return (fault, scenario, str(row.episodes), str(len(row.broken)), until, str(row.unseen), f"{row.jump:.3f}")


def page(rows: dict[tuple[str, str], Row]) -> list[str]:
    """The page's lines."""
    head = (
        "fault", "scenario", "episodes", "with a violation", "periods until the policy no longer drove, median / most",
        "never", "largest jump",
    )  # fmt: skip
    return [
        *results.table(head, [line(fault, scenario, row) for (fault, scenario), row in rows.items()]),
        "",
        "Each episode has its own random instant: seven of ten in periods 20 to 80 (the event is at 27 to 60), the",
        "others anywhere. A jump is an actuator's change in the period of a hand-over, of a range of 2. In `never` the",
        "fault changed nothing that anybody could see, or came after the end of an episode.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
