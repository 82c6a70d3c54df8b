"""A forest plot: one row per scenario, a point with its interval, and the line of no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gate5.report.axis import Axis, label, span
from gate5.report.html import Markup, tag

WIDTH, LEFT, RIGHT, ROW = 1180.0, 210.0, 24.0, 26.0


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
    bottom = 8 + ROW * len(rows)
    axis = Axis(low, high, LEFT, WIDTH - RIGHT)
    ticks = axis.ticks(8)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    grid = []
    for tick in ticks:
        at = f"{float(axis.place(tick)):.1f}"
        grid.append(tag("line", x1=at, x2=at, y1=4, y2=bottom))
        grid.append(tag("text", label(tick, step), x=at, y=bottom + 15, text_anchor="middle"))
    zero = f"{float(axis.place(0.0)):.1f}"
    drawing = tag(
        "svg",
        tag("g", grid, class_="grid"),
        tag("line", class_="zero", x1=zero, x2=zero, y1=2, y2=bottom),
        [_row(row, axis, 8 + ROW * (index + 0.5)) for index, row in enumerate(rows)],
        viewBox=f"0 0 {WIDTH:g} {bottom + 24:g}",
        role="img",
        aria_label=f"{title}. {summary}",
    )
    caption = tag("figcaption", tag("b", title), f" {unit}. {summary}")
    return tag("figure", caption, drawing, class_="chart")


def _row(row: Row, axis: Axis, at: float) -> Markup:
    kind = "better" if row.low > 0 else "worse" if row.high < 0 else "even"
    a, b, middle = (f"{float(axis.place(value)):.1f}" for value in (row.low, row.high, row.value))
    return tag(
        "g",
        tag("rect", x=0, y=f"{at - ROW / 2:.1f}", width=WIDTH, height=ROW, fill="transparent"),
        tag("text", row.name, x=LEFT - 12, y=f"{at + 4:.1f}", text_anchor="end", class_="name"),
        tag("line", class_="interval", x1=a, x2=b, y1=at, y2=at),
        tag("circle", cx=middle, cy=at, r=4.5),
        class_=kind,
        data_tip=row.text,
    )
