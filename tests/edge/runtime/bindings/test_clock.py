"""Ages by a clock that never jumps, whatever the wall clocks do."""

from __future__ import annotations

import pytest

from gate5.edge.runtime.bindings.clock import PlantClock


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
    assert max(ages) < 1.0, "no reading is lost for it"
    assert times.clock.jumps == (1 if whose == "plant" and jump != -0.5 else 0)
    assert len(times.said) == times.clock.jumps


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
