"""The few operations that the cycle's equations need, for arrays and for plain floats.

The equations (``cycle.py``) are written once. With ``ArrayOps`` they advance a batch; with ``FloatOps`` one plant,
where NumPy's cost per call would be most of the time. All operations are exactly rounded, so both give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gate5.plant.sco2.parameters import ACTUATORS
from gate5.plant.sco2.properties import PressureAxis, Table

# Where the tables cover every lookup of one property pass and the components' equations mean something; outside, the
# solver has failed. The last three: the compressor's speed over design (what its rotor can bear), and the heat that the
# recuperator and the precooler could exchange, kJ/kg: below zero a pinch is crossed. The order is that of the values
# given to ``inside`` in ``model.evaluate``.
DOMAIN = (
    (6.6, 9.6), (6.6, 27.0), (200.0, 700.0), (200.0, 700.0), (200.0, 1500.0), (200.0, 1500.0), (200.0, 1500.0),
    (200.0, 1500.0), (60.0, 1100.0), (0.0, 240.0), (60.0, 1100.0), (0.0, 240.0), (1.6, 3.4), (0.5, 400.0),
    (0.0, 1.5), (0.0, 1500.0), (0.0, 1500.0),
)  # fmt: skip
_LOW = np.array([low for low, _ in DOMAIN])[:, None]
_HIGH = np.array([high for _, high in DOMAIN])[:, None]
_CENTRE = np.array([0.5 * (a.low + a.high) for a in ACTUATORS])[:, None]
_HALF = np.array([0.5 * (a.high - a.low) for a in ACTUATORS])[:, None]
_RATE = np.array([a.rate for a in ACTUATORS])[:, None]


class ArrayOps:
    """Operations on float64 arrays ``[B]``."""

    sqrt = staticmethod(np.sqrt)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)

    @staticmethod
    def locate(axis: PressureAxis, p: Any) -> Any:
        return axis.locate(p)

    @staticmethod
    def lookup(table: Table, place: Any, x: Any) -> tuple[Any, ...]:
        return table.at(place, x)

    @staticmethod
    def lookup_each(table: Table, place: Any, *xs: Any) -> list[tuple[Any, ...]]:
        """Several points at one pressure in one pass; one tuple of properties for each."""
        found = table.at(place, np.stack(xs))
        return [tuple(values[i] for values in found) for i in range(len(xs))]

    @staticmethod
    def at_least(x: Any, limit: float) -> Any:
        """1.0 where ``x >= limit``, else 0.0."""
        return (x >= limit).astype(np.float64)

    @staticmethod
    def inside(values: tuple[Any, ...]) -> Any:
        """Whether every value lies in its part of ``DOMAIN``; NaN does not."""
        stacked = np.stack(values)
        return ((stacked >= _LOW) & (stacked <= _HIGH)).all(axis=0)

    @staticmethod
    def move(positions: Any, action: Any) -> Any:
        """Actuators ``[4, B]`` one step toward what actions in [-1, 1] ask for, no faster than their rates."""
        return positions + np.clip(_CENTRE + _HALF * action - positions, -_RATE, _RATE)


class FloatOps:
    """The same for plain floats; NaN behaves as in NumPy."""

    @staticmethod
    def sqrt(x: float) -> float:
        return math.sqrt(x) if x >= 0.0 else math.nan

    @staticmethod
    def minimum(a: float, b: float) -> float:
        return a if a <= b or a != a else b

    @staticmethod
    def maximum(a: float, b: float) -> float:
        return a if a >= b or a != a else b

    @staticmethod
    def locate(axis: PressureAxis, p: float) -> Any:
        return axis.locate_one(p)

    @staticmethod
    def lookup(table: Table, place: Any, x: float) -> tuple[float, ...]:
        return table.at_one(place, x)

    @staticmethod
    def lookup_each(table: Table, place: Any, *xs: float) -> list[tuple[float, ...]]:
        return [table.at_one(place, x) for x in xs]

    @staticmethod
    def at_least(x: float, limit: float) -> float:
        return 1.0 if x >= limit else 0.0

    @staticmethod
    def inside(values: tuple[float, ...]) -> bool:
        return all(low <= value <= high for value, (low, high) in zip(values, DOMAIN, strict=True))

    @staticmethod
    def move(positions: Any, action: Any) -> Any:
        moved = []
        for a, position, wanted in zip(ACTUATORS, positions, action, strict=True):
            way = 0.5 * (a.low + a.high) + 0.5 * (a.high - a.low) * wanted - position
            moved.append(position + min(max(way, -a.rate), a.rate))
        return tuple(moved)
