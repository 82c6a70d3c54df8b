"""``PlantClock``: how old a time stamp is, by a clock that never jumps."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds by which a stamp may seem to be from the future before a clock must have jumped.
TOLERANCE_S = 1.0
#: At the first stamp the two clocks are compared; a difference beyond this is theirs, not the reading's age.
MOST_FIRST_S = 60.0


class PlantClock:
    """Ages by the monotonic clock: neither side's wall clock may be set without that old readings look new, or new old.

    Stamps that go backwards, or that lie in the future, mean that a clock was set: counting starts anew there.

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
        age = now - stamp - self._offset
        if stamp < self._last or age < -TOLERANCE_S:
            self.jumps += 1
            self._say(f"a clock was set: the time stamps moved by {stamp - self._last:.3g} s; ages count from here")
            self._offset, age = now - stamp, 0.0
        self._last = stamp
        # The quickest reading so far has the age nought: what is measured is lateness, not the network.
        if age < 0.0:
            self._offset += age
            age = 0.0
        return age
