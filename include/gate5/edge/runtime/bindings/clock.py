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
#: Within so many seconds a clock is set back once: stamps that go back again are of a stored stretch that is played.
AGAIN_S = 3600.0


class PlantClock:
    """Ages by the monotonic clock: neither side's wall clock may be set without that old readings look new, or new old.

    Stamps that go backwards, or that lie in the future, mean that a clock was set: counting starts anew there. That
    stored readings are played again looks the same at first, so nobody knows how old the first one after a step back
    is, and a second such step within ``AGAIN_S`` is not believed. Clocks that drift apart (20 ppm are 1.7 s a day)
    make ages grow slowly; what even the quickest readings have grown by is taken out.

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
        self._last, self._former = 0.0, math.nan
        self._back: float | None = None  # when stamps went back last
        self._doubted = False
        self._readings, self._since = 0, 0.0
        self._least, self._before = math.inf, 0.0
        self.jumps = 0

    def age(self, stamp: float, *, went_back: bool | None = None) -> float:
        """Seconds since ``stamp`` (seconds since 1970, the plant's clock); ``inf`` where a clock was just set back.

        Args:
            went_back: whether the plant's stamps did; ``None``: where this one is before the last.
        """
        now = self._monotonic()
        if self._offset is None:
            first = self._wall() - stamp
            if not -TOLERANCE_S <= first <= MOST_FIRST_S:
                self._say(f"the plant's clock and this one differ by {first:.3g} s; ages count from the first reading")
                first = 0.0
            self._offset, self._last = now - stamp - max(first, 0.0), stamp
            self._since = now
        age = now - stamp - self._offset
        if stamp < self._last if went_back is None else went_back:
            if self._believes(now, stamp):
                self._anew(now, stamp)
                return math.inf
        elif age < -TOLERANCE_S or (self._doubted and self._back is not None and now - self._back >= AGAIN_S):
            self._anew(now, stamp)
            age = 0.0
        elif age <= TOLERANCE_S:
            self._doubted = False
        self._last = stamp
        # The quickest reading so far has the age nought: what is measured is lateness, not the network.
        if age < 0.0:
            self._offset += age
            age = 0.0
        self._follow_drift(now, age)
        return age

    def _believes(self, now: float, stamp: float) -> bool:
        """Whether stamps that went back are of a clock that was set."""
        small = self._last - stamp <= TOLERANCE_S  # a controller that asks a time server steps by as much
        if small or abs(now - stamp - self._former) <= TOLERANCE_S:  # or it goes again as it went before
            return True
        again = self._back is not None and now - self._back < AGAIN_S
        self._back = now
        if again and not self._doubted:
            self._say(f"the time stamps went back again, by {self._last - stamp:.3g} s: they are old, or played again")
        self._doubted = again
        return not again

    def _anew(self, now: float, stamp: float) -> None:
        self.jumps += 1
        self._say(f"a clock was set: the time stamps moved by {stamp - self._last:.3g} s; ages count from here")
        assert self._offset is not None
        self._former, self._offset, self._last, self._doubted = self._offset, now - stamp, stamp, False
        self._readings, self._since, self._least, self._before = 0, now, math.inf, 0.0

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
