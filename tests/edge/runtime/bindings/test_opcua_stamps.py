"""How old a reading is by the stamps of a real server's nodes, whatever its clock, a set-point or a sensor does."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gate5.config.models import ReleaseConfig
from gate5.edge.runtime.bindings.clock import PlantClock
from gate5.edge.runtime.bindings.opcua import OpcUa
from gate5.plant.judged import judged_plant
from tests.edge.runtime.record.test_seen import PATIENCE_S, free_port
from tests.support.opcua_stamped import Stamped

PLANT = judged_plant(ReleaseConfig.load(None))
NAMES = list(PLANT.observation_space.names)
MEASURED = [s.name for s in PLANT.signals if s.kind == "measured" and s.name in NAMES]  # type: ignore[attr-defined]
GIVEN = [name for name in NAMES if name not in MEASURED]
PERIOD_S = 5.0


class Rig:
    """A binding at a server, both by clocks that the test moves."""

    def __init__(self, server: Stamped) -> None:
        self.server, self.said, self.count = server, list[str](), 0.0
        self.monotonic, self.plant = 50.0, 1.7e9
        options = {
            "url": server.url, "observations": {name: f"ns=2;s={name}" for name in NAMES},
            "actions": {name: f"ns=2;s=Cmd.{name}" for name in PLANT.action_space.names}, "poll_s": 0.01,
        }  # fmt: skip
        self.binding = OpcUa(PLANT, options, PERIOD_S, self.said.append)
        self.binding._clock = PlantClock(self.said.append, lambda: self.monotonic, lambda: 1.7e9)

    def age(self, *written: tuple[list[str], float], bad: tuple[str, ...] = ()) -> float:
        """One period: nodes are written with stamps so long before the plant's time; the age of what is read then."""
        self.monotonic += PERIOD_S
        self.plant += PERIOD_S
        self.count += 1.0
        for names, late in written:
            for lost in (True, False):
                values = {name: self.count for name in names if (name in bad) == lost}
                self.server.put(values, self.plant - late, bad=lost)
        until = time.monotonic() + PATIENCE_S
        while not all(self._has(name, name in bad) for names, _ in written for name in names):
            assert time.monotonic() < until
            time.sleep(0.005)
        return self.binding.read().age_s

    def _has(self, name: str, bad: bool) -> bool:
        """Whether the binding has read what was written last."""
        if self.binding._newest is None:
            return False
        value = self.binding._newest[0][NAMES.index(name)]
        return bool(np.isnan(value) if bad else value == self.count)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Stamped(free_port(), [*NAMES, *(f"Cmd.{name}" for name in PLANT.action_space.names)]) as server:
        found = Rig(server)
        server.put(dict.fromkeys(NAMES, 0.0), found.plant)
        found.binding.open()
        try:
            assert found.binding.read().age_s == 0.0
            yield found
        finally:
            found.binding.close()


@pytest.mark.parametrize("still", [GIVEN[0], MEASURED[0]])
def test_what_seldom_changes_does_not_rule_after_the_clock_was_set_back(rig: Rig, still: str) -> None:
    moving = [name for name in NAMES if name != still]
    for _ in range(3):
        assert rig.age((moving, 0.0)) == 0.0
    rig.plant -= 3600.0
    assert rig.age((moving, 0.0)) == math.inf, "nobody knows how old it is"
    for _ in range(5):
        assert rig.age((moving, 0.0)) == 0.0, "a fresh reading"
    late = [rig.age(), rig.age((moving, 10.0))]
    assert late == [5.0, 10.0], "one that is late is seen"
    assert rig.age((NAMES, 0.0)) == 0.0, "the one that stood still goes on by the new clock"
    assert len([text for text in rig.said if "clock was set" in text]) == 1


def test_a_stamp_of_the_future_that_never_moves(rig: Rig) -> None:
    """A node that was written before the clock was set back, and the run began after it."""
    rig.binding.close()
    rig.server.put({MEASURED[0]: 1.0}, rig.plant + 7200.0)
    second = Rig(rig.server)
    second.binding.open()
    second.binding.read()
    ages = [second.age((MEASURED[1:], 0.0)) for _ in range(5)]
    second.binding.close()
    assert ages[1:] == [0.0] * 4


def test_a_sensor_that_fails_makes_no_other_look_younger(rig: Rig) -> None:
    newest, others = MEASURED[0], MEASURED[1:]
    assert rig.age(([newest], 0.0), (others, 4.0)) == 0.0
    assert rig.age() == 5.0
    ages = [rig.age(([newest], 0.0), bad=(newest,)), rig.age()]
    assert ages == [14.0, 19.0], "by what can still be read, whose stamps stand still"
    assert rig.age((others, 0.0)) == 0.0
    assert not [text for text in rig.said if "clock was set" in text]


def test_set_points_that_change_do_not_hide_measured_values_that_do_not_come(rig: Rig) -> None:
    assert rig.age((NAMES, 0.0)) == 0.0
    assert [rig.age((GIVEN, 0.0)) for _ in range(4)] == [5.0, 10.0, 15.0, 20.0]


def test_values_published_again_with_their_old_stamps_are_old(rig: Rig) -> None:
    assert rig.age((NAMES, 0.0)) == 0.0
    assert [rig.age((NAMES, 5.0 * k)) for k in range(1, 5)] == [5.0, 10.0, 15.0, 20.0]
    assert rig.age((NAMES, 0.0)) == 0.0


def test_all_sensors_fail(rig: Rig) -> None:
    """Nothing says when the plant was last seen but what was read before."""
    assert rig.age((NAMES, 0.0)) == 0.0
    ages = [rig.age((MEASURED, 0.0), (GIVEN, 0.0), bad=tuple(MEASURED)) for _ in range(3)]
    assert ages == [5.0, 10.0, 15.0]
