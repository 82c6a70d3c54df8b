"""What a latency measurement gave: quantiles, conditions, and the flat numbers that Gate 5 judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gate5.io.plain import from_plain, to_plain
from gate5.latency.gaps import GapSeries
from gate5.latency.series import Series


@dataclass(frozen=True)
class Look:
    """One measurement of several, and what all samples so far said after it (``gate5.latency.repeat``).

    Attributes:
        samples, p99_ms, max_ms: of this measurement alone, back to back.
        pooled_samples, pooled_p99_ms, pooled_p99_upper_ms: of all so far.
        confidence: of that upper bound.
        disturbed: what interfered with this measurement; empty: nothing that was seen.
        answer: ``yes``, ``no``, or ``neither``: it was measured again, where that was allowed.
    """

    samples: int
    p99_ms: float
    max_ms: float
    pooled_samples: int
    pooled_p99_ms: float
    pooled_p99_upper_ms: float | None
    confidence: float
    disturbed: dict[str, float]
    answer: str


@dataclass(frozen=True)
class LatencyReport:
    """What was measured and under which conditions.

    Attributes:
        back_to_back: the series on which the SLA is judged.
        gaps: the series with idle gaps, the shortest gap first; one with ``keep_warm_ms`` comes last.
        period_s: the plant's control period in seconds; ``None``: unknown.
        confidence: of ``p99_upper_ms`` (distribution-free, from the order statistics).
        blocks: p50, p99, max and involuntary context switches of each block of the first series.
        split: median copy-in, compute and copy-out in milliseconds; ``None`` where the engine does not say.
        nonfinite: actions of the timed runs that were NaN or infinite.
        timer_ms: what reading the clock costs; it is not subtracted.
        conditions: CPU, scheduling, interference during the series, and after how many inferences (``burst``) the
            thread rested for how long within a block; ``None``: it did not.
        device_before, device_after: clocks, temperature, power of the device; read outside of the timing.
        engine, machine: what ran, on what.
        looks: each measurement where more than one was allowed; the series are of all samples together.
    """

    back_to_back: Series
    gaps: tuple[GapSeries, ...]
    period_s: float | None
    confidence: float
    blocks: tuple[dict[str, float], ...]
    split: dict[str, float] | None
    nonfinite: int
    timer_ms: float
    conditions: dict[str, Any]
    device_before: dict[str, Any] | None
    device_after: dict[str, Any] | None
    engine: dict[str, Any]
    machine: dict[str, Any]
    looks: tuple[Look, ...] = ()

    @property
    def samples(self) -> int:
        return self.back_to_back.samples

    @property
    def p50_ms(self) -> float:
        return self.back_to_back.p50_ms

    @property
    def p95_ms(self) -> float:
        return self.back_to_back.p95_ms

    @property
    def p99_ms(self) -> float:
        return self.back_to_back.p99_ms

    @property
    def p999_ms(self) -> float:
        return self.back_to_back.p999_ms

    @property
    def max_ms(self) -> float:
        return self.back_to_back.max_ms

    @property
    def p99_upper_ms(self) -> float | None:
        return self.back_to_back.p99_upper_ms

    @property
    def largest_gap(self) -> GapSeries | None:
        """The series of the largest idle gap, without anything that keeps the device warm; ``None``: switched off."""
        idle = [gap for gap in self.gaps if gap.keep_warm_ms is None]
        return max(idle, key=lambda gap: gap.gap_ms, default=None)

    @property
    def cadence(self) -> Series | None:
        """Of the largest idle gap: what the SLA at the plant's cadence is judged on."""
        return None if self.largest_gap is None else self.largest_gap.series

    @property
    def block_p99_median_ms(self) -> float:
        """The median of the blocks' p99: far below ``p99_ms`` means that a few blocks were disturbed."""
        return float(np.median([block["p99_ms"] for block in self.blocks]))

    def notes(self) -> dict[str, str]:
        """Metric to what explains a bound that is too large: how often it was measured, and what interfered."""
        if len(self.looks) < 2:
            return {}
        total = sum(look.disturbed.get("back_to_back.involuntary_switches", 0.0) for look in self.looks)
        by = f", {total:.0f} times interrupted by other work" if total else ""
        told = f"measured {len(self.looks)} times, all {self.samples:,} samples together{by}"
        return dict.fromkeys(("latency.p99_upper_ms", "latency.cadence.p99_upper_ms"), told)

    def to_dict(self) -> dict[str, Any]:
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyReport:
        return from_plain(cls, data)

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for Gate 5."""
        metrics: dict[str, float | None] = {
            f"latency.{name}": value for name, value in asdict(self.back_to_back).items()
        }
        largest = self.largest_gap
        if largest is not None:
            metrics |= {f"latency.cadence.{name}": value for name, value in asdict(largest.series).items()}
            metrics["latency.cadence.gap_ms"] = largest.gap_ms
        metrics["latency.block_p99_median_ms"] = self.block_p99_median_ms
        metrics["latency.measurements"] = float(max(len(self.looks), 1))
        metrics["latency.nonfinite"] = float(self.nonfinite)
        return {name: None if value is None else float(value) for name, value in metrics.items()}
