"""What is checked of an observation in every period: there, fresh, finite, moving, inside the envelope, with margin."""

from __future__ import annotations

import numpy as np

from gate5.config.run import HandOverConfig
from gate5.edge.runtime.decision import Reading, Trouble
from gate5.evaluation.envelope import MARGIN, Envelope, observed
from gate5.plant.base import Bool, Float32, Float64, Plant

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
        """Why there is no observation that even the baseline could use."""
        obs = reading.obs
        if obs is None:
            return "observation_missing", reading.why or "the binding gave no observation"
        if not reading.age_s <= self._lost_age_s:
            return "observation_stale", f"it is {reading.age_s:.3g} s old, allowed are {self._lost_age_s:.3g} s"
        if obs.shape != self._last.shape:
            return "observation_missing", f"it has shape {obs.shape}, the plant's is {self._last.shape}"
        if not np.isfinite(obs).any():
            return "observation_not_finite", "no component is a number"
        return None

    def age(self, reading: Reading) -> float:
        """Seconds since an observation was taken: what the binding says, or for how long nothing in it has moved.

        Only repeats beyond the longest that was ever judged count: a plant may stand still.
        """
        equal = reading.obs == self._last
        self._last[:] = reading.obs
        self._same = np.where(equal, self._same + 1, 0)
        self.repeats = int(self._same.min())
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
        finite = np.isfinite(obs)
        if not finite.all():
            return "observation_not_finite", f"{self._names[int(np.argmin(finite))]} is {obs[int(np.argmin(finite))]}"
        frozen = self._same > self._allowed
        if frozen.any():
            i = int(np.argmax(frozen))
            return "observation_frozen", f"{self._names[i]} has been {obs[i]:.6g} for {self._same[i]} periods"
        if self._envelope is None or not self._config.envelope:
            return None
        why = self._envelope.outside(obs.astype(np.float64))
        self._outside = 0 if why is None else self._outside + 1
        self.last_outside = why or ""
        if why is not None and self._outside >= self._config.envelope_periods:
            return "outside_envelope", why
        return None


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
        self._worst = (1.0 + MARGIN) * np.array(worst)
        self._at = np.array([names.index(c.variable) for c in seen], dtype=np.intp)
        self._when = np.array([-1 if c.applies is None else names.index(c.applies) for c in seen], dtype=np.intp)
        self._low = np.array([-np.inf if c.low is None else c.low for c in seen])
        self._high = np.array([np.inf if c.high is None else c.high for c in seen])
        self._before: Float64 | None = None
        self.margins: Float64 = np.full(len(seen), np.inf)

    def reset(self) -> None:
        """An episode starts."""
        self._before, self._seen = None, 0

    def check(self, obs: Float32) -> Trouble | None:
        """Why a constraint is about to be broken, or is."""
        if not self.names:
            return None
        values = obs[self._at].astype(np.float64)
        margin = np.minimum(values - self._low, self._high - values)
        on: Bool = (self._when < 0) | (obs[self._when] != 0.0)
        self.margins = np.where(on, margin, np.inf)
        before, self._before = self._before, values
        if not self._periods:
            return None
        ahead = values if before is None else values + self._periods * (values - before)
        predicted = np.where(on, np.minimum(ahead - self._low, self._high - ahead), np.inf)
        bad = (predicted < self._worst) | (self.margins < 0.0)
        if not bad.any():
            self._seen = 0
            return None
        self._seen += 1
        if self._seen < self._confirm:
            return None
        i = int(np.argmax(bad))
        return "margin", f"{self.names[i]} would be gone within {self._periods} periods (margin {margin[i]:.4g} now)"
