"""What lies between plant and controller: instruments, the loop's lateness, actuators; each for a whole batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Float32, Float64
from gate5.plant.disturbance import Disturbable, Observing
from gate5.plant.perturbation import Perturbation

#: Steps of noise that an episode draws at once.
BLOCK = 60
_FAULTS = ("stuck", "failed_low", "failed_high")


class Readings(NamedTuple):
    """Instruments as they stand, ``[n, B]``.

    Attributes:
        slow: what the lags have let through.
        added: what noise, bias and faults put on that.
        share: of its way that a lag goes in a step; 1: there is none.
        past: what the observer behind them remembers.
    """

    slow: Float64
    added: Float64
    share: Float64
    past: tuple[Float64, ...]


class Instruments:
    """Lag, bias, drift, noise and faults of the observed signals; levels are zero until ``set``.

    Lost readings are kept as the reading before; ``computed`` signals follow from the perturbed ones.
    """

    def __init__(self, plant: Disturbable, count: int) -> None:
        space, self._dt = plant.observation_space, plant.dt_s
        names = list(space.names)
        signals = {s.name: s for s in plant.signals if s.name in names}
        self._columns = {name: i for i, name in enumerate(names)}
        size = len(names)

        def column(field: str) -> Float64:
            return np.array([getattr(signals[n], field) if n in signals else 0.0 for n in names])

        self._accuracy, self._sigma, self._lag = column("accuracy"), column("noise"), column("lag_s")
        self._low, self._high = space.low.astype(np.float64), space.high.astype(np.float64)
        self._computed = [
            (self._columns[s.name], [(self._columns[name], factor) for name, factor in s.terms])
            for s in signals.values()
            if s.kind == "computed" and s.terms and all(name in self._columns for name, _ in s.terms)
        ]
        self._observer: Observing | None = getattr(plant, "observer", lambda: None)()
        if self._observer is not None:
            self._observer.reset(count)
        shape = (count, size)
        self._levels = {k: np.zeros(shape) for k in ("lag", "noise", "bias", "drift", "dropout", *_FAULTS)}
        self._from = {k: np.zeros(shape) for k in ("noise", "bias", "drift", "dropout", *_FAULTS)}
        self._on: set[str] = set()
        self._touched = np.zeros(count, dtype=np.bool_)
        self._rng: list[Any] = [None] * count
        self._t = np.zeros(count, dtype=np.intp)
        self._slow, self._shown = np.zeros(shape), np.zeros(shape)
        self._normal = np.zeros((count, BLOCK, size), dtype=np.float32)
        self._uniform = np.zeros((count, BLOCK, size), dtype=np.float32)

    def clear(self, place: int, rng: np.random.Generator) -> None:
        """No perturbation in a place; ``rng`` is its episode's own."""
        for levels in self._levels.values():
            levels[place] = 0.0
        self._rng[place], self._touched[place] = rng, False

    def set(self, kind: str, place: int, name: str, level: float, start_s: float) -> None:
        """Perturb one signal of one episode; several of the same kind add up."""
        column = self._columns[name]
        self._levels[kind][place, column] += level
        if kind in self._from:
            self._from[kind][place, column] = start_s
        self._on.add(kind)
        self._touched[place] = True

    def begin(self, true: Float32, places: NDArray[np.intp]) -> Float32:
        """The first readings of the episodes that start in ``places``; ``true`` float32 ``[len(places), n]``."""
        self._t[places] = 0
        self._slow[places] = self._shown[places] = true
        self._fill(places)
        readings = self._readings(places)
        if self._observer is None:
            return readings
        observed = self._observer.begin(places.tolist(), readings.T.astype(np.float64))
        return self._chosen(observed, readings, places)

    def read(self, true: Float32) -> Float32:
        """The readings one control step later; ``true`` float32 ``[B, n]``."""
        self._t += 1
        if "lag" in self._on:
            tau = self._levels["lag"] * self._lag
            share = np.where(tau > 0.0, -np.expm1(-self._dt / np.maximum(tau, 1e-9)), 1.0)
            self._slow = np.where(tau > 0.0, self._slow + share * (true - self._slow), true)
        else:
            self._slow = np.asarray(true, dtype=np.float64)
        due = np.flatnonzero(self._t % BLOCK == 0)
        if due.size:
            self._fill(due)
        everywhere = np.arange(self._t.size)
        readings = self._readings(everywhere)
        if self._observer is None:
            return readings
        return self._chosen(self._observer.update(readings.T.astype(np.float64)), readings, everywhere)

    @property
    def standing(self) -> Readings:
        """The running episodes' instruments as they stand."""
        tau = self._levels["lag"] * self._lag
        share = np.where(tau > 0.0, -np.expm1(-self._dt / np.maximum(tau, 1e-9)), 1.0)
        past = () if self._observer is None else self._observer.past
        return Readings(self._slow.T, (self._shown - self._slow).T, share.T, past)

    def _chosen(self, observed: Float64, readings: Float32, places: NDArray[np.intp]) -> Float32:
        """What the observer makes of perturbed readings; an episode without perturbation keeps the plant's own."""
        touched = self._touched[places, None]
        return np.ascontiguousarray(np.where(touched, observed.T, readings), dtype=np.float32)

    def _fill(self, places: NDArray[np.intp]) -> None:
        size = self._normal.shape[2]
        for b in places.tolist():
            if "noise" in self._on:
                self._normal[b] = self._rng[b].standard_normal((BLOCK, size), dtype=np.float32)
            if "dropout" in self._on:
                self._uniform[b] = self._rng[b].random((BLOCK, size), dtype=np.float32)

    def _readings(self, p: NDArray[np.intp]) -> Float32:
        now: Float64 = np.asarray((self._t[p] * self._dt)[:, None], dtype=np.float64)
        values: Float64 = np.array(self._slow[p], dtype=np.float64)
        if "bias" in self._on:
            values += self._levels["bias"][p] * self._accuracy * (now >= self._from["bias"][p])
        if "drift" in self._on:
            hours = np.maximum(now - self._from["drift"][p], 0.0) / 3600.0
            values += self._levels["drift"][p] * self._accuracy * hours
        if "noise" in self._on:
            began = now >= self._from["noise"][p]
            values += began * self._levels["noise"][p] * self._sigma * self._normal[p, self._t[p] % BLOCK]
        values = np.clip(values, self._low, self._high)
        values = self._faulty(values, p, now)
        self._shown[p] = values
        for column, terms in self._computed:
            total = sum(factor * values[:, i] for i, factor in terms)
            computed = np.clip(total, self._low[column], self._high[column])
            values[:, column] = np.where(self._touched[p], computed, values[:, column])
        return np.ascontiguousarray(values, dtype=np.float32)

    def _faulty(self, values: Float64, p: NDArray[np.intp], now: Float64) -> Float64:
        if "dropout" in self._on:
            lost = (self._uniform[p, self._t[p] % BLOCK] < self._levels["dropout"][p]) & (now > 0.0)
            values = np.where(lost & (now >= self._from["dropout"][p]), self._shown[p], values)
        for kind, shown in (("stuck", None), ("failed_low", self._low), ("failed_high", self._high)):
            if kind in self._on:
                hit = (self._levels[kind][p] > 0.0) & (now >= self._from[kind][p])
                values = np.where(hit, self._shown[p] if shown is None else shown, values)
        return values


