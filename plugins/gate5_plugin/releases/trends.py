"""How the numbers went over a channel's releases, with the report's charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gate5.report.chart import Chart, Series, draw
from gate5.report.html import Markup, tag, unit
from gate5.store.entry import ChannelEntry
from gate5_plugin.releases.facts import Facts

X = "entry of the channel's log"


def charts(entries: Sequence[ChannelEntry], known: Mapping[str, Facts]) -> Markup | None:
    """Charts over the releases of some entries; ``None`` where fewer than two have numbers.

    Args:
        entries: that put a release there, in any order.
        known: the facts of each release.
    """
    found = [(entry.sequence, known[entry.release]) for entry in sorted(entries, key=lambda entry: entry.sequence)]
    found = [(number, facts) for number, facts in found if facts.release is not None]
    if len(found) < 2:
        return None
    parts: list[Chart | None] = [
        _one(found, "p99 latency, upper bound", "ms", "p99", lambda facts: facts.p99_ms),
        _one(found, "Engine against ONNX", "largest absolute error", "error", lambda facts: facts.parity),
        _several(found, "Difference of the return to the baseline", "%", lambda facts: facts.differences),
    ]
    units = dict.fromkeys(of for _, facts in found for _, of in facts.margins)
    for of in units:
        shown = unit(of)
        parts.append(_several(found, "Smallest margin of each constraint", shown, _margins_in(of)))
    drawn = [draw(chart) for chart in parts if chart is not None]
    return tag("div", drawn, class_="grid2") if drawn else None


def _margins_in(of: str) -> Callable[[Facts], Mapping[str, float]]:
    return lambda facts: {name: value for (name, each), value in facts.margins.items() if each == of}


def _one(
    found: Sequence[tuple[int, Facts]], title: str, unit_: str, name: str, value: Callable[[Facts], float | None]
) -> Chart | None:
    return _several(found, title, unit_, lambda facts: {} if value(facts) is None else {name: float(value(facts) or 0)})


def _several(
    found: Sequence[tuple[int, Facts]], title: str, unit_: str, values: Callable[[Facts], Mapping[str, float]]
) -> Chart | None:
    names = list(dict.fromkeys(name for _, facts in found for name in values(facts)))
    x = np.array([number for number, _ in found], dtype=np.float64)
    series = []
    for index, name in enumerate(names):
        y = np.array([values(facts).get(name, np.nan) for _, facts in found], dtype=np.float64)
        series.append(Series(name.replace("_", " "), f"c{index % 8 + 1}", x, y, dots=True))
    if not series:
        return None
    if len(names) == 1 and title.endswith("each constraint"):
        title = f"{title.removesuffix('each constraint')}{names[0].replace('_', ' ')}"
    largest = max((abs(float(value)) for one in series for value in one.y if np.isfinite(value)), default=0.0)
    first, last = found[0][1], found[-1][1]
    summary = f"From {first.id} to {last.id}: " + "; ".join(
        f"{name.replace('_', ' ')} {values(first).get(name, float('nan')):.3g} to "
        f"{values(last).get(name, float('nan')):.3g}"
        for name in names
    )
    return Chart(
        title, unit_, series, X, whole_x=True, group="trends", summary=summary, height=220.0, least=0.02 * largest
    )
