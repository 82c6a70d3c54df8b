"""Compares two arrays of actions so that a NaN can never look like agreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.io.canonical import number

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """``max_abs_error`` is ``None`` where nothing was compared or a number is not finite."""

    compared: int
    nonfinite: int
    max_abs_error: float | None
    worst: int | None


def difference(expected: Float32, actual: Float32) -> Difference:
    """The largest absolute difference of two arrays ``[N, act_dim]``, its row, and how many numbers are not finite.

    Raises:
        ValueError: the shapes differ.
    """
    if expected.shape != actual.shape:
        raise ValueError(f"actions of shape {actual.shape} where {expected.shape} is expected")
    if expected.size == 0:
        return Difference(0, 0, None, None)
    bad = ~(np.isfinite(expected) & np.isfinite(actual))
    nonfinite = int(np.count_nonzero(bad))
    if nonfinite:
        return Difference(len(expected), nonfinite, None, int(np.flatnonzero(bad.any(axis=1))[0]))
    error = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
    return Difference(len(expected), 0, float(error.max()), int(error.max(axis=1).argmax()))


@dataclass(frozen=True)
class WorstSample:
    """The observation with the largest difference; numbers that are not finite are ``None``."""

    kind: str
    observation: tuple[float | None, ...]
    expected: tuple[float | None, ...]
    actual: tuple[float | None, ...]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> WorstSample:
        return cls(data["kind"], tuple(data["observation"]), tuple(data["expected"]), tuple(data["actual"]))

    @classmethod
    def of(cls, kind: str, observation: Float32, expected: Float32, actual: Float32) -> WorstSample:
        """From float32 rows."""
        rows = (tuple(number(float(value)) for value in row) for row in (observation, expected, actual))
        return cls(kind, *rows)