class Lateness:
    """Observations that arrive whole periods late, and actions that take effect within a period."""

    def __init__(self, dt_s: float, count: int) -> None:
        self._dt, self._delay = dt_s, np.zeros(count, dtype=np.intp)
        self._factor = np.zeros(count)
        self._samples: list[Float64] = [np.zeros(1)] * count
        self._rng: list[Any] = [None] * count
        self._seen: list[Float32] = []
        self._ring: Any = None
        self._at = 0
        self._before: Any = None
        self._fresh = np.ones(count, dtype=np.bool_)

    def clear(self, place: int, rng: np.random.Generator) -> None:
        """No lateness in a place."""
        self._delay[place], self._factor[place], self._rng[place] = 0, 0.0, rng

    def set(self, perturbation: Perturbation, place: int, level: float) -> None:
        """Delay one episode by whole periods (rounded), or its actions by measured latencies."""
        if perturbation.kind == "delay":
            self._delay[place] = max(round(level), 0)
        else:
            self._factor[place], self._samples[place] = level, np.asarray(perturbation.samples)

    def begin(self, readings: Float32, places: NDArray[np.intp]) -> Float32:
        """Fill the past of new episodes with their first readings."""
        depth = int(self._delay.max()) + 1
        if self._ring is None or self._ring.shape[0] < depth:
            old = self._ring
            self._ring = np.zeros((depth, self._delay.size, readings.shape[1]), dtype=np.float32)
            if old is not None:
                for back in range(old.shape[0]):
                    self._ring[(self._at - back) % depth] = old[(self._at - back) % old.shape[0]]
                for back in range(old.shape[0], depth):
                    self._ring[(self._at - back) % depth] = old[(self._at + 1) % old.shape[0]]
        self._ring[:, places] = readings
        self._fresh[places] = True
        return readings

    def see(self, readings: Float32) -> Float32:
        """What arrives at the controller now, float32 ``[B, n]``."""
        depth = self._ring.shape[0]
        self._at = (self._at + 1) % depth
        self._ring[self._at] = readings
        if depth == 1:
            return readings
        rows = np.arange(self._delay.size)
        return np.ascontiguousarray(self._ring[(self._at - self._delay) % depth, rows])

    @property
    def standing(self) -> tuple[Float32, NDArray[np.intp]]:
        """The readings that came last ``[B, n]``, seen or not, and the periods by which each episode is late."""
        return self._ring[self._at], self._delay

    def act(self, action: Float64) -> Float64:
        """What the plant gets in this period: the mean of the old command until the late one arrives, and that one."""
        if not self._factor.any():
            return action
        if self._before is None:
            self._before = np.array(action)
        self._before = np.where(self._fresh[:, None], action, self._before)
        self._fresh[:] = False
        share = np.zeros(action.shape[0])
        for b in np.flatnonzero(self._factor).tolist():
            late = self._samples[b][int(self._rng[b].integers(self._samples[b].size))]
            share[b] = min(self._factor[b] * late / self._dt, 1.0)
        mixed = share[:, None] * self._before + (1.0 - share[:, None]) * action
        self._before = np.array(action)
        return np.asarray(mixed)


