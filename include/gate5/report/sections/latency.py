"""Latency: quantiles, the tail on logarithmic axes, the histogram, and the course of the measurement."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gate5.latency.report import LatencyReport
from gate5.report.artifacts import Arrays, Artifacts
from gate5.report.axis import Floats
from gate5.report.chart import Chart, Mark, Series, draw
from gate5.report.html import Markup, allowed, figure, fold, table, tag
from gate5.report.sections.plain import awaiting, flat_facts

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
_NAMES = {"back_to_back": "back to back"}
_ELSEWHERE = ("back_to_back", "gaps", "blocks", "looks")
_SPLIT = ("copy", "compute", "h2d", "d2h", "inference")


def section(artifacts: Artifacts) -> Markup:
    """Numbers and charts of the latency measurement."""
    report = artifacts.latency
    if report is None:
        missing = tag("p", "Missing: the stage benchmark has not run yet.", class_="soft")
        missing = missing if artifacts.awaiting is None else awaiting(artifacts.awaiting)
        return tag("section", tag("h2", "Latency"), missing, id="latency")
    metrics = report.metrics()
    sla = artifacts.config.gate.sla_p99_ms if artifacts.config else None
    series = {name: np.asarray(values, np.float64) for name, values in artifacts.samples.items() if values.ndim == 1}
    series = {name: values[np.isfinite(values) & (values > 0)] for name, values in series.items()}
    series = {name: values for name, values in series.items() if values.size}
    parts: list[object] = [
        tag("h2", "Latency"),
        tag("p", "Host to host: from the observation in host memory to the action in host memory, one observation at a "
            "time. The SLA is judged on the upper confidence bound of p99, with <.", class_="soft"),
        _quantiles(series, metrics, sla),
    ]  # fmt: skip
    if series:
        parts.append(fold("Tail, histogram and course of the series as charts", _charts(series, metrics, sla)))
    else:
        parts.append(tag("p", "Missing: the raw samples (latency.npz).", class_="soft"))
    parts.append(_looks(report))
    gaps = _gaps(report)
    if gaps is not None:
        parts.append(fold("Latency after an idle gap", gaps))
    parts += [_conditions(report), _blocks(report)]
    return tag("section", parts, id="latency")


def _quantiles(series: Arrays, metrics: dict[str, float | None], sla: float | None) -> Markup:
    rows: list[list[str]] = []
    for name, values in series.items():
        quantiles = [f"{float(np.quantile(values, q)):#.3g}" for q in QUANTILES]
        rows.append(
            [_NAMES.get(name, name.replace("_", " ")), f"{values.size:,}", *quantiles, f"{float(values.max()):#.3g}"]
        )
    header = ("series", "samples", *(f"p{100 * q:g}" for q in QUANTILES), "max")
    bound = figure(metrics.get("latency.p99_upper_ms"), 4, "ms")
    text = f"Milliseconds. Upper confidence bound of p99: {bound}; {allowed(sla, 4)}"
    return table(header, rows, numeric=range(1, 8), caption=text)


_ANSWERS = {"yes": "below the SLA", "no": "not below the SLA", "neither": "neither yes nor no"}


def _looks(report: LatencyReport) -> Markup | None:
    """Each measurement where one did not decide, with what all samples said after it."""
    if len(report.looks) < 2:
        return None
    rows = []
    for index, look in enumerate(report.looks):
        by = ", ".join(f"{name.replace('_', ' ')} {figure(value, 3)}" for name, value in look.disturbed.items())
        rows.append(
            [
                str(index + 1),
                f"{look.samples:,}",
                figure(look.p99_ms, 4),
                figure(look.max_ms, 4),
                f"{look.pooled_samples:,}",
                figure(look.pooled_p99_ms, 4),
                figure(look.pooled_p99_upper_ms, 4),
                f"{100 * look.confidence:.4g} %",
                by or "nothing that was seen",
                _ANSWERS.get(look.answer, look.answer),
            ]
        )
    header = ("measurement", "samples", "its p99", "its max", "all samples", "their p99", "upper bound", "confidence",
              "disturbed by", "answer")  # fmt: skip
    told = (
        "Milliseconds, back to back. A measurement that was disturbed or too close was made again; every sample "
        "counts, and the chance of error is shared out over the looks, so that looking again passes nothing more often."
    )
    return table(header, rows, numeric=range(8), caption=told)


def _gaps(report: LatencyReport) -> Markup | None:
    """The curve over idle gaps, and how far the largest is from the plant's own period."""
    if not report.gaps:
        return None
    rows = []
    for gap in report.gaps:
        warm = "" if gap.keep_warm_ms is None else f", an inference every {gap.keep_warm_ms:g} ms in between"
        bound = "too few samples" if gap.bounded is None else f"p{100 * gap.bounded:g} {figure(gap.bound_ms, 4)}"
        series = gap.series
        numbers = (figure(value, 4) for value in (series.p50_ms, series.p95_ms, series.p99_ms, series.max_ms))
        rows.append([f"{gap.gap_ms:g} ms{warm}", f"{series.samples:,}", *numbers, bound])
    header = ("idle gap before each", "samples", "p50", "p95", "p99", "max", "upper bound of")
    largest = report.largest_gap
    period = report.period_s
    told = "Milliseconds."
    if largest is not None and period is not None and largest.gap_ms < 1e3 * period:
        told += (
            f" The plant asks once in {period:g} s; the largest gap measured is {largest.gap_ms:g} ms, so that nothing "
            "is claimed beyond it."
        )
    inner = table(header, rows, numeric=range(1, 6), caption=told)
    idle = [gap for gap in report.gaps if gap.keep_warm_ms is None]
    if len(idle) < 2:
        return inner
    x = np.array([gap.gap_ms for gap in idle])
    curves = [
        Series(name, kind, x, np.array([getattr(gap.series, key) for gap in idle]))
        for name, kind, key in (("p50", "c1", "p50_ms"), ("p99", "c2", "p99_ms"))
    ]
    chart = Chart(
        title="Latency after an idle gap",
        unit="ms",
        series=curves,
        x_name="idle gap, ms",
        log_x=True,
        log_y=True,
        height=200.0,
        summary="Median and p99 of the latency for each idle gap; the table has the numbers.",
    )
    return tag("div", [inner, draw(chart)])


