"""One episode of a scenario: what the policy and the baseline did, with the limits drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

import numpy as np

from gate5.evaluation import ScenarioComparison, TrackingResult
from gate5.report.artifacts import Arrays
from gate5.report.axis import Floats
from gate5.report.chart import Chart, Limit, Series, draw
from gate5.report.html import Markup, figure, table, tag, title, unit

_WHO = (("rl", "rl"), ("baseline", "pid"), ("current", "c3"))


def trajectories(row: ScenarioComparison, arrays: Arrays, worst_seed: int | None = None) -> Markup:
    """Followed variables with their set-points, constrained variables with their limits, then the actions.

    Args:
        worst_seed: of the worst of many episodes; its curves (``worst/...``) are drawn beside the first episode's.
    """
    if "t_s" not in arrays:
        return tag("p", "Missing: the trajectories of this scenario.", class_="soft")
    first, worst = panels(row, arrays), _worst(row, arrays, worst_seed)
    charts = [chart for pair in zip_longest(first, worst) for chart in pair if chart is not None and chart.series]
    beside = f"; beside it the worst of many (seed {worst_seed}, the policy alone)" if worst else ""
    return tag(
        "div",
        tag("h3", f"The first episode (seed {row.seed}){beside}"),
        tag("div", [draw(chart) for chart in charts], class_="grid2"),
        tag("details", tag("summary", "These curves as a table"), _numbers(charts), class_="data"),
    )


def _worst(row: ScenarioComparison, arrays: Arrays, seed: int | None) -> list[Chart]:
    """The same charts of the worst episode, which the policy alone drove; none where it was not kept."""
    own = {f"rl/{name.removeprefix('worst/')}": values for name, values in arrays.items() if name.startswith("worst/")}
    if seed is None or not own:
        return []
    return [replace(chart, title=f"{chart.title}, worst seed") for chart in panels(row, {"t_s": arrays["t_s"], **own})]


def panels(row: ScenarioComparison, arrays: Arrays) -> list[Chart]:
    """The charts of one episode; a variable that the trajectories lack has one without curves."""
    minutes = np.asarray(arrays["t_s"], np.float64) / 60.0
    followed = {tracking.variable: tracking for tracking in row.rl.tracking}
    charts = []
    for name in dict.fromkeys([*followed, *(constraint.variable for constraint in row.rl.constraints)]):
        charts.append(_variable(row, arrays, minutes, name))
        if name in followed:
            charts.append(_error(row, arrays, minutes, followed[name]))
    return charts + [_action(row, arrays, minutes, index) for index in range(len(row.actions))]


def _variable(row: ScenarioComparison, arrays: Arrays, minutes: Floats, name: str) -> Chart:
    about = next((v for v in row.variables if v["name"] == name), {"title": name, "unit": ""})
    series = _pair(row, arrays, minutes, name)
    for tracking in row.rl.tracking:
        wanted = _setpoint(arrays, tracking)
        if tracking.variable == name and wanted is not None:
            series.append(Series("set-point", "set", minutes, wanted))
    limits = _limits(row, arrays, minutes, name)
    return Chart(
        title=title(about["title"]),
        unit=unit(about["unit"]),
        series=series,
        limits=limits,
        x_name="time, min",
        group=row.scenario,
        summary=f"Policy and baseline over one episode of {row.title}; the table below has lowest, highest and last.",
    )


def _error(row: ScenarioComparison, arrays: Arrays, minutes: Floats, tracking: TrackingResult) -> Chart:
    """The distance to the set-point, which a variable's own panel shows too small beside its limits."""
    about = next((v for v in row.variables if v["name"] == tracking.variable), {"title": tracking.variable})
    errors = []
    for who, kind in _WHO:
        value, wanted = (arrays.get(f"{who}/{name}") for name in (tracking.variable, tracking.setpoint))
        if value is not None and wanted is not None:
            error = np.asarray(value, np.float64) - np.asarray(wanted, np.float64)
            errors.append(Series(_label(row, who), kind, minutes, error))
    return Chart(
        title=f"{title(about['title'])}, error",
        unit=unit(tracking.unit),
        series=errors,
        x_name="time, min",
        group=row.scenario,
        summary=f"Value less set-point of policy and baseline over one episode of {row.title}.",
    )


def _setpoint(arrays: Arrays, tracking: TrackingResult) -> Floats | None:
    """The policy's set-point, and after the end of its episode the baseline's."""
    found = [np.asarray(arrays[f"{who}/{tracking.setpoint}"], np.float64) for who, _ in _WHO
             if f"{who}/{tracking.setpoint}" in arrays]  # fmt: skip
    if not found:
        return None
    return np.asarray(np.where(np.isfinite(found[0]), found[0], found[-1]), np.float64)


def _limits(row: ScenarioComparison, arrays: Arrays, minutes: Floats, variable: str) -> list[Limit]:
    limits = []
    for constraint in row.rl.constraints:
        if constraint.variable != variable or constraint.checked == 0:
            continue
        where = _stretches(arrays, minutes, getattr(constraint, "applies", None))
        for value, upper in ((constraint.low, False), (constraint.high, True)):
            if value is not None:
                limits.append(Limit(value, upper, constraint.name, constraint.catastrophic, where))
    return limits


def _stretches(arrays: Arrays, minutes: Floats, applies: str | None) -> tuple[tuple[float, float], ...] | None:
    """Where a constraint holds (for either controller), as stretches of time; ``None``: throughout."""
    flags = [np.asarray(arrays[f"{who}/{applies}"]) > 0.5 for who, _ in _WHO if f"{who}/{applies}" in arrays]
    if applies is None or not flags:
        return None
    holds = np.concatenate([[False], np.logical_or.reduce(flags), [False]])
    edges = np.flatnonzero(holds[1:] != holds[:-1])
    begins = np.concatenate([minutes[:1], minutes])  # a flag at step t holds from the end of step t - 1
    return tuple((float(begins[a]), float(minutes[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _action(row: ScenarioComparison, arrays: Arrays, minutes: Floats, index: int) -> Chart:
    return Chart(
        title=f"Action: {row.actions[index]}",
        unit="",
        series=_pair(row, arrays, minutes, f"action/{index}"),
        x_name="time, min",
        group=row.scenario,
        least=0.1,
        height=150.0,
        summary=f"Component {index} of the action that the policy and the baseline gave.",
    )


def _label(row: ScenarioComparison, who: str) -> str:
    return {"rl": "policy", "current": "current release"}.get(who, row.baseline_name or "PID")


def _pair(row: ScenarioComparison, arrays: Arrays, minutes: Floats, name: str) -> list[Series]:
    found = [(_label(row, who), kind, arrays.get(f"{who}/{name}")) for who, kind in _WHO]
    return [
        Series(label, kind, minutes, np.asarray(data, np.float64)) for label, kind, data in found if data is not None
    ]


def _numbers(charts: list[Chart]) -> Markup:
    lines = []
    for chart in charts:
        for series in chart.series:
            finite = series.y[np.isfinite(series.y)]
            lowest, highest, last = (
                (float(finite.min()), float(finite.max()), float(finite[-1])) if finite.size else (None, None, None)
            )
            numbers = [figure(value, 5, chart.unit) for value in (lowest, highest, last)]
            limits = ", ".join(f"{'≤' if limit.upper else '≥'} {figure(limit.value, 5)}" for limit in chart.limits)
            lines.append([chart.title, series.name, *numbers, limits or "–"])
    return table(("what", "who", "lowest", "highest", "last", "limits"), lines, numeric=(2, 3, 4))
