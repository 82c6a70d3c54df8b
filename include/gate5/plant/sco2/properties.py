"""CO2 properties by bilinear interpolation in regular tables (``co2.npz``; see ``make_tables``).

Units: MPa, C, kJ/kg, kJ/(kg K), kg/m3. Two forms with the same results to the bit: arrays, and plain floats for a
single plant. Both use additions, products and one truncation only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.errors import PlantError
from gate5.plant.sco2.make_tables import FILE, GRIDS, Grid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """The part of an axis that a table covers."""

    low: float
    high: float


class Table:
    """One grid's properties as bilinear coefficients, one row per cell."""

    def __init__(self, grid: Grid, values: list[Array]) -> None:
        pressures, others = grid.axes
        self.pressure = Range(float(pressures[0]), float(pressures[-1]))
        self.other = Range(float(others[0]), float(others[-1]))
        self._x0 = float(others[0])
        self.scale = (others.size - 1) / (float(others[-1]) - float(others[0]))
        self.row = others.size - 1  # cells in a row of one pressure
        self.coefficients = np.concatenate([_coefficients(v) for v in values], axis=1)
        flat: Any = self.coefficients.reshape(-1)
        self._flat: Any = memoryview(flat)
        self._width = self.coefficients.shape[1]
        self._cells = self.coefficients.shape[0]

    def at(self, place: tuple[Any, Array], x: Array) -> tuple[Array, ...]:
        """All properties at located pressures and ``x``; what lies outside is extrapolated (the plant refuses it)."""
        row, f = place
        y = (x - self._x0) * self.scale
        j = y.astype(np.intp)
        g = y - j
        c = self.coefficients.take(row * self.row + j, axis=0, mode="clip")
        return tuple(
            (c[..., k] + c[..., k + 1] * g) + f * (c[..., k + 2] + c[..., k + 3] * g) for k in range(0, self._width, 4)
        )

    def at_one(self, place: tuple[int, float], x: float) -> tuple[float, ...]:
        """The same for plain floats."""
        row, f = place
        y = (x - self._x0) * self.scale
        if not -1e9 < y < 1e9:
            return tuple([math.nan] * (self._width // 4))
        j = int(y)
        g = y - j
        cell = min(max(row * self.row + j, 0), self._cells - 1) * self._width
        c: Any = self._flat
        if self._width == 4:
            only: float = (c[cell] + c[cell + 1] * g) + f * (c[cell + 2] + c[cell + 3] * g)
            return (only,)
        return tuple(
            [(c[k] + c[k + 1] * g) + f * (c[k + 2] + c[k + 3] * g) for k in range(cell, cell + self._width, 4)]
        )


class PressureAxis:
    """Finds a pressure's row once for all tables of its side."""

    def __init__(self, grid: Grid) -> None:
        low, high, count = grid.pressure
        self.range = Range(low, high)
        self.scale = (count - 1) / (high - low)

    def locate(self, p: Array) -> tuple[Any, Array]:
        y = (p - self.range.low) * self.scale
        row = y.astype(np.intp)
        return row, y - row

    def locate_one(self, p: float) -> tuple[int, float]:
        y = (p - self.range.low) * self.scale
        if not -1e9 < y < 1e9:
            return 0, math.nan
        row = int(y)
        return row, y - row


@dataclass(frozen=True)
class Co2:
    """All tables; ``low`` and ``high`` are the two pressure sides of the cycle."""

    low: PressureAxis
    high: PressureAxis
    low_ph: Table
    high_ph: Table
    low_pt: Table
    high_pt: Table
    low_ps: Table
    high_ps: Table


@lru_cache(maxsize=2)
def load(path: Path = FILE) -> Co2:
    """Read the shipped tables.

    Raises:
        PlantError: the file is missing or is not what ``make_tables`` writes.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            tables = {g.name: Table(g, [_checked(data, g, key) for key in g.outputs]) for g in GRIDS}
    except (OSError, KeyError, ValueError) as error:
        raise PlantError(
            f"The CO2 tables {path} cannot be used ({error}); make them with `python -m gate5.plant.sco2.make_tables`."
        ) from None
    axes = {g.name: PressureAxis(g) for g in GRIDS}
    return Co2(low=axes["low_ph"], high=axes["high_ph"], **tables)


def _checked(data: Any, grid: Grid, key: str) -> Array:
    values = np.asarray(data[f"{grid.name}.{key}"], dtype=np.float64)
    expected = (grid.pressure[2], grid.other[2])
    if values.shape != expected or not np.isfinite(values).all():
        raise ValueError(f"{grid.name}.{key} has shape {values.shape} or holes, not a full grid {expected}")
    return values


def _coefficients(v: Array) -> Array:
    """``c0 + c1 g + f (c2 + c3 g)`` for every cell; ``f`` along pressure, ``g`` along the other axis."""
    c0 = v[:-1, :-1]
    c1 = v[:-1, 1:] - c0
    c2 = v[1:, :-1] - c0
    c3 = v[1:, 1:] - v[1:, :-1] - c1
    return np.stack([c.reshape(-1) for c in (c0, c1, c2, c3)], axis=1)