def _conditions(report: LatencyReport) -> Markup:
    about = {name: value for name, value in report.to_dict().items() if name not in _ELSEWHERE}
    return tag(
        "details", tag("summary", "How and under which conditions it was measured"), flat_facts(about), class_="data"
    )


def _blocks(report: LatencyReport) -> Markup | None:
    if not report.blocks:
        return None
    names = list(report.blocks[0])
    rows = [[str(i + 1), *(figure(block.get(name), 4) for name in names)] for i, block in enumerate(report.blocks)]
    header = ("block", *(name.replace("_", " ") for name in names))
    inner = table(header, rows, numeric=range(len(header)))
    return tag("details", tag("summary", f"The {len(rows)} blocks of the back-to-back series"), inner, class_="data")


def _charts(series: Arrays, metrics: dict[str, float | None], sla: float | None) -> Markup:
    first = "back_to_back" if "back_to_back" in series else next(iter(series))
    whole = {name: values for name, values in series.items() if not any(part in name for part in _SPLIT)} or series
    marks = [Mark(value, name, kind) for name, value, kind in (
        ("p50", metrics.get("latency.p50_ms"), "p"), ("p95", metrics.get("latency.p95_ms"), "p"),
        ("p99", metrics.get("latency.p99_ms"), "p"), ("p99 bound", metrics.get("latency.p99_upper_ms"), "bound"),
        ("SLA", sla, "sla")) if value]  # fmt: skip
    charts = [_tail(whole, marks), _histogram(series[first], marks)]
    charts += [_course(name, values) for name, values in whole.items()]
    return tag("div", [draw(chart) for chart in charts], class_="grid2")


def _tail(series: Arrays, marks: list[Mark]) -> Chart:
    curves = []
    for index, (name, values) in enumerate(series.items()):
        ordered = np.sort(values)
        share = 1.0 - np.arange(ordered.size) / ordered.size
        kept = np.unique(np.round(ordered.size - np.geomspace(1, ordered.size, 240)).astype(int))
        curves.append(Series(_NAMES.get(name, name), f"c{index % 6 + 1}", ordered[kept], share[kept]))
    return Chart(
        title="Share of inferences that take at least so long",
        unit="",
        series=curves,
        x_name="latency, ms",
        marks=marks,
        log_x=True,
        log_y=True,
        height=270.0,
        summary="Falls from 1 at the fastest to one sample at the slowest; the table above has the quantiles.",
    )


def _histogram(values: Floats, marks: list[Mark]) -> Chart:
    edges = np.geomspace(values.min() * 0.999, max(values.max(), values.min() * 1.01) * 1.001, 81)
    counts = np.histogram(values, edges)[0]
    x = np.repeat(edges, 2)[1:-1]
    y = np.repeat(counts.astype(np.float64), 2)
    return Chart(
        title="Histogram, back to back",
        unit="samples",
        series=[Series("samples", "c1", x, y)],
        x_name="latency, ms",
        marks=[mark for mark in marks if mark.kind == "sla" or mark.name in ("p50", "p99 bound")],
        log_x=True,
        height=270.0,
        summary="Number of inferences in each of 80 logarithmic classes of latency.",
    )


def _course(name: str, values: Floats) -> Chart:
    count = min(200, values.size)
    edges = np.linspace(0, values.size, count + 1).astype(int)
    parts = [values[a:b] for a, b in pairwise(edges)]
    at = edges[1:].astype(np.float64)
    return Chart(
        title=f"Course of the series {_NAMES.get(name, name)}",
        unit="ms",
        series=[
            Series("largest", "c2", at, np.array([part.max() for part in parts])),
            Series("median", "c1", at, np.array([np.median(part) for part in parts])),
        ],
        x_name="inference",
        log_y=True,
        height=200.0,
        summary=f"Largest and median latency of {count} successive stretches of the series.",
    )
