"""The quantiles of one series of timed inferences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate5.latency.quantiles import quantile, upper_bound

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """Quantiles of one series, in milliseconds; ``p99_upper_ms`` is ``None`` where there are too few samples."""

    samples: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    p99_upper_ms: float | None

    @classmethod
    def of(cls, nanoseconds: Int64, confidence: float) -> Series:
        ordered = np.sort(nanoseconds) / 1e6
        p50, p95, p99, p999 = (quantile(ordered, q) for q in (0.50, 0.95, 0.99, 0.999))
        return cls(
            samples=len(ordered),
            mean_ms=float(ordered.mean()),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            p999_ms=p999,
            max_ms=float(ordered[-1]),
            p99_upper_ms=upper_bound(ordered, 0.99, confidence),
        )
