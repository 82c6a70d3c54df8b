"""Quantiles of measured samples, and the distribution-free upper bound of one."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray


def quantile(ordered: NDArray[Any], q: float) -> float:
    """The smallest sample that at least a fraction ``q`` of the samples does not exceed (no interpolation)."""
    rank = max(math.ceil(q * len(ordered) - 1e-9), 1)
    return float(ordered[rank - 1])


@lru_cache(maxsize=256)
def upper_rank(n: int, q: float, confidence: float) -> int | None:
    """The smallest k such that the k-th smallest of n samples is at or above the true q-quantile with ``confidence``.

    Whatever the distribution, the number of independent samples above its q-quantile is at most Binomial(n, 1 - q);
    the k-th smallest lies below the quantile only if fewer than n - k + 1 samples are above it. (Order-statistic
    interval: David and Nagaraja, Order Statistics, section 7.1.)

    Returns:
        k from 1 to n; ``None`` where n is too small for any bound (459 are needed for q = confidence = 0.99).
    """
    allowed = 1.0 - confidence
    log_p, log_q = math.log1p(-q), math.log(q)
    total, above = 0.0, 0
    while above <= n:
        log_pmf = (
            math.lgamma(n + 1)
            - math.lgamma(above + 1)
            - math.lgamma(n - above + 1)
            + above * log_p
            + (n - above) * log_q
        )
        total += math.exp(log_pmf)
        if total > allowed:
            break
        above += 1
    # P(at most above - 1 samples are above the quantile) <= allowed
    rank = n - above + 1
    return rank if rank <= n else None


def upper_bound(ordered: NDArray[Any], q: float, confidence: float) -> float | None:
    """The upper confidence bound of the q-quantile; ``None``: too few samples."""
    rank = upper_rank(len(ordered), q, confidence)
    return None if rank is None else float(ordered[rank - 1])


def lower_bound(ordered: NDArray[Any], q: float, confidence: float) -> float | None:
    """The lower confidence bound of the q-quantile; ``None``: too few samples.

    The k-th smallest lies above the quantile only if fewer than k samples are below it, which is the upper bound of the
    quantile 1 - q of the samples in reverse.
    """
    rank = upper_rank(len(ordered), 1.0 - q, confidence)
    return None if rank is None else float(ordered[len(ordered) - rank])
