"""What goes wrong at a plant: readings that are spoilt between plant and supervisor, engine processes that misbehave.

The tests and ``benchmarks.fault_campaign`` share it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gate5.edge.runtime.bindings.base import Binding
from gate5.edge.runtime.decision import Reading
from gate5.plant.base import Float32

#: Component of the sCO2 plant's observation that is spoilt alone: high_pressure, MPa.
ONE = 9
PERIOD_S = 5.0
Change = Callable[[Reading], Reading]


@dataclass(frozen=True)
class Spoiling:
    """One change of the readings.

    Attributes:
        make: a new one; some remember what they saw.
        periods: how long it lasts.
        cause: that has to be given for it (``decision.CAUSES``).
    """

    make: Callable[[], Change]
    periods: int
    cause: str


def frozen() -> Change:
    """The first reading again and again, without a time stamp."""
    kept: list[Reading] = []

    def change(reading: Reading) -> Reading:
        kept.append(reading)
        return Reading(kept[0].obs)

    return change


def delayed() -> Change:
    """Three periods late, and the time stamps say so."""
    line: deque[Reading] = deque(maxlen=4)

    def change(reading: Reading) -> Reading:
        line.append(reading)
        return Reading(line[0].obs, age_s=PERIOD_S * (len(line) - 1))

    return change


def late_without_stamps() -> Change:
    """Three periods late, and nothing says so."""
    inner = delayed()
    return lambda reading: Reading(inner(reading).obs)


def all_nan(reading: Reading) -> Reading:
    """No component is a number."""
    return Reading(None if reading.obs is None else np.full_like(reading.obs, np.nan), age_s=reading.age_s)


def one_nan(reading: Reading) -> Reading:
    """One sensor is gone."""
    return _with_one(reading, lambda value: np.nan)


def biased(reading: Reading) -> Reading:
    """One sensor is 3 MPa too high."""
    return _with_one(reading, lambda value: value + 3.0)


def gone(reading: Reading) -> Reading:
    """The binding gives nothing."""
    return Reading(None, why="no connection")


def _with_one(reading: Reading, change: Callable[[float], float]) -> Reading:
    if reading.obs is None:
        return reading
    obs = reading.obs.copy()
    obs[ONE] = change(float(obs[ONE]))
    return Reading(obs, age_s=reading.age_s)


SPOILINGS = {
    "all_nan": Spoiling(lambda: all_nan, 3, "observation_not_finite"),
    "one_nan": Spoiling(lambda: one_nan, 400, "observation_not_finite"),
    "frozen": Spoiling(frozen, 8, "observation_frozen"),
    "delayed": Spoiling(delayed, 20, "observation_stale"),
    "delayed_for_good": Spoiling(delayed, 400, "observation_stale"),
    "late_without_stamps": Spoiling(late_without_stamps, 20, "observation_stale"),
    "biased": Spoiling(lambda: biased, 40, "outside_envelope"),
    "biased_for_good": Spoiling(lambda: biased, 400, "outside_envelope"),
    "gone_for_10_s": Spoiling(lambda: gone, 2, "observation_missing"),
}


class Spoilt:
    """A binding whose readings go through changes while a fault lasts; periods are counted in each episode.

    Args:
        inner: the plant.
        start: the first spoilt period.
        changes: one after the other, each with the number of periods that it lasts.
    """

    def __init__(self, inner: Binding, start: int, changes: Sequence[tuple[Change, int]]) -> None:
        self.inner, self.start, self.changes = inner, start, changes
        self.period, self.address, self.troubles = 0, "", 0

    def open(self) -> None:
        """As the plant."""
        self.inner.open()

    def read(self) -> Reading:
        """The plant's reading, spoilt or not."""
        reading = self.inner.read()
        if reading.starts:
            self.period = 0
        for change, lasts in self.changes:
            if self.start <= self.period < self.start + lasts and reading.obs is not None:
                reading = change(reading)
        self.period += 1
        return reading

    def write(self, action: Float32) -> None:
        """As the plant."""
        self.inner.write(action)

    def close(self) -> None:
        """As the plant."""
        self.inner.close()
