"""Line charts as inline SVG: drawn here, readable without a script.

``chart.js`` fits them to the screen's width, shows the values under the pointer and a part of the axis.

A point's data value can be had back from its position and the axis (``data-x``, ``data-y`` of the ``svg``), so the page
carries every curve once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from gate5.report.axis import Axis, Floats, label, span
from gate5.report.html import Markup, tag

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 600.0, 58.0, 20.0, 10.0, 34.0
POINTS = 400


@dataclass(frozen=True)
class Series:
    """One curve. ``kind`` is its CSS class: ``rl``, ``pid``, ``set``, or ``c1`` to ``c8``; ``dots``: one per point."""

    name: str
    kind: str
    x: Floats
    y: Floats
    dots: bool = False


@dataclass(frozen=True)
class Limit:
    """A horizontal limit, shaded beyond. ``where``: stretches of x in which it holds (``None``: everywhere)."""

    value: float
    upper: bool
    name: str
    catastrophic: bool = False
    where: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical line at ``x`` with a text at its top; ``kind`` is its CSS class."""

    x: float
    name: str
    kind: str


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Attributes:
        title, unit: of what is drawn upwards.
        series: curves; points that are not finite make a gap.
        x_name: what is drawn to the right, with its unit.
        limits, marks: horizontal limits and vertical lines.
        log_x, log_y: logarithmic axes (values must then be positive).
        whole_x: what is drawn to the right is counted: it has whole numbers alone.
        group: charts of one group show their pointers, and the part of the axis that is looked at, together.
        summary: what the chart shows, in words, for a reader who does not see it.
        least: least height of the y axis in data units.
    """

    title: str
    unit: str
    series: Sequence[Series]
    x_name: str
    limits: Sequence[Limit] = ()
    marks: Sequence[Mark] = ()
    log_x: bool = False
    log_y: bool = False
    whole_x: bool = False
    group: str = ""
    summary: str = ""
    least: float = 0.0
    height: float = 190.0
    y_range: tuple[float, float] | None = None
    legend: bool = True
    extra_x: Sequence[float] = field(default_factory=tuple)


def draw(chart: Chart) -> Markup:
    """The chart as a ``figure`` with caption, legend and SVG."""
    caption = tag("figcaption", tag("b", chart.title), f" {chart.unit}" if chart.unit else "", _legend(chart))
    return tag("figure", caption, drawing(chart), class_="chart")


def drawing(chart: Chart, **attributes: object) -> Markup:
    """The chart's SVG alone; ``attributes`` (``x``, ``width``, …) go to its ``svg`` element."""
    x_axis, y_axis = _axes(chart)
    parts = [_grid(chart, x_axis, y_axis)]
    parts += [_limit(limit, x_axis, y_axis) for limit in chart.limits if _visible(limit, y_axis)]
    parts += [_curve(series, x_axis, y_axis) for series in chart.series]
    parts += _marks(chart.marks, x_axis, y_axis)
    parts.append(tag("line", class_="cursor", x1=0, x2=0, y1=y_axis.end, y2=y_axis.start))
    return tag(
        "svg",
        parts,
        viewBox=f"0 0 {WIDTH:g} {chart.height:g}",
        role="img",
        aria_label=f"{chart.title}. {chart.summary}".strip(),
        data_group=chart.group or None,
        data_unit=chart.unit,
        data_x_name=chart.x_name,
        data_whole="yes" if chart.whole_x else None,
        data_x=_meta(x_axis),
        data_y=_meta(y_axis),
        **attributes,
    )


