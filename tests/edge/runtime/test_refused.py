"""A plant that does not take what it is told: who drives, what the PID follows, what comes when it takes it again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gate5.edge.runtime.bindings.simulator import Simulator
from gate5.edge.runtime.decision import Reading
from gate5.plant.base import Float32
from tests.support.bench import Bench

FIRST, LAST = 40, 160


class Refuses:
    """A simulator whose actuators stand still between two writes, as a PLC in local mode leaves them."""

    address = ""

    def __init__(self, plant: Simulator) -> None:
        self.plant, self.troubles, self.writes = plant, 0, 0
        self.refused = ""
        self.standing: Float32 | None = None

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read(self) -> Reading:
        return replace(self.plant.read(), refused=self.refused, standing=self.standing)

    def write(self, action: Float32) -> None:
        self.writes += 1
        self.refused = "damper: BadUserAccessDenied" if FIRST <= self.writes < LAST else ""
        if not self.refused or self.standing is None:
            self.standing = action.copy()
        self.plant.write(self.standing)


def test_actions_that_are_refused_are_not_taken_for_applied(bench: Bench) -> None:
    runtime = bench.runtime()
    plant = Refuses(bench.simulator("load_following"))
    tally = bench.run(runtime, plant)
    assert tally.causes["action_refused"] == LAST - FIRST
    assert tally.hand_overs == {"action_refused": 1}
    held = bench.decisions[FIRST - 2].action
    asked = [decision.action for decision in bench.decisions]
    # The PID is led to where the actuators stand: taken for applied, its actions run off to the stop and break a limit.
    assert np.abs(np.array(asked[FIRST:LAST])).max() < 0.85
    assert np.abs(asked[LAST - 1] - held).max() < 0.7
    assert sum(e.violations for e in plant.plant.episodes) == 0
    assert {d.source for d in bench.decisions[FIRST:LAST]} == {"baseline"}
    assert bench.decisions[LAST].cause != "action_refused"


def test_a_reading_that_never_came_moves_nothing(bench: Bench) -> None:
    """At the first period of a running plant nobody knows where its actuators stand; the middle of their range is not
    the last action."""
    runtime = bench.runtime()
    inner = bench.simulator("steady_state")

    class Late:
        address, troubles = "", 0
        reads = 0
        written: list[Float32] = []  # noqa: RUF012 - of this one binding

        def open(self) -> None: ...

        def close(self) -> None: ...

        def read(self) -> Reading:
            self.reads += 1
            return Reading(None, why="nothing has come yet") if self.reads <= 3 else inner.read()

        def write(self, action: Float32) -> None:
            self.written.append(action)
            inner.write(action)

    plant = Late()
    bench.run(runtime, plant, periods=6)
    assert [d.source for d in bench.decisions[:3]] == ["safe"] * 3
    assert len(plant.written) == 3, "nothing was written while nobody knew anything"
    runtime.begin()
    given = runtime.step(Reading(None, standing=np.full(4, 0.25, np.float32)))
    assert given.applies
    assert given.action.tolist() == [0.25] * 4, "where the plant's actuators stand"
