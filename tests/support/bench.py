"""A runtime on simulated episodes, and what came of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate5.config.run import RunConfig
from gate5.edge.runtime.bindings.base import Binding
from gate5.edge.runtime.bindings.simulator import Simulator
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.loop import Tally, drive
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.plant.judged import judged_plant


class Bench:
    """A runtime on simulated episodes, as fast as it goes, and what came of it."""

    def __init__(self, release: Installed, launcher: Launcher) -> None:
        self.release, self.launcher = release, launcher
        self.links: list[EngineLink] = []
        self.decisions: list[Decision] = []

    def runtime(self, overrides: dict[str, Any] | None = None, module: str = "") -> PolicyRuntime:
        """A runtime whose engine is ready; the deadline is a slow machine's unless it is given."""
        config = RunConfig.load(None, {"hand_over.deadline_ms": 2000.0, **(overrides or {})})
        link = EngineLink(self.release, self.launcher, config, **({"module": module} if module else {}))
        self.links.append(link)
        until = time.monotonic() + 120
        while not link.ready:
            assert link.check_start() is None, link.last_error
            assert time.monotonic() < until
            time.sleep(0.01)
        return PolicyRuntime(self.release, link, config)

    def fresh_runtime(self, module: str, fault: str) -> PolicyRuntime:
        """With a launcher of its own, which has the environment of now."""
        self.launcher = Launcher()
        return self.runtime({"hand_over.deadline_ms": 100.0} if fault == "sleep" else None, module)

    def simulator(self, *scenarios: str, seed: int = 20_000, episodes: int = 1) -> Simulator:
        found = Simulator(
            judged_plant(self.release.config),
            {"scenarios": list(scenarios) or None, "seed": seed, "episodes": episodes},
        )
        found.open()
        return found

    def run(
        self,
        runtime: PolicyRuntime,
        binding: Binding,
        at: Callable[[int], None] = lambda period: None,
        periods: int | None = None,
    ) -> Tally:
        """Drive; ``at`` is called with each period's number after it."""
        self.decisions = []

        def observe(reading: Reading, decision: Decision) -> None:
            self.decisions.append(decision)

        return drive(
            runtime, binding, speed=math.inf, periods=periods, observers=[observe],
            between=lambda: at(len(self.decisions)),
        )  # fmt: skip


def evaluated(home: Path, scenario: str) -> list[float]:
    """The returns that ``evaluate`` recorded, by seed from 20000 on."""
    row = json.loads((home / "w" / "evaluation" / f"{scenario}.json").read_bytes())
    return list(row["rl"]["returns"])
