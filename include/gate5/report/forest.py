"""A forest plot: one row per scenario, a point with its interval, and the line of no difference.

Names are words of the page and places are shares of the width, so that it can be read on a screen of any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gate5.report.axis import Axis, label, span
from gate5.report.html import Markup, tag

ROW = 26.0


@dataclass(frozen=True)
class Row:
    """A point with its interval; ``text`` is shown under the pointer."""

    name: str
    value: float
    low: float
    high: float
    text: str


def forest(title: str, unit: str, rows: Sequence[Row], summary: str) -> Markup:
    """The plot as a ``figure``; green right of zero, red left of it, grey where the interval holds zero."""
    ends = np.array([0.0, *(edge for row in rows for edge in (row.low, row.high, row.value))])
    low, high = span(ends, pad=0.05, least=1e-3)
    axis = Axis(low, high, 2.0, 98.0)
    ticks = axis.ticks(4)
    grid = [_line(axis, tick, "tick") for tick in ticks] + [_line(axis, 0.0, "zero")]
    cells = [cell for row in rows for cell in _row(row, axis, grid)]
    plot = tag("div", cells, tag("span"), _scale(axis, ticks), class_="forest", role="img",
               aria_label=f"{title}. {summary}")  # fmt: skip
    return tag("figure", tag("figcaption", tag("b", title), f" {unit}. {summary}"), plot, class_="chart")


def _at(axis: Axis, value: float) -> str:
    """A place on the axis, in percent of the width."""
    return f"{float(axis.place(value)):.2f}%"


def _line(axis: Axis, value: float, kind: str) -> Markup:
    at = _at(axis, value)
    return tag("line", class_=kind, x1=at, x2=at, y1=0, y2=ROW)


def _scale(axis: Axis, ticks: Sequence[float]) -> Markup:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    texts = [tag("text", label(tick, step), x=_at(axis, tick), y=14, text_anchor="middle") for tick in ticks]
    return tag("svg", texts, height="18")


def _row(row: Row, axis: Axis, grid: Sequence[Markup]) -> list[Markup]:
    kind = "better" if row.low > 0 else "worse" if row.high < 0 else "even"
    interval = tag("line", class_="interval", x1=_at(axis, row.low), x2=_at(axis, row.high), y1=ROW / 2, y2=ROW / 2)
    point = tag("circle", cx=_at(axis, row.value), cy=ROW / 2, r=4.5)
    drawn = tag("svg", list(grid), tag("g", interval, point, class_=kind), height=f"{ROW:g}", data_tip=row.text)
    return [tag("span", row.name, class_="name"), drawn]
