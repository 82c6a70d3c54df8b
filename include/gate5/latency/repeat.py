"""A latency that says neither yes nor no is measured again; all samples count, and none is picked.

Repeating until a bound passes would pass a latency above the SLA more often than its confidence says. Here every
measurement's samples are pooled with those before, and the chance of error is spent: the first look at the samples has
three quarters of it, the others share the rest. By the union bound the chance that *any* look passes a latency that is
not below the SLA is then no more than the whole, whatever made one look again (alpha spending, Lan and DeMets 1983,
with the sum of the parts in place of their joint distribution).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gate5.config.gate import GateConfig
from gate5.io.spending import confidences
from gate5.latency.gaps import Gap, GapSeries
from gate5.latency.quantiles import lower_bound
from gate5.latency.report import LatencyReport, Look
from gate5.latency.series import Series

Samples = Mapping[str, NDArray[np.float64]]
#: One measurement: its report, and its samples in milliseconds by the name of their series.
Measurement = tuple[LatencyReport, Samples]
Answer = Literal["yes", "no", "neither"]


@dataclass(frozen=True)
class Limit:
    """What a veto rule asks of a bound of p99.

    Attributes:
        cadence: of the largest idle gap; else back to back.
        sla_ms: the bound must be below it.
    """

    cadence: bool
    sla_ms: float


def limits(gate: GateConfig) -> list[Limit]:
    """What the rules that have a veto, or may have one, ask of the latency."""
    asked = {"latency.p99_upper_ms": False, "latency.cadence.p99_upper_ms": True}
    return [
        Limit(asked[rule.metric], gate.sla_p99_ms if isinstance(rule.threshold, str) else rule.threshold)
        for rule in gate.rules
        if rule.metric in asked and rule.op in ("<", "<=") and rule.veto is not False
    ]


def measure(run: Callable[[], Measurement], confidence: float, gate: GateConfig) -> Measurement:
    """Measure until every rule on the latency that has a veto has its answer, at most ``gate.repeat`` times.

    Args:
        run: makes one measurement.
        confidence: of all looks together.

    Returns:
        As ``measure_until``.
    """
    return measure_until(run, limits(gate), confidence, gate.repeat)


def measure_until(
    run: Callable[[], Measurement], limits: Sequence[Limit], confidence: float, looks: int
) -> Measurement:
    """Measure until every limit has its answer, at most ``looks`` times.

    Args:
        run: makes one measurement.
        limits: what is asked; none: one measurement is made.
        confidence: of all looks together.
        looks: the most measurements.

    Returns:
        A report of all samples together, with every look, and those samples.
    """
    parts: list[Measurement] = []
    seen: list[Look] = []
    for level in confidences(confidence, looks):
        parts.append(run())
        report, samples = _pooled(parts, level)
        answers = [_answer(report, samples, limit, level, parts[-1][0]) for limit in limits]
        last = len(parts) == looks or "neither" not in answers
        answer: Answer = "neither" if "neither" in answers else "no" if "no" in answers else "yes"
        seen.append(_look(parts[-1][0], report, level, answer))
        if last:
            break
    return replace(report, looks=tuple(seen)), samples


def _pooled(parts: Sequence[Measurement], confidence: float) -> Measurement:
    """All samples so far as one measurement; conditions are those of the last, counts the sums."""
    report = parts[-1][0]
    samples = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[-1][1]}
    gaps = []
    for gap in report.gaps:
        about = Gap(gap.gap_ms, gap.series.samples, gap.keep_warm_ms)
        gaps.append(GapSeries.of(about, _nanoseconds(samples[about.name]), confidence))
    return replace(
        report,
        back_to_back=Series.of(_nanoseconds(samples["back_to_back"]), confidence),
        gaps=tuple(gaps),
        confidence=confidence,
        blocks=tuple(block for part, _ in parts for block in part.blocks),
        nonfinite=sum(part.nonfinite for part, _ in parts),
        device_before=parts[0][0].device_before,
    ), samples


def _nanoseconds(milliseconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(milliseconds * 1e6).astype(np.int64)


def _answer(report: LatencyReport, samples: Samples, limit: Limit, confidence: float, last: LatencyReport) -> Answer:
    """What all samples so far say of one limit.

    "No" is said where p99 itself lies above it with confidence and no interference explains that: blocks that were not
    disturbed show what the engine does.
    """
    series = report.cadence if limit.cadence else report.back_to_back
    if series is None:
        return "no"  # it is not measured, however often
    if series.p99_upper_ms is not None and series.p99_upper_ms < limit.sla_ms:
        return "yes"
    gap = report.largest_gap
    name = "back_to_back" if not limit.cadence or gap is None else Gap(gap.gap_ms, 0, gap.keep_warm_ms).name
    low = lower_bound(np.sort(samples[name]), 0.99, confidence)
    if low is None or low < limit.sla_ms:
        return "neither"
    explained = bool(disturbed(last)) and (limit.cadence or report.block_p99_median_ms < limit.sla_ms)
    return "neither" if explained else "no"


def disturbed(report: LatencyReport) -> dict[str, float]:
    """What interfered with a measurement, as far as the kernel counts it; empty: nothing."""
    found: dict[str, float] = {}
    for part in ("back_to_back", "gaps"):
        counted: Any = report.conditions.get(part) or {}
        for name in ("involuntary_switches", "steal_fraction"):
            value = float(counted.get(name) or 0.0)
            if value > 0.0:
                found[f"{part}.{name}"] = value
    return found


def _look(own: LatencyReport, pooled: LatencyReport, confidence: float, answer: Answer) -> Look:
    return Look(
        samples=own.samples,
        p99_ms=own.p99_ms,
        max_ms=own.max_ms,
        pooled_samples=pooled.samples,
        pooled_p99_ms=pooled.p99_ms,
        pooled_p99_upper_ms=pooled.p99_upper_ms,
        confidence=confidence,
        disturbed=disturbed(own),
        answer=answer,
    )
