"""What is checked of an observation in every period: there, fresh, finite, moving, inside the envelope, with margin."""

from __future__ import annotations

import math

import numpy as np

from gate5.config.run import HandOverConfig
from gate5.edge.runtime.decision import Reading, Trouble
from gate5.evaluation.envelope import MARGIN, Envelope, observed
from gate5.plant.base import Float32, Float64, Plant

#: An unchanged reading is suspicious only for components that always moved within this many periods when judged.
LIVELY = 20


class ObservationWatch:
    """Checks observations one after the other.

    Args:
        plant: names and constraints.
        envelope: of the release; ``None``: no bounds, and the whole observation counts as frozen after
            ``frozen_periods``.
        config: thresholds.
        period_s: between two observations.

    Attributes:
        finite: whether every component of the last observation is a number.
    """

    def __init__(self, plant: Plant, envelope: Envelope | None, config: HandOverConfig, period_s: float) -> None:
        self._envelope, self._config = envelope, config
        self._max_age_s, self._lost_age_s = config.max_age_periods * period_s, config.lost_age_periods * period_s
        size = plant.observation_space.size
        self._names = plant.observation_space.names or tuple(str(i) for i in range(size))
        allowed = np.full(size, np.iinfo(np.int64).max // 2, dtype=np.int64)
        if envelope is not None:
            allowed = np.where(envelope.unchanged <= LIVELY, envelope.unchanged + config.frozen_periods, allowed)
        self._allowed = allowed
        self._last: Float32 = np.full(size, np.nan, np.float32)
        self._same = np.zeros(size, np.int64)
        self._size = size
        self.finite = self._inside = False
        self._room = _Room(envelope) if envelope is not None and config.envelope else None
        self._period_s = period_s
        self._least = int(allowed.max()) if envelope is None else int(envelope.unchanged.min())
        self.repeats = 0
        self._outside = 0
        self.last_outside = ""

    def reset(self) -> None:
        """An episode starts."""
        self._last[:] = np.nan
        self._same[:] = 0
        self.repeats = self._outside = 0

    def lost(self, reading: Reading) -> Trouble | None:
        """Why there is no observation that even the baseline could use; asked first, it also finds ``finite``."""
        obs = reading.obs
        if obs is None:
            return "observation_missing", reading.why or "the binding gave no observation"
        if not reading.age_s <= self._lost_age_s:
            return "observation_stale", f"it is {reading.age_s:.3g} s old, allowed are {self._lost_age_s:.3g} s"
        if obs.shape != self._last.shape:
            return "observation_missing", f"it has shape {obs.shape}, the plant's is {self._last.shape}"
        self._inside = self._room is not None and self._room.holds(obs)
        if self._inside:
            self.finite = True
            return None
        known = np.count_nonzero(np.isfinite(obs))  # a third of what `any` and `all` cost; so in all that follows
        self.finite = known == self._size
        if not known:
            return "observation_not_finite", "no component is a number"
        return None

    def age(self, reading: Reading) -> float:
        """Seconds since an observation was taken: what the binding says, or for how long nothing in it has moved.

        Only repeats beyond the longest that was ever judged count: a plant may stand still.
        """
        equal = reading.obs == self._last
        self._same += 1
        self._same *= equal
        self._last[:] = reading.obs
        self.repeats = self.repeats + 1 if np.count_nonzero(equal) == self._size else 0
        return max(reading.age_s, self.repeats * self._period_s if self.stands_still else 0.0)

    @property
    def stands_still(self) -> bool:
        """Whether the whole observation has not moved for longer than was ever judged."""
        return self.repeats > self._least

    def suspicious(self, obs: Float32, age_s: float = 0.0) -> Trouble | None:
        """Why the policy should not be asked with an observation that is there; the baseline still may."""
        if self.stands_still:
            return "observation_frozen", f"no reading has moved for {self.repeats} periods"
        if age_s > self._max_age_s:
            return "observation_stale", f"it is {age_s:.3g} s old, allowed are {self._max_age_s:.3g} s"
        if not self.finite:
            finite = np.isfinite(obs)
            return "observation_not_finite", f"{self._names[int(np.argmin(finite))]} is {obs[int(np.argmin(finite))]}"
        frozen = self._same > self._allowed
        if np.count_nonzero(frozen):
            i = int(np.argmax(frozen))
            return "observation_frozen", f"{self._names[i]} has been {obs[i]:.6g} for {self._same[i]} periods"
        if self._envelope is None or not self._config.envelope:
            return None
        why = None if self._inside else self._envelope.outside(obs.astype(np.float64))
        self._outside = 0 if why is None else self._outside + 1
        self.last_outside = why or ""
        if why is not None and self._outside >= self._config.envelope_periods:
            return "outside_envelope", why
        return None


class _Room:
    """``Envelope.outside`` for the usual answer, "it is inside", in six operations and without a new array.

    Bounds are those of the rows of one matrix, the identity above the directions. A component that is no number is
    inside nothing.
    """

    def __init__(self, envelope: Envelope) -> None:
        self._rows = np.ascontiguousarray(np.vstack([np.eye(len(envelope.low)), envelope.directions]))
        self._low = np.concatenate([envelope.low, envelope.direction_low])
        self._high = np.concatenate([envelope.high, envelope.direction_high])
        self._many = len(self._low)
        self._obs, self._seen = np.zeros(len(envelope.low)), np.zeros(self._many)
        self._above, self._below = np.zeros(self._many, np.bool_), np.zeros(self._many, np.bool_)

    def holds(self, obs: Float32) -> bool:
        """Whether an observation ``[obs_dim]`` is inside; where not, ``outside`` says so and why."""
        self._obs[:] = obs
        np.dot(self._rows, self._obs, out=self._seen)
        np.greater_equal(self._seen, self._low, out=self._above)
        np.less_equal(self._seen, self._high, out=self._below)
        self._above &= self._below
        return int(np.count_nonzero(self._above)) == self._many


class MarginWatch:
    """Predicts the margin of each observed constraint from its change over the last period.

    Only what would be broken, and is predicted worse than in any judged episode, counts: a plant that trips moves fast,
    and the policy was judged to catch it.
    """

    def __init__(self, plant: Plant, envelope: Envelope | None, periods: int, confirm: int) -> None:
        names = list(plant.observation_space.names)
        seen = observed(plant)
        self.names = tuple(c.name for c in seen)
        self._periods, self._confirm, self._seen = periods, confirm, 0
        judged = {} if envelope is None else envelope.predicted
        worst = [min(0.0, judged[name][periods - 1]) if name in judged and periods else 0.0 for name in self.names]
        worst = [(1.0 + MARGIN) * value for value in worst]
        self._rules = [
            (
                names.index(c.variable), -1 if c.applies is None else names.index(c.applies),
                -math.inf if c.low is None else float(c.low), math.inf if c.high is None else float(c.high), least,
            )
            for c, least in zip(seen, worst, strict=True)
        ]  # fmt: skip
        self._before: list[float] | None = None
        self.margins: Float64 = np.full(len(seen), np.inf)

    def reset(self) -> None:
        """An episode starts."""
        self._before, self._seen = None, 0

    def check(self, obs: Float32) -> Trouble | None:
        """Why a constraint is about to be broken, or is."""
        if not self.names:
            return None
        values = obs.tolist()  # a few constraints, each on plain floats, are quicker than arrays of a few numbers
        before, self._before = self._before or values, values
        margins, bad, periods = [], -1, self._periods
        for i, (at, when, low, high, least) in enumerate(self._rules):
            if when >= 0 and values[when] == 0.0:
                margins.append(math.inf)
                continue
            now = values[at]
            margin = min(now - low, high - now)
            margins.append(margin)
            ahead = now + periods * (now - before[at])
            if bad < 0 and (margin < 0.0 or ahead - low < least or high - ahead < least):
                bad = i
        self.margins = np.array(margins)
        if not periods:
            return None
        if bad < 0:
            self._seen = 0
            return None
        self._seen += 1
        if self._seen < self._confirm:
            return None
        return "margin", f"{self.names[bad]} would be gone within {periods} periods (margin {margins[bad]:.4g} now)"
