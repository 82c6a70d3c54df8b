"""Charts as one SVG file, for pages that show pictures and no HTML (docs/results/)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from gate5.report.chart import LEFT, RIGHT, WIDTH, Chart, drawing
from gate5.report.html import Markup, raw, tag

_HEAD, _ROW, _GAP, _SIGN = 22.0, 16.0, 10.0, 22.0
_LETTER = 6.4
_RULES = (".curve", ".grid line", "svg text", "g.limit", "g.catastrophic", ".mark")
_OWN = """
.sheet { fill: var(--card); }
svg .title { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg .axis { font-size: 11px; }
.cursor { visibility: hidden; }
"""


def sheet(charts: Sequence[Chart], columns: int = 2) -> str:
    """An SVG file with the charts in rows, each with its title and legend; light or dark as the reader's system is."""
    heights = [_HEAD + _ROW * len(_legend_rows(chart)) + chart.height + _GAP for chart in charts]
    parts, top = [], _GAP
    for start in range(0, len(charts), columns):
        for column, chart in enumerate(charts[start : start + columns]):
            parts.append(_panel(chart, column * WIDTH, top))
        top += max(heights[start : start + columns])
    width = WIDTH * min(columns, len(charts))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tag(
        "svg",
        tag("style", raw(_style())),
        tag("rect", width=f"{width:g}", height=f"{top:g}", class_="sheet"),
        parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {top:g}",
        width=f"{width:g}",
        height=f"{top:g}",
    )


def _panel(chart: Chart, left: float, top: float) -> Markup:
    title = f"{chart.title}, {chart.unit}" if chart.unit else chart.title
    parts = [tag("text", title, x=f"{left + LEFT:g}", y=f"{top + 13:g}", class_="title")]
    y = top + _HEAD
    for row in _legend_rows(chart):
        x = left + LEFT
        for name, kind in row:
            line = tag("polyline", points=f"{x:g},{y + 4:g} {x + 16:g},{y + 4:g}")
            parts += [tag("g", line, class_=f"curve {kind}"), tag("text", name, x=f"{x + _SIGN:g}", y=f"{y + 8:g}")]
            x += _width(name)
        y += _ROW
    placed = drawing(chart, x=f"{left:g}", y=f"{y:g}", width=f"{WIDTH:g}", height=f"{chart.height:g}")
    return tag("g", parts, placed)


def _legend_rows(chart: Chart) -> list[list[tuple[str, str]]]:
    """Names and kinds of the curves, in rows that fit; nothing where there is one curve."""
    names = list(dict.fromkeys((series.name, series.kind) for series in chart.series))
    rows: list[list[tuple[str, str]]] = []
    used = 0.0
    for name, kind in names if len(names) > 1 else ():
        if not rows or used + _width(name) > WIDTH - LEFT - RIGHT:
            rows.append([])
            used = 0.0
        rows[-1].append((name, kind))
        used += _width(name)
    return rows


def _width(name: str) -> float:
    return _SIGN + _LETTER * len(name) + 14


def _style() -> str:
    """The report's colours and the rules for what a chart is made of."""
    text = files("gate5.report").joinpath("style.css").read_text(encoding="utf-8")
    colours = text.partition("* {")[0]
    rules = [line for line in text.splitlines() if line.startswith(_RULES)]
    return colours + "\n".join(rules) + _OWN
