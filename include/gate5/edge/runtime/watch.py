"""What is checked of an observation in every period: there, fresh, finite, moving, inside the envelope, with margin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gate5.config.run import HandOverConfig
from gate5.edge.runtime.decision import Reading, Trouble
from gate5.evaluation.envelope import MARGIN, Envelope, observed
from gate5.plant.base import Float32, Plant

#: An unchanged reading is suspicious only for components that always moved within this many periods when judged.
LIVELY = 20
_NEVER = 1 << 62


class ObservationWatch:
    """Checks observations one after the other.

    Args:
        plant: names and constraints.
        envelope: of the release; ``None``: no bounds, and nothing counts as frozen.
        config: thresholds.
        period_s: between two observations.

    Attributes:
        values: the last observation as plain floats.
        finite: whether every component of it is a number.
        repeats: periods since anything in it has moved.
        stands_still: whether that is longer than was ever judged.
    """

    def __init__(self, plant: Plant, envelope: Envelope | None, config: HandOverConfig, period_s: float) -> None:
        self._envelope, self._config = envelope, config
        self._max_age_s, self._lost_age_s = config.max_age_periods * period_s, config.lost_age_periods * period_s
        size = plant.observation_space.size
        self._names = plant.observation_space.names or tuple(str(i) for i in range(size))
        judged = [] if envelope is None else envelope.unchanged.tolist()
        self._lively = [i for i, longest in enumerate(judged) if longest <= LIVELY]
        self._allowed = [longest + config.frozen_periods for longest in judged]
        self._least = min(judged, default=_NEVER)
        self._shape = (size,)
        self._room = _Room(envelope) if envelope is not None and config.envelope else None
        self._period_s = period_s
        self.finite = self._inside = False
        self.values: list[float] = []
        self.last_outside = ""
        self.reset()

    def reset(self) -> None:
        """An episode starts."""
        self._before: list[Any] = [math.nan] * self._shape[0]
        self._same: dict[int, int] = {}  # the components that do not move, and for how long
        self.repeats = self._outside = 0
        self.stands_still = False

    def lost(self, reading: Reading) -> Trouble | None:
        """Why there is no observation that even the baseline could use; asked first, it also finds ``finite``."""
        obs = reading.obs
        if obs is None:
            return "observation_missing", reading.why or "the binding gave no observation"
        if reading.age_s == math.inf:
            return "observation_stale", "nobody knows how old it is: the time stamps went back"
        if not reading.age_s <= self._lost_age_s:
            return "observation_stale", f"it is {reading.age_s:.3g} s old, allowed are {self._lost_age_s:.3g} s"
        if obs.shape != self._shape:
            return "observation_missing", f"it has shape {obs.shape}, the plant's is {self._shape}"
        self.values = obs.tolist()
        self._inside = self._room is not None and self._room.holds(obs)
        if self._inside:
            self.finite = True
            return None
        known = sum(map(math.isfinite, self.values))
        self.finite = known == len(self.values)
        if not known:
            return "observation_not_finite", "no component is a number"
        return None

    @property
    def outside(self) -> bool:
        """Whether the last observation was not inside the envelope; never where there is none or it is switched off."""
        return self._room is not None and not self._inside

    def age(self, reading: Reading) -> float:
        """Seconds since an observation was taken: what the binding says, or for how long nothing in it has moved.

        Only repeats beyond the longest that was ever judged count: a plant may stand still.
        """
        before: list[Any] = self._before
        values: list[Any] = self.values if self.finite else [v if v == v else None for v in self.values]
        self._before = values  # a sensor that is gone does not hide that all the others stand still
        same = [i for i in self._lively if values[i] == before[i]]
        if same or self._same:
            self._same = {i: self._same.get(i, 0) + 1 for i in same}
        self.repeats = self.repeats + 1 if values == before else 0
        self.stands_still = self.repeats > self._least
        return max(reading.age_s, self.repeats * self._period_s) if self.stands_still else reading.age_s

    def suspicious(self, obs: Float32, age_s: float = 0.0) -> Trouble | None:
        """Why the policy should not be asked with an observation that is there; the baseline still may."""
        if self.stands_still:
            return "observation_frozen", f"no reading has moved for {self.repeats} periods"
        if age_s > self._max_age_s:
            return "observation_stale", f"it is {age_s:.3g} s old, allowed are {self._max_age_s:.3g} s"
        if not self.finite:
            finite = np.isfinite(obs)
            return "observation_not_finite", f"{self._names[int(np.argmin(finite))]} is {obs[int(np.argmin(finite))]}"
        for i, lasts in self._same.items():
            if lasts > self._allowed[i]:
                return "observation_frozen", f"{self._names[i]} has been {obs[i]:.6g} for {lasts} periods"
        if self._envelope is None or not self._config.envelope:
            return None
        why = None if self._inside else self._envelope.outside(obs.astype(np.float64))
        self._outside = 0 if why is None else self._outside + 1
        self.last_outside = why or ""
        if why is not None and self._outside >= self._config.envelope_periods:
            return "outside_envelope", why
        return None


class _Room:
    """``Envelope.outside`` for the usual answer, "it is inside", in four operations and without a new array.

    Each call of NumPy costs more here than what it computes. A component that is no number is inside nothing.
    """

    def __init__(self, envelope: Envelope) -> None:
        n = len(envelope.low)
        self._directions = np.ascontiguousarray(envelope.directions)
        self._low = np.concatenate([envelope.low, envelope.direction_low])
        self._high = np.concatenate([envelope.high, envelope.direction_high])
        self._seen = np.zeros(2 * n)  # the components, then the directions
        self._own, self._along = self._seen[:n], self._seen[n:]
        self._answers = bytearray(4 * n)  # one byte for each bound; 0: it is broken
        kept = np.frombuffer(self._answers, np.bool_)
        self._above, self._below = kept[: 2 * n], kept[2 * n :]

    def holds(self, obs: Float32) -> bool:
        """Whether an observation ``[obs_dim]`` is inside; where not, ``outside`` says so and why."""
        self._own[:] = obs
        self._directions.dot(self._own, self._along)
        np.greater_equal(self._seen, self._low, self._above)
        np.less_equal(self._seen, self._high, self._below)
        return 0 not in self._answers


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
        self.margins = [math.inf] * len(seen)

    def reset(self) -> None:
        """An episode starts."""
        self._before, self._seen = None, 0

    def check(self, values: list[float]) -> Trouble | None:
        """Why a constraint is about to be broken, or is, by an observation as plain floats."""
        before, self._before = self._before or values, values
        margins, bad, periods = [], -1, self._periods
        for at, when, low, high, least in self._rules:
            if when >= 0 and values[when] == 0.0:
                margins.append(math.inf)
                continue
            now = values[at]
            down, up = now - low, high - now
            margin = down if down < up else up
            ahead = periods * (now - before[at])
            if bad < 0 and (margin < 0.0 or down + ahead < least or up - ahead < least):
                bad = len(margins)
            margins.append(margin)
        self.margins = margins
        if not periods:
            return None
        if bad < 0:
            self._seen = 0
            return None
        self._seen += 1
        if self._seen < self._confirm:
            return None
        return "margin", f"{self.names[bad]} would be gone within {periods} periods (margin {margins[bad]:.4g} now)"
