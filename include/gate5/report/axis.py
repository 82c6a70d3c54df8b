"""Axes of a chart: from data to drawing units, and where the ticks go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from ``low`` to ``high`` (data) drawn from ``start`` to ``end`` (SVG units)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, values: Floats | float) -> Floats:
        """Where the values are drawn; outside the axis they are held at its ends."""
        data = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        if self.log:
            share = (np.log10(data) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        else:
            share = (data - self.low) / (self.high - self.low)
        return np.asarray(self.start + share * (self.end - self.start), dtype=np.float64)

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers inside the axis, about ``count`` of them."""
        if self.log:
            return _log_ticks(self.low, self.high, count)
        step = _round_step((self.high - self.low) / max(count, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def span(values: Floats, *, pad: float = 0.06, least: float = 0.0) -> tuple[float, float]:
    """The range of the finite values, widened by ``pad`` on each side and to a width of at least ``least``."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    width = max(high - low, least, 1e-9 * max(abs(low), abs(high)), 1e-12)
    middle = (low + high) / 2
    half = max((high - low) / 2, width / 2) + pad * width
    return middle - half, middle + half


def label(value: float, step: float) -> str:
    """A tick's text with the digits that its step needs."""
    if value == 0 or abs(value) < step * 1e-6:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{float(digits):g}e{int(power)}".replace("-", "−")
    decimals = next((d for d in range(7) if abs(round(step, d) - step) < 1e-6 * step), 6)
    return f"{value:.{decimals}f}".replace("-", "−")


def _round_step(raw: float) -> float:
    base = 10.0 ** math.floor(math.log10(raw))
    return next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= raw * 0.999)


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    factors: tuple[int, ...] = (1, 2, 5) if len(decades) <= count else (1,)
    candidates = [factor * 10.0**decade for decade in decades for factor in factors]
    return [value for value in candidates if low * 0.999 <= value <= high * 1.001]
