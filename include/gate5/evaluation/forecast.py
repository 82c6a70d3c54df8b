"""``Forecast``: one step of the plant, linear in each state of its switches, identified from experiments with it.

A reading that is late by n periods is no use to a controller that was tuned for none: the phase that the dead time
takes makes a fast loop swing. What the plant was told since is known, though, so that the reading can be taken n steps
ahead (dead-time compensation: Smith, "Closer control of loops with dead time", 1957; the model by least squares:
Ljung, System Identification, 1999, chapter 4, an ARX model of order one).

A plant that was tripped, or whose breaker opened, is another plant. Components that were only ever 0 or 1 are its
switches, and each combination of them has a step of its own (a piecewise affine model whose pieces are known: Paoletti
et al., "Identification of hybrid systems", European Journal of Control 13, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Float32, Float64

#: Ridge in standardised units, as a share of the sum of squares: what always moved together shares its weight, where
#: less would find large numbers of opposite signs in it.
RIDGE = 1e-3
#: A combination of switches needs so many rows for each number to find, or it has the step of all.
ROWS = 5
Key = tuple[bool, ...]


@dataclass(frozen=True)
class Step:
    """``next = obs + state @ obs + action @ applied + offset``, raw units.

    Attributes:
        state: ``[obs_dim, obs_dim]``.
        action: ``[obs_dim, act_dim]``.
        offset: ``[obs_dim]``.
    """

    state: Float64
    action: Float64
    offset: Float64

    def to_dict(self) -> dict[str, Any]:
        return {name: part.tolist() for name, part in vars(self).items()}

    @classmethod
    def from_dict(cls, data: Any, n: int, actions: int) -> Step:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: another size, or not finite.
            KeyError, TypeError: not a step at all.
        """
        parts = [np.asarray(data[name], np.float64) for name in ("state", "action", "offset")]
        if [part.shape for part in parts] != [(n, n), (n, actions), (n,)]:
            raise ValueError(f"a forecast of the shapes {[part.shape for part in parts]} for {n} observations")
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError("a forecast that is not finite")
        return cls(*parts)


@dataclass(frozen=True)
class Forecast:
    """A step for each combination of the switches that was seen often enough, and one for all others.

    Attributes:
        whole: where no other holds.
        spread: ``[obs_dim]``; root mean square of what one step was wrong by where it was identified.
        low, high: ``[obs_dim]``; what a forecast is kept within (the envelope's bounds).
        switches: ``[k]``; the components that are 0 or 1.
        pieces: by which of the switches are on.
    """

    whole: Step
    spread: Float64
    low: Float64
    high: Float64
    switches: NDArray[np.int64]
    pieces: dict[Key, Step]

    def step(self, obs: Float64, applied: Float32) -> Float64:
        """The observation one period after ``obs``, if ``applied`` was applied meanwhile."""
        one = self.pieces.get(tuple((obs[self.switches] > 0.5).tolist()), self.whole)
        ahead = obs + one.state @ obs + one.action @ applied + one.offset
        return np.asarray(np.minimum(np.maximum(ahead, np.minimum(self.low, obs)), np.maximum(self.high, obs)))

    def surprise(self, found: Float32, expected: Float32) -> float:
        """How far an observation is from a forecast: the sum of squares in units of ``spread``, each at most 100."""
        return float(np.minimum(np.square((found.astype(np.float64) - expected) / self.spread), 100.0).sum())

    def ahead(self, obs: Float32, applied: Sequence[Float32]) -> Float32:
        """The observation after these actions, float32 ``[obs_dim]``."""
        now = obs.astype(np.float64)
        for action in applied:
            now = self.step(now, action)
        return now.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        pieces = [{"on": list(on), **step.to_dict()} for on, step in self.pieces.items()]
        return {
            **self.whole.to_dict(), "spread": self.spread.tolist(), "switches": self.switches.tolist(), "pieces": pieces
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any, low: Float64, high: Float64, actions: int) -> Forecast | None:
        """The inverse of ``to_dict``; ``None`` of ``None``. Releases of before have one step alone.

        Raises:
            ValueError: another size, or not finite.
            KeyError, TypeError: not a forecast at all.
        """
        if data is None:
            return None
        n = len(low)
        spread = np.asarray(data["spread"], np.float64)
        if spread.shape != (n,) or not np.isfinite(spread).all() or not (spread > 0).all():
            raise ValueError("a forecast without a spread")
        switches = np.asarray(data.get("switches", []), np.int64)
        if switches.ndim != 1 or not ((switches >= 0) & (switches < n)).all():
            raise ValueError(f"a forecast whose switches are none of {n} observations")
        pieces = {}
        for piece in data.get("pieces", []):
            key = tuple(bool(on) for on in piece["on"])
            if len(key) != len(switches):
                raise ValueError(f"a forecast with a piece for {len(key)} of {len(switches)} switches")
            pieces[key] = Step.from_dict(piece, n, actions)
        return cls(Step.from_dict(data, n, actions), spread, low, high, switches, pieces)


