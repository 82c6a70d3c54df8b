"""Adaptive multilevel splitting: the chance of an event far too rare to be seen by drawing episodes.

After Cerou and Guyader, Stochastic Analysis and Applications 25 (2007) 417-443. Of ``N`` points the ``k`` lowest are
given up and replaced by copies of others, each moved by a Markov chain that stays above the level given up and whose
stationary law is the original one. With ``r`` the share of points beyond the limit at the end, ``p`` is the product of
all ``1 - k/N``, times ``r``; the logarithm of the estimate is close to normal, with the variance
``sum k / (N (N - k)) + (1 - r) / (r N)``, where the chain forgets its start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class RareChance:
    """An estimate of a small probability.

    Attributes:
        probability: the estimate; where ``exhausted``, of reaching the last level, so that the event's is smaller.
        low, high: two-sided interval at ``confidence``, from the logarithm's variance.
        evaluations: points whose value was asked for.
        exhausted: the budget ended before any point came beyond the limit; ``low`` is then 0.
    """

    probability: float
    low: float
    high: float
    confidence: float
    evaluations: int
    exhausted: bool


def split(
    value: Callable[[Vector], Vector],
    size: int,
    limit: float,
    *,
    points: int,
    seed: int,
    confidence: float = 0.95,
    moves: int = 10,
    most: int = 1_000_000,
) -> RareChance:
    """The chance that ``value(x) > limit`` for ``x`` standard normal in ``size`` dimensions.

    A disturbance that is uniform in a range is the normal distribution function of such a component.

    Args:
        value: of points ``[n, size]``; larger is closer to the event.
        points: ``N``; a tenth of them is given up at each level.
        seed: of all that is drawn.
        moves: steps of the chain (preconditioned Crank-Nicolson) for each replacement.
        most: the most evaluations.

    Raises:
        ValueError: fewer than ten points, or no move.
    """
    if points < 10 or moves < 1:
        raise ValueError(f"{points} points and {moves} moves are no splitting: give at least 10 and 1")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((points, size))
    values = np.asarray(value(x), dtype=np.float64)
    used, step, log_p, variance = points, 0.5, 0.0, 0.0
    while used + moves * (points // 10) <= most:
        level = float(np.partition(values, points // 10 - 1)[points // 10 - 1])
        low, rest = np.flatnonzero(values <= level), np.flatnonzero(values > level)  # ties are given up together
        if level > limit or not rest.size:
            break
        start = rng.choice(rest, low.size)
        x[low], values[low], accepted = _moved(value, x[start], values[start], level, step, moves, rng)
        step = min(max(step * (1.25 if accepted > 0.4 else 0.8 if accepted < 0.2 else 1.0), 0.02), 0.95)
        used += moves * low.size
        log_p += math.log1p(-low.size / points)
        variance += low.size / (points * (points - low.size))
        if (values > limit).mean() > 0.5:
            break
    return _estimate(float((values > limit).mean()), points, log_p, variance, confidence, used)


def _moved(
    value: Callable[[Vector], Vector],
    x: Vector,
    values: Vector,
    level: float,
    step: float,
    moves: int,
    rng: np.random.Generator,
) -> tuple[Vector, Vector, float]:
    """Points after some steps of the chain above ``level``, their values, and the share of steps that were taken."""
    x, values, taken = x.copy(), values.copy(), 0
    for _ in range(moves):
        new = math.sqrt(1.0 - step * step) * x + step * rng.standard_normal(x.shape)
        found = np.asarray(value(new), dtype=np.float64)
        above = found > level
        x[above], values[above] = new[above], found[above]
        taken += int(above.sum())
    return x, values, taken / (moves * len(x))


def _estimate(share: float, points: int, log_p: float, variance: float, confidence: float, used: int) -> RareChance:
    exhausted = share == 0.0
    if not exhausted:
        log_p += math.log(share)
        variance += (1.0 - share) / (share * points)
    width = NormalDist().inv_cdf(0.5 + confidence / 2.0) * math.sqrt(variance)
    low = 0.0 if exhausted else math.exp(log_p - width)
    return RareChance(math.exp(log_p), low, min(math.exp(log_p + width), 1.0), confidence, used, exhausted)
