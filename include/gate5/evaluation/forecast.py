"""``Forecast``: one linear step of the plant, identified from the judged episodes.

A reading that is late by n periods is no use to a controller that was tuned for none: the phase that the dead time
takes makes a fast loop swing. What the plant was told since is known, though, so that the reading can be taken n steps
ahead (dead-time compensation: Smith, "Closer control of loops with dead time", 1957; the model by least squares:
Ljung, System Identification, 1999, chapter 4, an ARX model of order one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Float32, Float64

#: Ridge in standardised units, over the sum of squares: components that always move together share their weight.
RIDGE = 1e-2
_PARTS = ("state", "action", "offset", "spread")


@dataclass(frozen=True)
class Forecast:
    """``next = obs + state @ obs + action @ applied + offset``, raw units.

    Attributes:
        state: ``[obs_dim, obs_dim]``.
        action: ``[obs_dim, act_dim]``.
        offset: ``[obs_dim]``.
        spread: ``[obs_dim]``; root mean square of what one step was wrong by where it was identified.
        low, high: ``[obs_dim]``; what a forecast is kept within (the envelope's bounds).
    """

    state: Float64
    action: Float64
    offset: Float64
    spread: Float64
    low: Float64
    high: Float64

    def step(self, obs: Float64, applied: Float32) -> Float64:
        """The observation one period after ``obs``, if ``applied`` was applied meanwhile."""
        ahead = obs + self.state @ obs + self.action @ applied + self.offset
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
        return {name: getattr(self, name).tolist() for name in _PARTS}

    @classmethod
    def from_dict(cls, data: Any, low: Float64, high: Float64, actions: int) -> Forecast | None:
        """The inverse of ``to_dict``; ``None`` of ``None``.

        Raises:
            ValueError: another size, or not finite.
            KeyError, TypeError: not a forecast at all.
        """
        if data is None:
            return None
        n = len(low)
        parts = [np.asarray(data[name], np.float64) for name in _PARTS]
        if [part.shape for part in parts] != [(n, n), (n, actions), (n,), (n,)]:
            raise ValueError(f"a forecast of the shapes {[part.shape for part in parts]} for {n} observations")
        if not all(np.isfinite(part).all() for part in parts) or not (parts[3] > 0).all():
            raise ValueError("a forecast that is not finite, or without a spread")
        return cls(parts[0], parts[1], parts[2], parts[3], low, high)


def identify(scenarios: Sequence[dict[str, NDArray[Any]]], low: Float64, high: Float64) -> Forecast | None:
    """The forecast that fits the judged episodes best; ``None``: they are too few for one.

    Args:
        scenarios: what ``envelope.summarise`` kept of each.
        low, high: the envelope's bounds.
    """
    pairs = [_pairs(s, fold) for s in scenarios for fold in ("0", "1") if f"action{fold}" in s]
    before, change = (np.concatenate(part) for part in zip(*pairs, strict=True)) if pairs else (np.zeros((0, 1)),) * 2
    if len(before) < 2 * before.shape[1] + 2 or len(change) == 0:
        return None
    mean, scale = before.mean(axis=0), np.maximum(before.std(axis=0), 1e-9 * np.maximum(np.abs(before).max(axis=0), 1))
    unit = np.maximum(change.std(axis=0), 1e-12)
    rows = np.hstack([(before - mean) / scale, np.ones((len(before), 1))])
    squares = rows.T @ rows + RIDGE * np.eye(rows.shape[1])
    weights = np.linalg.solve(squares, rows.T @ (change / unit)) * unit
    spread = np.sqrt(np.mean(np.square(change - rows @ weights), axis=0)) + 1e-9
    raw = weights[:-1] / scale[:, None]
    n = len(low)
    return Forecast(raw[:n].T.copy(), raw[n:].T.copy(), weights[-1] - mean @ raw, spread, low, high)


def _pairs(scenario: dict[str, NDArray[Any]], fold: str) -> tuple[Float64, Float64]:
    """Observation and action ``[N, obs_dim + act_dim]``, and the change of the observation ``[N, obs_dim]``."""
    obs, action = scenario[f"obs{fold}"].astype(np.float64), scenario[f"action{fold}"].astype(np.float64)
    number = scenario[f"episode{fold}"]
    # An episode that has ended shows its last observation for ever.
    kept = (number[1:] == number[:-1]) & (obs[1:] != obs[:-1]).any(axis=1)
    return np.hstack([obs[:-1], action[:-1]])[kept], (obs[1:] - obs[:-1])[kept]
