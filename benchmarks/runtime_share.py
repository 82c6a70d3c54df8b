#!/usr/bin/env python3
"""The supervisor's share of a period in processor time, which a loaded machine disturbs less than a clock; in turns.

python -m benchmarks.runtime_share --home FOLDER [--against CHECKOUT] [--rounds 6] [--periods 1000]

``--home``: made by ``python -m benchmarks.runtime --prepare FOLDER``. ``--against``: another checkout of gate5 (of an
earlier commit: ``git worktree add``), whose supervisor is measured in turns with this one's.

A share is the processor time of the control thread from the reading to the sleep, without what it spends in waiting for
the engine's answer. Calls are those of Python and of C functions in a period (``sys.setprofile``).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--periods", type=int, default=1000)
    parser.add_argument("--one", action="store_true", help="one round of whatever checkout is on PYTHONPATH")
    told = parser.parse_args()
    if told.one:
        print(json.dumps(one(told.home.absolute(), told.periods)))
        return 0
    trees = {"this one": ROOT} if told.against is None else {"before": told.against.absolute(), "this one": ROOT}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for _ in range(told.rounds):
        for name, tree in trees.items():
            found[name].append(child(tree, told))
    for name, rounds in found.items():
        for pace in ("1 kHz", "no pause"):
            share = np.concatenate([np.array(r[pace]) for r in rounds]) / 1e3
            p50, p99 = np.percentile(share, [50, 99])
            print(f"{name}: {pace}: p50 {p50:.0f} us, p99 {p99:.0f} us of processor time in {share.size} periods")
        python, others = rounds[-1]["calls"]
        print(f"{name}: {python:.0f} calls of Python functions and {others:.0f} of C functions in a period")
    return 0


def child(tree: Path, told: argparse.Namespace) -> dict[str, Any]:
    """One round in a process of its own, with a checkout's code."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", "--home", str(told.home.absolute())]
    paths = os.pathsep.join(str(tree / part) for part in ("include", ".", "plugins"))
    done = subprocess.run(
        [*command, "--periods", str(told.periods)],
        env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, check=True, cwd=tree,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def one(home: Path, periods: int) -> dict[str, Any]:
    """Shares in ns at 1 kHz and without pauses, and calls in a period."""
    os.environ["GATE5_HOME"] = str(home)
    from benchmarks import runtime as measured
    from gate5.edge.runtime.decision import Decision, Reading
    from gate5.edge.runtime.installed import read_installed
    from gate5.edge.runtime.launcher import Launcher
    from gate5.edge.runtime.loop import drive
    from gate5.edge.runtime.priority import EARLY_S
    from gate5.store import load_public_keys

    release = read_installed(home / "plant", load_public_keys([home / "var/keys/release.pub"]))
    obs = measured.EPISODE[:] = measured.episode(release)
    launcher = Launcher()
    runtime = measured.started(release, launcher, {"hand_over.deadline_ms": 200.0, "realtime": False})
    waiting, plain = [0], runtime.link.wait
    began = [0]

    class Timed(measured.Replay):
        def read(self) -> Reading:
            began[0] = time.thread_time_ns()
            return super().read()

    def wait(until: float, *counts: Any) -> Any:
        start = time.thread_time_ns()
        answer = plain(until, *counts)
        waiting[0] = time.thread_time_ns() - start
        return answer

    def observe(reading: Reading, decision: Decision) -> None:
        """As little as there can be."""

    result: dict[str, Any] = {}
    more: dict[str, Any] = {"early_s": EARLY_S}
    with contextlib.suppress(ImportError):  # an earlier checkout has none
        from gate5.edge.runtime.rehearsal import Rehearsal

        more["rehearse"] = Rehearsal(runtime)
    gc.collect()
    gc.freeze()
    runtime.link.wait = wait  # type: ignore[method-assign, assignment]
    for pace, speed in (("no pause", float("inf")), ("1 kHz", 1.0)):
        shares: list[int] = []

        def between(shares: list[int] = shares) -> None:
            shares.append(time.thread_time_ns() - began[0] - waiting[0])

        drive(runtime, Timed(obs), speed=speed, periods=periods, observers=[observe], between=between, **more)
        result[pace] = shares
    runtime.link.wait = plain  # type: ignore[method-assign]
    result["calls"] = calls(lambda count: drive(runtime, measured.Replay(obs), speed=float("inf"), periods=count))
    runtime.link.close()
    launcher.close()
    return result


def calls(work: Any) -> tuple[float, float]:
    """Calls of Python and of C functions in one period of ``work(periods)``."""
    count = {"call": 0, "c_call": 0}

    def seen(frame: Any, event: str, argument: Any) -> None:
        if event in count:
            count[event] += 1

    sys.setprofile(seen)
    work(500)
    sys.setprofile(None)
    return count["call"] / 500, count["c_call"] / 500


if __name__ == "__main__":
    raise SystemExit(main())
