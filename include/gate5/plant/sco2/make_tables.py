"""Makes ``co2.npz``: the CO2 properties that the plant interpolates, from CoolProp's equation of state.

    python -m gate5.plant.sco2.make_tables [--out FILE]

Every grid is regular, in pressure as well, so that an index is one multiplication and no logarithm: a plant step then
uses only operations that IEEE 754 rounds exactly, and a trajectory is the same to the bit whatever the batch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("co2.npz")


@dataclass(frozen=True)
class Grid:
    """A regular grid: pressure (MPa) by a second coordinate (kJ/kg, kJ/(kg K) or C)."""

    name: str
    inputs: str
    outputs: tuple[str, ...]
    pressure: tuple[float, float, int]
    other: tuple[float, float, int]

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.linspace(*self.pressure), np.linspace(*self.other)


_LOW = (6.6, 9.6, 121)
_HIGH = (6.6, 27.0, 205)

GRIDS = (
    Grid("low_ph", "ph", ("t", "s", "rho"), _LOW, (200.0, 1500.0, 651)),
    Grid("high_ph", "ph", ("t", "s"), _HIGH, (200.0, 1500.0, 651)),
    Grid("low_pt", "pt", ("h",), _LOW, (0.0, 240.0, 481)),
    Grid("high_pt", "pt", ("h",), _HIGH, (60.0, 1100.0, 521)),
    Grid("low_ps", "ps", ("h",), _LOW, (1.6, 3.4, 361)),
    Grid("high_ps", "ps", ("h",), _HIGH, (0.9, 2.1, 241)),
)


def main(argv: list[str] | None = None) -> int:
    """Make the tables and write them."""
    parser = argparse.ArgumentParser(description="Tabulate CO2 properties from CoolProp.")
    parser.add_argument("--out", type=Path, default=FILE)
    out: Path = parser.parse_args(argv).out
    arrays: dict[str, NDArray[np.float32]] = {}
    for grid in GRIDS:
        sys.stderr.write(f"{grid.name}: {grid.pressure[2]} x {grid.other[2]}\n")
        arrays |= {f"{grid.name}.{key}": table for key, table in tabulate(grid).items()}
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    sys.stderr.write(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)\n")
    return 0


def tabulate(grid: Grid) -> dict[str, NDArray[np.float32]]:
    """The properties of one grid, float32 ``[pressures, others]`` each."""
    solve = _solver(grid.inputs)
    pressures, others = grid.axes
    tables = {key: np.empty((pressures.size, others.size), dtype=np.float32) for key in grid.outputs}
    for i, p in enumerate(pressures):
        for j, x in enumerate(others):
            state = solve(float(p), float(x))
            for key in grid.outputs:
                tables[key][i, j] = state[key]
    return tables


def _solver(inputs: str) -> Callable[[float, float], dict[str, float]]:
    import CoolProp

    coolprop: Any = CoolProp
    fluid = coolprop.AbstractState("HEOS", "CO2")
    pair, scale, offset, first = {
        "ph": (coolprop.HmassP_INPUTS, 1e3, 0.0, False),
        "ps": (coolprop.PSmass_INPUTS, 1e3, 0.0, True),
        "pt": (coolprop.PT_INPUTS, 1.0, 273.15, True),
    }[inputs]

    def solve(p_mpa: float, x: float) -> dict[str, float]:
        second = x * scale + offset
        fluid.update(pair, *((p_mpa * 1e6, second) if first else (second, p_mpa * 1e6)))
        return {
            "t": fluid.T() - 273.15,
            "s": fluid.smass() / 1e3,
            "h": fluid.hmass() / 1e3,
            "rho": fluid.rhomass(),
        }

    return solve


if __name__ == "__main__":
    raise SystemExit(main())
