"""The page of a flight recorder file: observations with their limits, actions, and every hand-over."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gate5.edge.runtime.record.reader import Flight
from gate5.report.axis import Floats
from gate5.report.chart import Chart, Limit, Mark, Series, draw
from gate5.report.html import Markup, facts, figure, table, tag, title
from gate5.report.page import document

#: Marks that a chart can show before they hide it.
MOST_MARKS = 8
_WHO = (("policy", "rl", "policy"), ("baseline", "pid", "baseline"), ("applied", "set", "action"))


def render(flight: Flight, last_minutes: float | None = None) -> str:
    """One self-contained HTML page; every text of the file is escaped.

    Args:
        last_minutes: only the end; ``None``: all.
    """
    times = np.asarray(flight.times_ns, np.int64)
    first = 0
    if last_minutes is not None and len(times):
        first = int(np.searchsorted(times, times[-1] - int(last_minutes * 6e10)))
    periods, times = flight.periods[first:], times[first:]
    minutes = (times - times[0]) / 6e10 if len(times) else np.zeros(0)
    body: list[Markup] = [tag("h1", f"Flight of {flight.hello.release}"), _facts(flight, periods, times)]
    if periods:
        body.append(tag("section", tag("h2", "Hand-overs"), _hand_overs(periods, minutes)))
        body.append(tag("section", tag("h2", "Actions"), _grid(_actions(flight, periods, minutes))))
        body.append(tag("section", tag("h2", "Observations"), _grid(_observations(flight, periods, minutes))))
    return document(f"Flight · {flight.hello.release}", body)


def _facts(flight: Flight, periods: Sequence[dict[str, Any]], times: np.ndarray[Any, Any]) -> Markup:
    who = Counter(str(p.get("source")) for p in periods)
    begins = "" if not len(times) else datetime.datetime.fromtimestamp(times[0] / 1e9, datetime.timezone.utc)
    return facts(
        (
            ("release", flight.hello.release),
            ("channel", flight.hello.channel),
            ("mode", flight.hello.mode),
            ("begins", str(begins)[:19] + " UTC" if begins else ""),
            ("periods", f"{len(periods)} of {flight.hello.period_s:g} s"),
            ("who drove", ", ".join(f"{name} {count}" for name, count in who.items())),
            ("file", "closed" if flight.whole else "was not closed: it breaks off where its process ended"),
        )
    )


def _hand_overs(periods: Sequence[dict[str, Any]], minutes: Floats) -> Markup:
    rows = [
        (figure(float(at), 5), p.get("source"), p.get("cause"), p.get("text"))
        for p, at in zip(periods, minutes, strict=True)
        if p.get("handed_over") or p.get("given_back")
    ]
    return table(("minute", "drives from then on", "cause", "what was seen"), rows, numeric=(0,))


def _marks(periods: Sequence[dict[str, Any]], minutes: Floats) -> tuple[Mark, ...]:
    found = [
        Mark(float(at), str(p.get("cause") or "hold"), "mark")
        for p, at in zip(periods, minutes, strict=True)
        if p.get("handed_over")
    ]
    return tuple(found[:MOST_MARKS])


def _actions(flight: Flight, periods: Sequence[dict[str, Any]], minutes: Floats) -> list[Chart]:
    marks = _marks(periods, minutes)
    return [
        Chart(
            title=f"Action: {name}",
            unit="",
            series=[
                Series(label, kind, minutes, _column(periods, key, name))
                for label, kind, key in _WHO
            ],
            x_name="time, min",
            group="flight",
            least=0.1,
            marks=marks,
            summary=f"What policy and baseline gave for {name}, and what was applied.",
        )
        for name in flight.hello.actions
    ]  # fmt: skip


def _observations(flight: Flight, periods: Sequence[dict[str, Any]], minutes: Floats) -> list[Chart]:
    marks = _marks(periods, minutes)
    limits: dict[str, list[Limit]] = {}
    for variable, low, high, name, catastrophic in flight.hello.limits:
        for value, upper in ((low, False), (high, True)):
            if value is not None:
                limits.setdefault(str(variable), []).append(Limit(value, upper, name, catastrophic))
    names = sorted(flight.hello.observations, key=lambda name: name not in limits)
    return [
        Chart(
            title=title(name.replace("_", " ")),
            unit="",
            series=[Series(name, "c1", minutes, _column(periods, "obs", name))],
            limits=limits.get(name, []),
            x_name="time, min",
            group="flight",
            marks=marks,
            summary=f"The reading {name}.",
        )
        for name in names
    ]


def _column(periods: Sequence[dict[str, Any]], key: str, name: str) -> Floats:
    values = [(p.get(key) or {}).get(name) for p in periods]
    return np.array([np.nan if value is None else float(value) for value in values], np.float64)


def _grid(charts: list[Chart]) -> Markup:
    return tag("div", [draw(chart) for chart in charts], class_="grid2")
