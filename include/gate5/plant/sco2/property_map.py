"""The tables' errors around the critical point, as numbers and as a picture (SVG)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate5.plant.sco2 import properties
from gate5.plant.sco2.parameters import CRITICAL_PRESSURE_MPA, CRITICAL_TEMPERATURE_C, KELVIN

Array = NDArray[np.float64]

# Off the nodes of the tables, so that the interpolation's error is seen.
PRESSURES = np.linspace(7.0, 9.0, 48) + 0.0061
TEMPERATURES = np.linspace(29.0, 41.0, 48) + 0.017

_COLOURS = ("#f7fbff", "#d0e1f2", "#94c4df", "#4a98c9", "#1764ab", "#08306b")
_CELL = 8


class ErrorMap(NamedTuple):
    """Errors over pressure and temperature, each ``[pressures, temperatures]``.

    Attributes:
        temperature: C, of ``T(P, h)`` at the exact enthalpy.
        density: relative.
        entropy: relative.
    """

    temperature: Array
    density: Array
    entropy: Array


def errors(pressures: Array = PRESSURES, temperatures: Array = TEMPERATURES) -> ErrorMap:
    """Absolute errors of the low side's tables against CoolProp's equation of state."""
    import CoolProp

    coolprop: Any = CoolProp
    fluid = coolprop.AbstractState("HEOS", "CO2")
    co2 = properties.load()
    found = np.empty((3, pressures.size, temperatures.size))
    for i, p in enumerate(pressures.tolist()):
        place = co2.low.locate_one(p)
        for j, t in enumerate(temperatures.tolist()):
            fluid.update(coolprop.PT_INPUTS, p * 1e6, t + KELVIN)
            value, entropy, density = co2.low_ph.at_one(place, fluid.hmass() / 1e3)
            found[:, i, j] = (
                abs(value - t),
                abs(density / fluid.rhomass() - 1.0),
                abs(entropy * 1e3 / fluid.smass() - 1.0),
            )
    return ErrorMap(*found)


def table(found: ErrorMap) -> str:
    """The worst errors below and above the critical pressure."""
    supercritical = PRESSURES > CRITICAL_PRESSURE_MPA
    lines = [f"{'region':26s}{'T, C':>10s}{'density, %':>12s}{'entropy, %':>12s}"]
    for name, rows in (("7.0 MPa to critical", ~supercritical), ("critical to 9.0 MPa", supercritical)):
        worst = [float(e[rows].max()) for e in found]
        lines.append(f"{name:26s}{worst[0]:10.4f}{100 * worst[1]:12.4f}{100 * worst[2]:12.5f}")
    return "\n".join(lines) + "\n"


def picture(found: ErrorMap) -> str:
    """Two panels: error of temperature and of density, pressure upwards."""
    panels = (
        ("Temperature error, C", found.temperature, (1e-4, 1e-3, 3e-3, 1e-2, 1e-1)),
        ("Density error, %", 100.0 * found.density, (1e-3, 1e-2, 3e-2, 1e-1, 1.0)),
    )
    width, height = 2 * (_CELL * TEMPERATURES.size + 90), _CELL * PRESSURES.size + 100
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for k, (title, values, bounds) in enumerate(panels):
        parts += _panel(title, values, bounds, 60 + k * width // 2)
    return "\n".join([*parts, "</svg>\n"])


def _panel(title: str, values: Array, bounds: tuple[float, ...], left: int) -> list[str]:
    rows, columns = values.shape
    bottom = 30 + rows * _CELL
    parts = [f'<text x="{left}" y="20" font-weight="bold">{title}</text>']
    for i, row in enumerate(np.searchsorted(bounds, values)):
        y = bottom - (i + 1) * _CELL
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), columns]
        for a, b in pairwise(edges):
            parts.append(
                f'<rect x="{left + a * _CELL}" y="{y}" width="{(b - a) * _CELL}" height="{_CELL}" '
                f'fill="{_COLOURS[int(row[a])]}"/>'
            )
    for p in (7.0, 7.5, 8.0, 8.5, 9.0):
        y = bottom - (p - PRESSURES[0]) / (PRESSURES[-1] - PRESSURES[0]) * (rows - 1) * _CELL
        parts.append(f'<text x="{left - 8}" y="{y:.0f}" text-anchor="end">{p}</text>')
    for t in (30, 32, 34, 36, 38, 40):
        parts.append(f'<text x="{left + _across(t):.0f}" y="{bottom + 16}" text-anchor="middle">{t}</text>')
    x = left + _across(CRITICAL_TEMPERATURE_C)
    y = bottom - (CRITICAL_PRESSURE_MPA - PRESSURES[0]) / (PRESSURES[-1] - PRESSURES[0]) * (rows - 1) * _CELL
    parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="none" stroke="#d62728" stroke-width="2"/>')
    parts.append(f'<text x="{left}" y="{bottom + 34}">C; pressure upwards in MPa; circle: critical point</text>')
    labels = [f"&lt; {bounds[0]:g}", *(f"&lt; {b:g}" for b in bounds[1:]), f"&gt; {bounds[-1]:g}"]
    for n, (label, colour) in enumerate(zip(labels, _COLOURS, strict=True)):
        parts.append(
            f'<rect x="{left + 64 * n}" y="{bottom + 44}" width="12" height="12" fill="{colour}" stroke="#999"/>'
        )
        parts.append(f'<text x="{left + 64 * n + 16}" y="{bottom + 55}">{label}</text>')
    return parts


def _across(t: float) -> float:
    return float((t - TEMPERATURES[0]) / (TEMPERATURES[-1] - TEMPERATURES[0]) * (TEMPERATURES.size - 1) * _CELL)
