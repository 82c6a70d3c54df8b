"""What a latency measurement gave: quantiles, conditions, and the flat numbers that Gate 5 judges."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

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


@dataclass(frozen=True)
class LatencyReport:
    """What was measured and under which conditions.

    Attributes:
        back_to_back, cadence: the two series; ``cadence`` is ``None`` where it was switched off.
        confidence: of ``p99_upper_ms`` (distribution-free, from the order statistics).
        cadence_ms: the idle gap of the second series.
        blocks: p50, p99, max and involuntary context switches of each block of the first series.
        split: median copy-in, compute and copy-out in milliseconds; ``None`` where the engine does not say.
        nonfinite: actions of the timed runs that were NaN or infinite.
        timer_ms: what reading the clock costs; it is not subtracted.
        conditions: CPU, scheduling, interference during both series, and after how many inferences (``burst``) the
            thread rested for how long within a block; ``None``: it did not.
        device_before, device_after: clocks, temperature, power of the device; read outside of the timing.
        engine, machine: what ran, on what.
    """

    back_to_back: Series
    cadence: Series | None
    confidence: float
    cadence_ms: float
    blocks: tuple[dict[str, float], ...]
    split: dict[str, float] | None
    nonfinite: int
    timer_ms: float
    conditions: dict[str, Any]
    device_before: dict[str, Any] | None
    device_after: dict[str, Any] | None
    engine: dict[str, Any]
    machine: dict[str, Any]

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
    def block_p99_median_ms(self) -> float:
        """The median of the blocks' p99: far below ``p99_ms`` means that a few blocks were disturbed."""
        return float(np.median([block["p99_ms"] for block in self.blocks]))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "blocks": list(self.blocks)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LatencyReport:
        cadence = data["cadence"]
        return cls(
            **{
                **data,
                "back_to_back": Series(**data["back_to_back"]),
                "cadence": None if cadence is None else Series(**cadence),
                "blocks": tuple(data["blocks"]),
            }
        )

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for Gate 5."""
        metrics: dict[str, float | None] = {
            f"latency.{name}": value for name, value in asdict(self.back_to_back).items()
        }
        if self.cadence is not None:
            metrics |= {f"latency.cadence.{name}": value for name, value in asdict(self.cadence).items()}
        metrics["latency.block_p99_median_ms"] = self.block_p99_median_ms
        metrics["latency.nonfinite"] = float(self.nonfinite)
        return {name: None if value is None else float(value) for name, value in metrics.items()}
