"""Inferences after an idle gap, as a plant asks: caches, clocks and a GPU's power state cool down in it.

A plant asks once in its control period, which may be seconds; a measurement can seldom afford a thousand of those. So
there is a curve: short gaps with many samples, and the largest gap, which is the plant's own period or the longest that
the configuration affords, with as many samples as fit. The fewer the samples, the lower the quantile that can still be
bounded: 459 bound p99 with 99 % confidence, 90 bound p95, 44 bound p90.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.config.measurement import LatencyConfig
from gate5.latency.quantiles import upper_bound
from gate5.latency.series import Series

Int64 = NDArray[np.int64]

#: The quantiles that are bounded, the highest first that the samples allow.
BOUNDED = (0.99, 0.95, 0.90)


@dataclass(frozen=True)
class Gap:
    """One idle gap to be measured.

    Attributes:
        gap_ms: idle time before each timed inference.
        samples: timed inferences.
        keep_warm_ms: within the gap an inference that is not timed is made this often; ``None``: the gap is idle.
    """

    gap_ms: float
    samples: int
    keep_warm_ms: float | None = None

    @property
    def name(self) -> str:
        """What its samples are filed under."""
        warm = "" if self.keep_warm_ms is None else f" warmed every {self.keep_warm_ms:g} ms"
        return f"gap {self.gap_ms:g} ms{warm}"


@dataclass(frozen=True)
class GapSeries:
    """What was measured after one gap.

    Attributes:
        gap_ms, keep_warm_ms: see ``Gap``.
        series: its quantiles, in milliseconds.
        bounded: the highest quantile of ``BOUNDED`` that the samples bound; ``None``: too few for any.
        bound_ms: the upper confidence bound of that quantile.
    """

    gap_ms: float
    keep_warm_ms: float | None
    series: Series
    bounded: float | None
    bound_ms: float | None

    @classmethod
    def of(cls, gap: Gap, nanoseconds: Int64, confidence: float) -> GapSeries:
        """Of the samples of one gap, int64 ``[samples]``."""
        ordered = np.sort(nanoseconds) / 1e6
        bounds = ((q, upper_bound(ordered, q, confidence)) for q in BOUNDED)
        quantile, bound = next(((q, bound) for q, bound in bounds if bound is not None), (None, None))
        return cls(gap.gap_ms, gap.keep_warm_ms, Series.of(nanoseconds, confidence), quantile, bound)


def plan(config: LatencyConfig, period_s: float | None) -> list[Gap]:
    """The gaps to be measured, the shortest first; empty where the configuration wants none.

    Args:
        config: which gaps, and how much time there is for each.
        period_s: the plant's control period in seconds; ``None``: unknown, the cap is the largest gap then.
    """
    if config.cadence_iterations == 0:
        return []
    cap = config.cadence_cap_ms if period_s is None else min(1e3 * period_s, config.cadence_cap_ms)
    largest = config.cadence_ms if config.cadence_ms is not None else cap
    chosen = [*sorted(gap for gap in set(config.gaps_ms) if gap < largest), largest]
    gaps = [Gap(gap, _affordable(config, gap)) for gap in chosen]
    if config.keep_warm_ms is not None and config.keep_warm_ms < largest:
        gaps.append(Gap(largest, gaps[-1].samples, config.keep_warm_ms))
    return gaps


def _affordable(config: LatencyConfig, gap_ms: float) -> int:
    return max(min(config.cadence_iterations, int(1e3 * config.cadence_seconds / gap_ms)), 1)


def measure(infer: Callable[[Any, Any], object], rows: list[Any], act_dim: int, gap: Gap) -> Int64:
    """Time ``gap.samples`` inferences, each after the gap.

    Args:
        infer: of the engine, ``infer(obs, out)``.
        rows: observations, float32 ``[1, obs_dim]`` each, used in turn.
        act_dim: size of an action.
        gap: which.

    Returns:
        Nanoseconds, int64 ``[gap.samples]``.
    """
    clock, many = time.perf_counter_ns, len(rows)
    spent = np.zeros(gap.samples, np.int64)
    out = np.full((1, act_dim), np.nan, np.float32)
    for index in range(gap.samples):
        row = rows[index % many]
        _idle(infer, row, out, gap)
        begin = clock()
        infer(row, out)
        spent[index] = clock() - begin
    return spent


def _idle(infer: Callable[[Any, Any], object], row: Any, out: Any, gap: Gap) -> None:
    """Let the gap pass, with the inferences in it that keep the device warm."""
    end = time.perf_counter() + gap.gap_ms / 1e3
    if gap.keep_warm_ms is not None:
        step = gap.keep_warm_ms / 1e3
        while end - time.perf_counter() > step:
            time.sleep(step)
            infer(row, out)
    left = end - time.perf_counter()
    if left > 0:
        time.sleep(left)
