"""``TorchOps``: the operations of ``ops.py`` on torch tensors, so that the plant's own equations have gradients.

Gradients go through the values of a table's cell and not through which cell it is, as for any bilinear interpolation.
"""

from __future__ import annotations

from typing import Any

from gate5.plant.sco2.ops import DOMAIN
from gate5.plant.sco2.parameters import ACTUATORS
from gate5.plant.sco2.properties import PressureAxis, Table


class TorchOps:
    """Operations on float64 tensors ``[B]``; torch is imported when one is made."""

    def __init__(self) -> None:
        import torch

        self._torch: Any = torch
        self.sqrt = torch.sqrt
        self._tables: dict[int, Any] = {}

        def column(values: Any) -> Any:
            return torch.tensor(list(values), dtype=torch.float64)[:, None]

        self._low, self._high = column(low for low, _ in DOMAIN), column(high for _, high in DOMAIN)
        self._centre = column(0.5 * (a.low + a.high) for a in ACTUATORS)
        self._half = column(0.5 * (a.high - a.low) for a in ACTUATORS)
        self._rate = column(a.rate for a in ACTUATORS)

    def minimum(self, a: Any, b: Any) -> Any:
        return self._torch.minimum(a, b) if self._torch.is_tensor(b) else a.clamp(max=b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self._torch.maximum(a, b) if self._torch.is_tensor(b) else a.clamp(min=b)

    def locate(self, axis: PressureAxis, p: Any) -> Any:
        y = (p - axis.range.low) * axis.scale
        row = y.detach().long()
        return row, y - row

    def lookup(self, table: Table, place: Any, x: Any) -> tuple[Any, ...]:
        row, f = place
        y = (x - table.other.low) * table.scale
        j = y.detach().long()
        g = y - j
        coefficients = self._coefficients(table)
        cell = (row * table.row + j).clamp(0, coefficients.shape[1] - 1)
        c = coefficients.index_select(1, cell.reshape(-1)).reshape(-1, *cell.shape)
        add = self._torch.addcmul
        return tuple(
            add(add(c[k], c[k + 1], g), f, add(c[k + 2], c[k + 3], g)) for k in range(0, coefficients.shape[0], 4)
        )

    def lookup_each(self, table: Table, place: Any, *xs: Any) -> list[tuple[Any, ...]]:
        """Several points at one pressure in one pass; one tuple of properties for each."""
        found = self.lookup(table, place, self._torch.stack(xs))
        return [tuple(values[i] for values in found) for i in range(len(xs))]

    def at_least(self, x: Any, limit: float) -> Any:
        """1.0 where ``x >= limit``, else 0.0."""
        return (x >= limit).to(self._torch.float64)

    def inside(self, values: tuple[Any, ...]) -> Any:
        """Whether every value lies in its part of ``DOMAIN``; NaN does not."""
        stacked = self._torch.stack([v.detach() for v in values])
        return ((stacked >= self._low) & (stacked <= self._high)).all(dim=0)

    def move(self, positions: Any, action: Any) -> Any:
        """Actuators ``[4, B]`` one step toward what actions in [-1, 1] ask for, no faster than their rates."""
        way = self._centre + self._half * action - positions
        return positions + self._torch.minimum(self._torch.maximum(way, -self._rate), self._rate)

    def _coefficients(self, table: Table) -> Any:
        """A table's bilinear coefficients as a tensor, one column per cell."""
        if id(table) not in self._tables:
            whole = self._torch.from_numpy(table.coefficients)
            self._tables[id(table)] = (whole.T.contiguous(), table)  # the table is kept, so that its id stays its own
        return self._tables[id(table)][0]
