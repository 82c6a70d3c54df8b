"""``PlantClock``: how old a time stamp is, by a clock that never jumps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Seconds by which a stamp may seem to be from the future before a clock must have jumped.
TOLERANCE_S = 1.0
#: At the first stamp the two clocks are compared; a difference beyond this is theirs, not the reading's age.
MOST_FIRST_S = 60.0
#: So fast two clocks drift apart that nobody sets: NTP slews by no more, a controller's quartz has a tenth of it.
DRIFT = 5e-4
#: After so many readings the quickest of them is compared with the quickest of those before. What clocks drift apart
#: in so many periods is an eighth of one: lateness that matters grows by more, and is not taken for it.
WINDOW = 256


class PlantClock:
    """Ages by the monotonic clock: neither side's wall clock may be set without that old readings look new, or new old.

    Stamps that go backwards, or that lie in the future, mean that a clock was set: counting starts anew there. Clocks
    that drift apart (20 ppm are 1.7 s a day) make ages grow slowly; what even the quickest readings have grown by is
    taken out.

    Args:
        say: gets a line when a clock was set.
        monotonic, wall: seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda text: None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._say, self._monotonic, self._wall = say, monotonic, wall
        self._offset: float | None = None
        self._last = 0.0
        self._readings, self._since = 0, 0.0
        self._least, self._before = math.inf, 0.0
        self.jumps = 0

    def age(self, stamp: float) -> float:
        """Seconds since ``stamp`` (seconds since 1970, the plant's clock)."""
        now = self._monotonic()
        if self._offset is None:
            first = self._wall() - stamp
            if not -TOLERANCE_S <= first <= MOST_FIRST_S:
                self._say(f"the plant's clock and this one differ by {first:.3g} s; ages count from the first reading")
                first = 0.0
            self._offset, self._last = now - stamp - max(first, 0.0), stamp
            self._since = now
        age = now - stamp - self._offset
        if stamp < self._last or age < -TOLERANCE_S:
            self.jumps += 1
            self._say(f"a clock was set: the time stamps moved by {stamp - self._last:.3g} s; ages count from here")
            self._offset, age = now - stamp, 0.0
            self._readings, self._since, self._least, self._before = 0, now, math.inf, 0.0
        self._last = stamp
        # The quickest reading so far has the age nought: what is measured is lateness, not the network.
        if age < 0.0:
            self._offset += age
            age = 0.0
        self._follow_drift(now, age)
        return age

    def _follow_drift(self, now: float, age: float) -> None:
        assert self._offset is not None
        self._readings, self._least = self._readings + 1, min(self._least, age)
        if self._readings < WINDOW:
            return
        grown = self._least - self._before
        if abs(grown) <= DRIFT * (now - self._since):
            self._offset += grown
        else:  # readings that are late from now on stay late
            self._before = self._least
        self._readings, self._since, self._least = 0, now, math.inf