class Actuation:
    """Actuators that stick, lag behind or do not answer small commands; in units of the action.

    Where an actuator stands at the start is not known here: it counts as standing where the first command wants it.
    """

    KINDS = ("actuator_stuck", "actuator_slow", "dead_band")

    def __init__(self, plant: Disturbable, count: int) -> None:
        self._columns = {a.name: i for i, a in enumerate(plant.actuators)}
        self._rate = np.array([a.rate for a in plant.actuators])
        self._span = (plant.action_space.high - plant.action_space.low).astype(np.float64)
        self._low, self._high = plant.action_space.low, plant.action_space.high
        self._dt = plant.dt_s
        shape = (count, len(self._columns))
        self._levels = {kind: np.zeros(shape) for kind in self.KINDS}
        self._from = {kind: np.zeros(shape) for kind in self.KINDS}
        self._on: set[str] = set()
        self._at = np.zeros(shape)
        self._t = np.zeros(count, dtype=np.intp)

    def clear(self, place: int, rng: np.random.Generator) -> None:
        """Sound actuators in a place."""
        for levels in self._levels.values():
            levels[place] = 0.0

    def set(self, kind: str, place: int, name: str, level: float, start_s: float) -> None:
        """Perturb one actuator of one episode."""
        self._levels[kind][place, self._columns[name]] = level
        self._from[kind][place, self._columns[name]] = start_s
        self._on.add(kind)

    def begin(self, places: NDArray[np.intp]) -> None:
        """New episodes."""
        self._t[places] = 0

    def move(self, action: Float64) -> Float64:
        """Where the actuators are told to go, float64 ``[B, act_dim]``."""
        first, now = (self._t == 0)[:, None], (self._t * self._dt)[:, None]
        self._t += 1
        if not self._on:
            return action
        wanted = np.clip(action, self._low, self._high).astype(np.float64)
        at = np.where(first, wanted, self._at)
        way = wanted - at
        if "dead_band" in self._on:
            band = self._levels["dead_band"] * self._span * (now >= self._from["dead_band"])
            way = np.where(np.abs(way) > band, way, 0.0)
        if "actuator_slow" in self._on:
            lost = np.where(now >= self._from["actuator_slow"], self._levels["actuator_slow"], 0.0)
            most = np.where(lost > 0.0, np.maximum(1.0 - lost, 0.0) * self._rate, np.inf)
            way = np.clip(way, -most, most)
        if "actuator_stuck" in self._on:
            stuck = (self._levels["actuator_stuck"] > 0.0) & (now >= self._from["actuator_stuck"])
            way = np.where(stuck, 0.0, way)
        self._at = at + way
        return self._at
