"""Idle gaps: which are measured, what their samples can bound, and that the gap really passes."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from gate5.config.measurement import LatencyConfig
from gate5.config.models import ReleaseConfig
from gate5.engine.base import EngineInfo
from gate5.errors import ConfigError
from gate5.latency.benchmark import LatencyBenchmark
from gate5.latency.gaps import Gap, GapSeries, measure, plan
from gate5.latency.report import LatencyReport

ROWS = [np.full((1, 3), index, np.float32) for index in range(4)]


class Sluggish:
    """An imitation of an engine that is slow after an idle time, as a GPU is whose clocks have fallen."""

    def __init__(self, idle_s: float = 0.003, slow_s: float = 0.002) -> None:
        self.info = EngineInfo("imitation", "fp32", "none", 3, 2, 8, {})
        self.idle_s, self.slow_s, self.last, self.calls = idle_s, slow_s, 0.0, 0

    def infer(self, obs: Any, out: Any = None) -> Any:
        if time.perf_counter() - self.last > self.idle_s:
            time.sleep(self.slow_s)
        self.calls += 1
        self.last = time.perf_counter()
        return np.zeros((1, 2), np.float32)


@pytest.mark.parametrize(
    ("config", "period_s", "expected"),
    [
        ({}, 5.0, [(1.0, 1000), (5.0, 1000), (20.0, 500)]),  # the cap, not the plant's 5 s
        ({"cadence_cap_ms": 5000, "cadence_seconds": 300}, 5.0, [(1.0, 1000), (5.0, 1000), (5000.0, 60)]),
        ({}, 0.01, [(1.0, 1000), (5.0, 1000), (10.0, 1000)]),  # the plant's own period
        ({}, 0.001, [(1.0, 1000)]),
        ({}, None, [(1.0, 1000), (5.0, 1000), (20.0, 500)]),
        ({"cadence_ms": 0.5}, 5.0, [(0.5, 1000)]),  # what is asked for is what is measured
        ({"gaps_ms": (3, 3, 2)}, 0.004, [(2.0, 1000), (3.0, 1000), (4.0, 1000)]),
        ({"cadence_iterations": 0}, 5.0, []),
        ({"cadence_seconds": 0.001}, 5.0, [(1.0, 1), (5.0, 1), (20.0, 1)]),  # never none at all
    ],
)
def test_the_largest_gap_is_the_plants_period_or_what_a_run_affords(
    config: dict[str, Any], period_s: float | None, expected: list[tuple[float, int]]
) -> None:
    assert [(gap.gap_ms, gap.samples) for gap in plan(LatencyConfig(**config), period_s)] == expected


def test_keeping_warm_is_measured_beside_the_idle_gap_and_never_judged() -> None:
    gaps = plan(LatencyConfig(keep_warm_ms=1.0), 5.0)
    assert [gap.keep_warm_ms for gap in gaps] == [None, None, None, 1.0]
    assert gaps[-1].gap_ms == gaps[-2].gap_ms
    assert not [gap for gap in plan(LatencyConfig(keep_warm_ms=50.0), 5.0) if gap.keep_warm_ms]


@pytest.mark.parametrize(
    ("samples", "bounded"), [(459, 0.99), (458, 0.95), (90, 0.95), (89, 0.9), (44, 0.9), (43, None)]
)
def test_few_samples_bound_a_lower_quantile(samples: int, bounded: float | None) -> None:
    """David and Nagaraja: n samples bound the q-quantile with confidence c where q**n <= 1 - c."""
    found = GapSeries.of(Gap(1.0, samples), np.arange(1, samples + 1) * 1_000_000, 0.99)
    assert found.bounded == bounded
    assert found.bound_ms == (None if bounded is None else found.bound_ms)
    if bounded is not None:
        assert bounded**samples <= 0.01
        assert found.bound_ms is not None
        assert found.bound_ms >= found.series.p50_ms


def test_the_gap_passes_before_each_inference() -> None:
    """An engine that is slow after 3 ms of idling shows it after a gap of 6 ms and not after one of 1 ms."""
    engine = Sluggish()
    slow = measure(engine.infer, ROWS, 2, Gap(6.0, 10))
    engine.last = time.perf_counter()
    quick = measure(engine.infer, ROWS, 2, Gap(0.2, 50))
    assert min(slow) > 1.5e6, "no gap was shorter"
    assert min(quick) < 1.5e6, "a busy machine makes gaps longer, but not all of them"


def test_what_keeps_it_warm_is_run_and_not_timed() -> None:
    engine = Sluggish(idle_s=0.5)
    spent = measure(engine.infer, ROWS, 2, Gap(10.0, 5, keep_warm_ms=1.0))
    assert len(spent) == 5
    assert engine.calls > 5 + 5, "some inferences lie in each gap"


def test_the_report_is_judged_at_the_largest_gap() -> None:
    config = LatencyConfig(iterations=1000, warmup=0, gaps_ms=(0.2,), cadence_iterations=20, keep_warm_ms=0.3)
    benchmark = LatencyBenchmark(Sluggish(), config, period_s=0.005)  # type: ignore[arg-type]
    report = benchmark.run(np.zeros((4, 3), np.float32))
    assert [(gap.gap_ms, gap.keep_warm_ms) for gap in report.gaps] == [(0.2, None), (5.0, None), (5.0, 0.3)]
    assert report.cadence is report.gaps[1].series
    assert report.metrics()["latency.cadence.gap_ms"] == 5.0
    assert report.metrics()["latency.cadence.p99_ms"] == report.gaps[1].series.p99_ms
    assert report.period_s == 0.005
    assert set(benchmark.samples) == {"back_to_back", "gap 0.2 ms", "gap 5 ms", "gap 5 ms warmed every 0.3 ms"}
    assert LatencyReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report


@pytest.mark.parametrize("section", [{"gaps_ms": [0]}, {"gaps_ms": [-1]}, {"cadence_ms": 0}, {"keep_warm_ms": -1}])
def test_a_gap_that_is_none_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"latency\."):
        ReleaseConfig.parse({"latency": section})