def identify(scenarios: Sequence[dict[str, NDArray[Any]]], low: Float64, high: Float64) -> Forecast | None:
    """The forecast that fits experiment (``excitation``) and judged episodes best; ``None``: they are too few for one.

    Judged rows are as many as the experiment's, evenly spread: what a loop does by itself, however long, says little.

    Args:
        scenarios: what was kept of each: ``envelope.summarise``, and ``excitation.excite`` where there was one.
        low, high: the envelope's bounds.
    """
    judged, tried = _pairs(scenarios, ("0", "1")), _pairs(scenarios, ("2",))
    every = -(-len(judged[0]) // len(tried[0])) or 1 if len(tried[0]) else 1
    before, change = (np.concatenate([one[::every], other]) for one, other in zip(judged, tried, strict=True))
    if len(before) < 2 * before.shape[1] + 2:
        return None
    n = len(low)
    whole = _fit(before, change, n)
    switches = np.flatnonzero(np.isin(before[:, :n], (0.0, 1.0)).all(axis=0) & (np.ptp(before[:, :n], axis=0) > 0))
    pieces: dict[Key, Step] = {}
    wrong = change - _changes(whole, before, n)
    combinations, which = np.unique(before[:, switches] > 0.5, axis=0, return_inverse=True)
    for i, on in enumerate(combinations if len(switches) else ()):
        rows = which.ravel() == i
        if rows.sum() >= ROWS * (before.shape[1] + 1):
            key = tuple(bool(value) for value in on)
            pieces[key] = _fit(before[rows], change[rows], n)
            wrong[rows] = change[rows] - _changes(pieces[key], before[rows], n)
    spread = np.sqrt(np.mean(np.square(wrong), axis=0)) + 1e-9
    return Forecast(whole, spread, low, high, switches, pieces)


def _fit(before: Float64, change: Float64, n: int) -> Step:
    """By least squares with a ridge; ``before`` is ``[N, n + act_dim]``, ``change`` ``[N, n]``."""
    mean, scale = before.mean(axis=0), np.maximum(before.std(axis=0), 1e-9 * np.maximum(np.abs(before).max(axis=0), 1))
    unit = np.maximum(change.std(axis=0), 1e-12)
    rows = np.hstack([(before - mean) / scale, np.ones((len(before), 1))])
    squares = rows.T @ rows + RIDGE * len(rows) * np.eye(rows.shape[1])
    weights = np.linalg.solve(squares, rows.T @ (change / unit)) * unit
    raw = weights[:-1] / scale[:, None]
    return Step(raw[:n].T.copy(), raw[n:].T.copy(), weights[-1] - mean @ raw)


def _changes(step: Step, before: Float64, n: int) -> Float64:
    return np.asarray(before[:, :n] @ step.state.T + before[:, n:] @ step.action.T + step.offset)


def _pairs(scenarios: Sequence[dict[str, NDArray[Any]]], folds: Sequence[str]) -> tuple[Float64, Float64]:
    """Observation and action ``[N, obs_dim + act_dim]``, and the change of the observation ``[N, obs_dim]``."""
    size, actions = (max(s[name].shape[1] for s in scenarios) for name in ("obs1", "action1"))
    found = [(np.zeros((0, size + actions)), np.zeros((0, size)))]
    for scenario in scenarios:
        for fold in folds:
            if f"action{fold}" not in scenario or len(scenario[f"obs{fold}"]) < 2:
                continue
            obs, action = scenario[f"obs{fold}"].astype(np.float64), scenario[f"action{fold}"].astype(np.float64)
            number = scenario[f"episode{fold}"]
            # An episode that has ended shows its last observation for ever.
            kept = (number[1:] == number[:-1]) & (obs[1:] != obs[:-1]).any(axis=1)
            found.append((np.hstack([obs[:-1], action[:-1]])[kept], (obs[1:] - obs[:-1])[kept]))
    before, change = zip(*found, strict=True)
    return np.concatenate(before), np.concatenate(change)
