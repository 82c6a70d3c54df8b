"""``Estimator``: where the plant is now, from the last reading that could be trusted and what was applied since."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from gate5.evaluation.forecast import Forecast
from gate5.plant.base import Box, Float32

#: A difference of sums of squares that says which of two forecasts is right (as a log likelihood ratio: 2 ln 150).
CLEAR = 10.0
#: Periods for which readings that stood still are taken to be late where nothing says that they are not.
DOUBT = 12
#: Outside the envelope a component that is so many times the forecast's usual error from it did not get there by the
#: plant: a sensor that failed to an end of its range, or says another unit. Where more than a quarter of them jump
#: together, the plant did.
JUMP, MOST_JUMPS = 30.0, 0.25


class Estimator:
    """Takes readings ahead that came late, or did not come, by the release's forecast.

    Args:
        forecast: of the release; ``None``: an old reading is all there is.
        period_s: of control.
        most: periods that a reading is taken ahead, at most.
        given: components that the control system gives itself (set-points), which may jump.
        space: the plant's observations; what lies outside of it no instrument shows. ``None``: they have no bounds.
    """

    def __init__(
        self,
        forecast: Forecast | None,
        period_s: float,
        most: int,
        given: Sequence[int] = (),
        space: Box | None = None,
    ) -> None:
        self._forecast, self._period_s, self._most = forecast, period_s, most
        self._applied: deque[Float32] = deque(maxlen=most + 1)
        self._obs: Float32 | None = None
        self._late = self._doubt = 0
        self._stamped = False
        self._limit = None if forecast is None else JUMP * forecast.spread
        if self._limit is not None:
            self._limit[list(given)] = np.inf
        self._space = space

    def reset(self) -> None:
        """An episode starts."""
        self._applied.clear()
        self._obs, self._late, self._doubt = None, 0, 0

    def credible(self, obs: Float32, age_s: float) -> Float32:
        """A reading from outside the envelope, NaN for each component that the plant cannot have brought there."""
        expected = self._expected(max(round(age_s / self._period_s), 0))
        if expected is None or self._limit is None:
            return obs
        jumped = np.abs(obs.astype(np.float64) - expected) > self._limit
        if self._space is not None:
            jumped |= (obs < self._space.low) | (obs > self._space.high)
        if not jumped.any() or np.count_nonzero(jumped) > MOST_JUMPS * len(obs):
            return obs
        return np.where(jumped, np.float32(np.nan), obs)

    def take(self, obs: Float32, age_s: float, *, stamped: bool, repeated: bool, finite: bool = True) -> None:
        """A reading that can be trusted, and how old it is.

        A component that is no number is taken to be where the forecast has it: the PID drives on that, and the others
        can be taken ahead. Without that sensor it would hold one actuator and lead another to the end of a table.

        Args:
            stamped: its age is by the plant's clock.
            repeated: it is the one before once more, bit by bit.
            finite: every component is a number.
        """
        late = max(round(age_s / self._period_s), 0) if age_s else 0
        if not finite:
            before = self._expected(late)
            if before is None and self._forecast is not None:
                before = (0.5 * (self._forecast.low + self._forecast.high)).astype(np.float32)
            if before is None:
                self._late = 0
                return
            obs = np.where(np.isfinite(obs), obs, before)
        self._stamped = self._stamped or stamped
        if self._stamped or repeated or self._forecast is None:
            self._obs, self._late, self._doubt = obs, late, DOUBT if repeated and not self._stamped else 0
            return
        if self._doubt:
            late = max(late, self._still_late(obs, self._forecast))
        self._obs, self._late = obs, late

    def _expected(self, late: int) -> Float32 | None:
        """Where the last reading would be by now, or so many periods before; ``None``: there is none."""
        if self._obs is None or self._forecast is None:
            return self._obs
        between = max(self._late + 1 - late, 0)  # periods from the one reading to the other
        return self._forecast.ahead(self._obs, list(self._applied)[-self._late - 1 :][:between])

    def _still_late(self, obs: Float32, forecast: Forecast) -> int:
        """Readings without time stamps stood still and move again: from where they stood, or from where the plant is?

        The likelier one; where they cannot be told apart, late for ``DOUBT`` periods.
        """
        last, late = self._obs, self._late
        since = list(self._applied)[-late - 1 :]
        if last is None or not late or len(since) <= late:
            self._doubt = 0
            return 0
        goes_on = forecast.surprise(obs, forecast.ahead(last, since[:1]))
        caught_up = forecast.surprise(obs, forecast.ahead(last, since))
        unnoticed = forecast.surprise(obs, forecast.ahead(last, since[-1:]))  # they had caught up before
        if caught_up + CLEAR < goes_on:
            self._doubt = 0
        else:
            self._doubt = DOUBT if goes_on + CLEAR < min(caught_up, unnoticed) else self._doubt - 1
        return late if self._doubt else 0

    def miss(self) -> None:
        """A period without one."""
        self._late += 1

    def applied(self, action: Float32) -> None:
        """What the plant received in this period."""
        self._applied.append(action)

    def took(self, action: Float32) -> None:
        """The plant did not take what was last said to be applied; it has this instead."""
        if self._applied:
            self._applied[-1] = action

    @property
    def late(self) -> int:
        """Periods since the last reading was taken."""
        return self._late

    def now(self) -> Float32 | None:
        """The observation of this period; ``None``: the last reading is too old to say."""
        if self._obs is None or self._late == 0:
            return self._obs
        if self._late > min(self._most, len(self._applied)):
            return None
        if self._forecast is None:
            return self._obs
        return self._forecast.ahead(self._obs, list(self._applied)[-self._late :])
