"""The statistics of an evaluation: paired differences, and a bound for what was never seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def paired_bootstrap(
    differences: ArrayLike, *, confidence: float, resamples: int, seed: int = 0
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean of paired differences (Efron and Tibshirani 1993, chapter 13).

    It is too narrow for few pairs, and above all where large losses are rare: docs/results/interval-coverage.md.

    Args:
        differences: one difference per pair, ``[N]``.
        confidence: two-sided, 0.95.
        resamples: how many times the pairs are drawn again, with replacement.
        seed: of the generator; the same seed gives the same interval.

    Returns:
        Low and high end; ``None`` where fewer than two pairs, or a number that is not finite, allow no interval.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2 or not np.all(np.isfinite(values)):
        return None
    generator = np.random.default_rng(seed)
    means = np.array([values[generator.integers(0, values.size, values.size)].mean() for _ in range(resamples)])
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


def effect_size(differences: ArrayLike) -> float | None:
    """Cohen's d of paired differences: mean over standard deviation; ``None`` without any spread."""
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2 or not np.all(np.isfinite(values)):
        return None
    spread = float(values.std(ddof=1))
    return float(values.mean()) / spread if spread > 0.0 else None


def binomial_upper(events: int, trials: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson upper bound of a probability of which ``events`` were seen in ``trials``.

    It is the probability at which seeing ``events`` or fewer has the chance ``1 - confidence``; zero seen in ``N``
    gives ``1 - (1 - confidence)**(1/N)``, about ``3/N`` for 0.95, never zero.

    Raises:
        ValueError: the counts contradict each other.
    """
    if not 0 <= events <= trials:
        raise ValueError(f"{events} events in {trials} trials")
    if events == trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        if _at_most(events, trials, middle) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high


def mean(values: Sequence[float]) -> float | None:
    """The mean; ``None`` of nothing or of something that is not finite."""
    if not values or not all(math.isfinite(v) for v in values):
        return None
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation; ``None`` where there are fewer than two finite values."""
    if len(values) < 2 or not all(math.isfinite(v) for v in values):
        return None
    return float(np.std(np.asarray(values), ddof=1))


def _at_most(events: int, trials: int, probability: float) -> float:
    """P(X <= events) for X binomial, summed from logarithms so that large N does not underflow."""
    if probability <= 0.0:
        return 1.0
    if probability >= 1.0:
        return 0.0
    hit, miss = math.log(probability), math.log1p(-probability)
    whole = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * hit + (trials - k) * miss)
        for k in range(events + 1)
    )
