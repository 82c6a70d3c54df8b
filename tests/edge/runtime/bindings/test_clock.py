"""Ages by a clock that never jumps, whatever the wall clocks do."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from gate5.edge.runtime.bindings.clock import AGAIN_S, DRIFT, TOLERANCE_S, WINDOW, PlantClock


class Times:
    def __init__(self) -> None:
        self.monotonic, self.wall, self.plant = 50.0, 1e9, 1e9
        self.said: list[str] = []
        self.clock = PlantClock(self.said.append, lambda: self.monotonic, lambda: self.wall)

    def pass_(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds
        self.plant += seconds


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -0.5, 1e6])
@pytest.mark.parametrize("whose", ["wall", "plant"])
def test_a_clock_that_is_set(jump: float, whose: str) -> None:
    times = Times()
    for _ in range(10):
        times.pass_(5.0)
        assert times.clock.age(times.plant - 0.2) == pytest.approx(0.2, abs=1e-6)
    setattr(times, whose, getattr(times, whose) + jump)
    ages = []
    for _ in range(10):
        times.pass_(5.0)
        ages.append(times.clock.age(times.plant - 0.2))
    set_back = whose == "plant" and jump < -5.0
    assert ages[0] == math.inf if set_back else ages[0] < 1.0, "nobody knows how old the first one after it is"
    assert max(ages[1:]) < 1.0, "no more is lost for it"
    assert times.clock.jumps == (1 if whose == "plant" and jump != -0.5 else 0)
    assert len(times.said) == times.clock.jumps


@pytest.mark.parametrize("stretch", [2, 6, 100])
def test_a_stored_stretch_that_is_played_again_and_again_is_old(stretch: int) -> None:
    times = Times()
    assert times.clock.age(times.plant) == 0.0
    played = []
    for k in range(20 * stretch):
        times.pass_(5.0)
        if k % stretch == 0:
            times.plant -= 5.0 * stretch if k else 86400.0
        played.append(times.clock.age(times.plant))
    assert played[:stretch] == [math.inf] + [0.0] * (stretch - 1), "at first it looks like a clock that was set"
    grown = np.repeat(np.arange(1, 20), stretch) * 5.0 * stretch
    assert played[stretch:] == pytest.approx(grown)
    assert len(times.said) == 2
    times.pass_(5.0)
    times.plant = times.wall
    assert times.clock.age(times.plant) == 0.0, "what comes from the plant again"


def test_a_clock_that_was_set_wrong_and_then_right() -> None:
    """Forward and back, as often as it likes: it goes as it went before."""
    times = Times()
    found = []
    for k in range(40):
        times.pass_(5.0)
        times.plant += 3600.0 * ((k % 10 == 5) - (k % 10 == 8))
        found.append(times.clock.age(times.plant - 0.2))
    assert [k % 10 for k, age in enumerate(found) if age > 0.3] == [8] * 4


def test_a_clock_that_is_set_back_twice_is_believed_in_the_end() -> None:
    times = Times()
    times.clock.age(times.plant)
    for _ in range(2):
        times.pass_(5.0)
        times.plant -= 1000.0
        times.clock.age(times.plant)
    ages = []
    for _ in range(int(AGAIN_S / 5.0) + 2):
        times.pass_(5.0)
        ages.append(times.clock.age(times.plant))
    assert set(np.round(ages[:-3], 6)) == {1000.0}
    assert ages[-2:] == [0.0, 0.0]


def test_small_steps_of_a_clock_that_is_set_by_the_network() -> None:
    """A plant of 10 ms whose controller asks a time server every minute."""
    times = Times()
    found = []
    for k in range(60_000):
        times.pass_(0.01)
        times.plant -= 0.05 * TOLERANCE_S * (k % 6000 == 3000)
        found.append(times.clock.age(times.plant))
    assert [k % 6000 for k, age in enumerate(found) if age > 0.001] == [3000] * 10


def test_lateness_is_seen_beside_it() -> None:
    times = Times()
    late = []
    for k in range(20):
        stamp = times.plant - (5.0 * min(max(k - 9, 0), 3))
        late.append(round(times.clock.age(stamp)))
        times.pass_(5.0)
    assert late == [0] * 10 + [5, 10] + [15] * 8
    assert times.clock.age(times.plant) == 0.0
    assert times.clock.jumps == 0


def test_clocks_that_differ_from_the_beginning() -> None:
    times = Times()
    times.plant += 7200.0
    assert times.clock.age(times.plant) == 0.0
    assert "differ by -7.2e+03 s" in times.said[0]
    times.pass_(5.0)
    assert times.clock.age(times.plant - 5.0) == pytest.approx(5.0)


def ages(times: Times, late: int, periods: int, *, drift: float, period_s: float = 5.0) -> list[float]:
    """What is said of readings that become so many periods late: the same one again and again, then old ones."""
    jitter, stamps, found = random.Random(1), [times.plant], []
    for k in range(periods):
        times.pass_(period_s)
        times.plant -= drift * period_s
        stamps.append(max(times.plant - 0.1 * period_s * jitter.random(), stamps[-1]))
        found.append(times.clock.age(stamps[-1 - min(k, late)]))
    return found


@pytest.mark.parametrize("drift", [-DRIFT / 2, -2e-5, 2e-5, 1e-4, DRIFT / 2])
@pytest.mark.parametrize("period_s", [5.0, 0.01])
def test_clocks_that_drift_apart_make_no_reading_old(drift: float, period_s: float) -> None:
    """Without it a fresh reading is stale for ever after days (5 s) or minutes (10 ms), and then lost."""
    times = Times()
    assert max(ages(times, 0, 60 * WINDOW, drift=drift, period_s=period_s)) < 0.5 * period_s
    late = ages(times, 3, 20 * WINDOW, drift=drift, period_s=period_s)  # and what is late beside it is still seen
    assert 2.5 * period_s < min(late[4:]) <= max(late) < 3.7 * period_s
    assert max(ages(times, 0, 20 * WINDOW, drift=drift, period_s=period_s)) < 0.7 * period_s
    assert times.clock.jumps == 0


@pytest.mark.parametrize("periods", [1, 3, 6])
def test_readings_that_stay_late_stay_late(periods: int) -> None:
    times = Times()
    assert max(ages(times, 0, WINDOW // 2, drift=0.0)) < 0.6
    late = ages(times, periods, 40 * WINDOW, drift=0.0)[periods:]
    assert 5.0 * periods - 0.6 < min(late) <= max(late) < 5.0 * periods + 0.6