def thin(x: Floats, y: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """Fewer points that keep the curve's shape: the lowest and the highest of each of ``points / 2`` stretches."""
    if len(x) <= points:
        return x, y
    kept = {0, len(x) - 1}
    for stretch in np.array_split(np.arange(len(x)), points // 2):
        values = y[stretch]
        if np.isfinite(values).any():
            kept |= {int(stretch[np.nanargmin(values)]), int(stretch[np.nanargmax(values)])}
        kept |= {int(index) for index in stretch[~np.isfinite(values)][:1]}
    order = np.array(sorted(kept))
    return x[order], y[order]


def _axes(chart: Chart) -> tuple[Axis, Axis]:
    across = np.concatenate([*(s.x for s in chart.series), np.asarray([*(m.x for m in chart.marks), *chart.extra_x])])
    data = np.concatenate([s.y for s in chart.series]) if chart.series else np.zeros(0)
    ordinary = np.array([limit.value for limit in chart.limits if not limit.catastrophic])
    x_low, x_high = _log_span(across) if chart.log_x else span(across, pad=0.0)
    if chart.y_range:
        y_low, y_high = chart.y_range
    elif chart.log_y:
        y_low, y_high = _log_span(data)
    else:
        y_low, y_high = span(np.concatenate([data, ordinary]), least=chart.least, pad=0.08)
    x_axis = Axis(x_low, x_high, LEFT, WIDTH - RIGHT, chart.log_x)
    return x_axis, Axis(y_low, y_high, chart.height - BOTTOM, TOP, chart.log_y)


def _log_span(values: Floats) -> tuple[float, float]:
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return 0.1, 1.0
    low, high = float(positive.min()), float(positive.max())
    return low / 1.1, max(high * 1.1, low * 1.3)


def _grid(chart: Chart, x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    across = [value for value in x_axis.ticks(6) if not chart.whole_x or value == round(value)]
    for axis, values in ((x_axis, across), (y_axis, y_axis.ticks(4))):
        step = min((b - a for a, b in pairwise(values)), default=1.0)
        for value in values:
            at = float(axis.place(value))
            text = label(value, value if axis.log else step)
            if axis is x_axis:
                parts.append(tag("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=y_axis.end, y2=y_axis.start))
                parts.append(tag("text", text, x=f"{at:.1f}", y=y_axis.start + 14, text_anchor="middle"))
            else:
                parts.append(tag("line", x1=x_axis.start, x2=x_axis.end, y1=f"{at:.1f}", y2=f"{at:.1f}"))
                parts.append(tag("text", text, x=x_axis.start - 6, y=f"{at + 3.5:.1f}", text_anchor="end"))
    parts.append(tag("text", chart.x_name, x=x_axis.end, y=y_axis.start + 29, text_anchor="end", class_="axis"))
    return tag("g", parts, class_="grid")


def _visible(limit: Limit, axis: Axis) -> bool:
    return axis.low <= limit.value <= axis.high


def _limit(limit: Limit, x_axis: Axis, y_axis: Axis) -> Markup:
    at = float(y_axis.place(limit.value))
    edge = y_axis.end if limit.upper else y_axis.start
    kind = "limit catastrophic" if limit.catastrophic else "limit"
    parts = []
    for begin, end in limit.where if limit.where is not None else ((x_axis.low, x_axis.high),):
        x1, x2 = (float(x_axis.place(value)) for value in (begin, end))
        box = tag(
            "rect",
            x=f"{x1:.1f}",
            y=f"{min(at, edge):.1f}",
            width=f"{max(x2 - x1, 0.5):.1f}",
            height=f"{abs(edge - at):.1f}",
        )
        parts += [box, tag("line", x1=f"{x1:.1f}", x2=f"{x2:.1f}", y1=f"{at:.1f}", y2=f"{at:.1f}")]
    return tag("g", tag("title", limit.name), parts, class_=kind)


def _curve(series: Series, x_axis: Axis, y_axis: Axis) -> Markup:
    x, y = np.asarray(series.x, np.float64), np.asarray(series.y, np.float64)
    if not series.dots:
        x, y = thin(x, y)
    good = np.isfinite(x) & np.isfinite(y)
    pieces = np.split(np.arange(len(x)), np.flatnonzero(~good))
    lines = []
    for piece in pieces:
        kept = piece[good[piece]]
        if kept.size:
            points = list(zip(x_axis.place(x[kept]), y_axis.place(y[kept]), strict=True))
            lines.append(tag("polyline", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in points)))
            if series.dots:
                lines += [tag("circle", cx=f"{a:.1f}", cy=f"{b:.2f}", r=3) for a, b in points]
    return tag("g", lines, class_=f"curve {series.kind}", data_name=series.name)


def _marks(marks: Sequence[Mark], x_axis: Axis, y_axis: Axis) -> list[Markup]:
    parts = []
    for row, mark in enumerate(sorted(marks, key=lambda one: one.x)):
        at = float(x_axis.place(mark.x))
        late = at > x_axis.end - 110
        text = tag(
            "text",
            mark.name,
            x=f"{at - 4 if late else at + 4:.1f}",
            y=f"{y_axis.end + 11 + 13 * row:.1f}",
            text_anchor="end" if late else "start",
        )
        line = tag("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=y_axis.end, y2=y_axis.start)
        parts.append(tag("g", line, text, class_=f"mark {mark.kind}"))
    return parts


def _legend(chart: Chart) -> Markup | None:
    names = dict.fromkeys((series.name, series.kind) for series in chart.series)
    items = [tag("span", tag("i", class_=kind), name) for name, kind in names]
    if chart.limits:
        items.append(tag("span", tag("i", class_="limit"), "limit"))
    return tag("span", items, class_="legend") if chart.legend and len(items) > 1 else None


def _meta(axis: Axis) -> str:
    return json.dumps([axis.low, axis.high, axis.start, axis.end, int(axis.log)])
