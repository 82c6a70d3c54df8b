"""Inconclusive is not broken: measured again, all samples kept, and no more wrong passes than the confidence says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.io.spending import confidences
from gate5.latency.gaps import Gap, GapSeries
from gate5.latency.quantiles import lower_bound, upper_bound
from gate5.latency.repeat import Limit, Measurement, disturbed, measure_until
from gate5.latency.report import LatencyReport
from gate5.latency.series import Series

SLA = [Limit(cadence=False, sla_ms=1.0)]
SWITCHES = {"back_to_back": {"involuntary_switches": 7, "steal_fraction": None}, "gaps": {}}


def measured(
    milliseconds: Any, conditions: dict[str, Any] | None = None, gap: Any = None, blocks_p99: float = 9.0
) -> Measurement:
    """A measurement as the benchmark gives it."""
    samples = {"back_to_back": np.asarray(milliseconds, np.float64)}
    gaps = []
    if gap is not None:
        about = Gap(20.0, len(gap))
        samples[about.name] = np.asarray(gap, np.float64)
        gaps.append(GapSeries.of(about, (samples[about.name] * 1e6).astype(np.int64), 0.99))
    return LatencyReport(
        back_to_back=Series.of((samples["back_to_back"] * 1e6).astype(np.int64), 0.99), gaps=tuple(gaps),
        period_s=None, confidence=0.99, blocks=({"p99_ms": blocks_p99},), split=None, nonfinite=1, timer_ms=0.0,
        conditions=conditions or {}, device_before=None, device_after=None, engine={}, machine={},
    ), samples  # fmt: skip


def of(*parts: Measurement) -> Callable[[], Measurement]:
    turns = iter(parts)
    return lambda: next(turns)


def tail(share: float, n: int = 10_000) -> Any:
    """0.5 ms, but for this share of the samples 2 ms."""
    values = np.full(n, 0.5)
    values[: round(share * n)] = 2.0
    return values


def answers(report: LatencyReport) -> list[str]:
    return [look.answer for look in report.looks]


def test_a_clear_answer_is_taken_at_once() -> None:
    report, _ = measure_until(of(measured(tail(0.001))), SLA, 0.99, 3)
    assert answers(report) == ["yes"]
    report, _ = measure_until(of(measured(tail(0.05))), SLA, 0.99, 3)
    assert answers(report) == ["no"], "not disturbed, and p99 itself lies above"


def test_what_straddles_is_measured_again_and_every_sample_counts() -> None:
    parts = [measured(tail(0.0099)), measured(tail(0.001)), measured(tail(0.0))]
    report, samples = measure_until(of(*parts), SLA, 0.99, 3)
    assert answers(report) == ["neither", "yes"]
    assert (report.samples, report.nonfinite, len(report.blocks)) == (20_000, 2, 2)
    np.testing.assert_array_equal(samples["back_to_back"], np.concatenate([tail(0.0099), tail(0.001)]))
    assert [look.samples for look in report.looks] == [10_000, 10_000]
    assert [look.pooled_samples for look in report.looks] == [10_000, 20_000]


def test_a_bad_measurement_is_diluted_and_never_forgotten() -> None:
    """One of three had 5 % beyond the SLA: two perfect ones after it do not bring the whole below it."""
    parts = [measured(tail(0.05), SWITCHES, blocks_p99=0.5), measured(tail(0.0)), measured(tail(0.0))]
    report, _ = measure_until(of(*parts), SLA, 0.99, 3)
    assert answers(report) == ["neither", "no"]
    assert report.p99_upper_ms == 2.0


def test_a_disturbed_measurement_is_made_again() -> None:
    parts = [measured(tail(0.02), SWITCHES, blocks_p99=0.5), measured(tail(0.0)), measured(tail(0.0))]
    report, _ = measure_until(of(*parts), SLA, 0.99, 3)
    assert answers(report) == ["neither", "neither", "yes"]
    assert report.looks[0].disturbed == {"back_to_back.involuntary_switches": 7.0}
    assert "measured 3 times, all 30,000 samples together, 7 times" in report.notes()["latency.p99_upper_ms"]


def test_interference_explains_nothing_where_undisturbed_blocks_are_too_slow_themselves() -> None:
    report, _ = measure_until(of(measured(tail(0.05), SWITCHES, blocks_p99=2.0)), SLA, 0.99, 3)
    assert answers(report) == ["no"]


def test_after_the_last_look_neither_is_a_number_that_fails() -> None:
    report, _ = measure_until(of(*[measured(tail(0.0099))] * 3), SLA, 0.99, 3)
    assert answers(report) == ["neither"] * 3
    assert report.p99_upper_ms is not None
    assert report.p99_upper_ms >= 1.0


def test_the_idle_gap_is_looked_at_where_a_rule_asks() -> None:
    fast, slow = measured(tail(0.0), gap=tail(0.0, 500)), measured(tail(0.0), gap=tail(0.01, 500))
    limits = [*SLA, Limit(cadence=True, sla_ms=1.0)]
    report, samples = measure_until(of(fast), limits, 0.99, 3)
    assert answers(report) == ["yes"], "500 samples are enough for the first look"
    report, samples = measure_until(of(slow, *[fast] * 3), limits, 0.99, 4)
    assert answers(report)[:2] == ["neither", "neither"]
    assert report.cadence is not None
    assert report.cadence.samples == len(samples["gap 20 ms"]) == 500 * len(report.looks)


@given(confidence=st.floats(0.6, 0.999), looks=st.integers(1, 9))
def test_the_chance_of_error_is_spent_and_no_more(confidence: float, looks: int) -> None:
    spent = [1.0 - level for level in confidences(confidence, looks)]
    assert len(spent) == looks
    assert sum(spent) == pytest.approx(1.0 - confidence)
    assert min(spent) > 0


@pytest.mark.parametrize("share", [0.01, 0.0101, 0.012])
def test_a_latency_at_or_above_the_sla_passes_no_more_often_than_alpha(share: float) -> None:
    """Repeated 1,200 times with alpha 0.1; the other way, each repetition by itself until one passes, is caught."""
    rng, alpha, n, times = np.random.default_rng(1), 0.1, 1000, 1200
    passed = alone = 0
    for _ in range(times):
        drawn = [np.where(rng.random(n) < share, 1.5, 0.5) for _ in range(3)]
        report, _ = measure_until(
            of(*(measured(part, SWITCHES, blocks_p99=0.5) for part in drawn)), SLA, 1.0 - alpha, 3
        )
        passed += report.p99_upper_ms is not None and report.p99_upper_ms < 1.0
        bounds = [upper_bound(np.sort(part), 0.99, 1.0 - alpha) for part in drawn]
        alone += any(bound is not None and bound < 1.0 for bound in bounds)
    error = 3.0 * np.sqrt(alpha * (1 - alpha) / times)
    assert passed / times <= alpha + error
    if share == 0.01:
        assert alone / times > alpha + 2 * error, "the simulation sees what picking would do"


def test_the_lower_bound_covers() -> None:
    rng, q, level, times = np.random.default_rng(2), 0.9, 0.95, 2000
    above = 0
    for _ in range(times):
        bound = lower_bound(np.sort(rng.random(200)), q, level)
        assert bound is not None
        above += bound > q
    assert above / times <= 1 - level + 3 * np.sqrt(level * (1 - level) / times)
    assert lower_bound(np.arange(3.0), 0.01, 0.99) is None


def test_what_disturbs_is_what_the_kernel_counted() -> None:
    assert disturbed(measured(tail(0.0))[0]) == {}
    stolen = {"back_to_back": {"involuntary_switches": 0, "steal_fraction": 0.02}, "gaps": {"steal_fraction": None}}
    assert disturbed(measured(tail(0.0), stolen)[0]) == {"back_to_back.steal_fraction": 0.02}
