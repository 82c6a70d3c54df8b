"""The latency measurement: statistics that hold, real observations, and a record of the conditions.

No assertion depends on how fast this machine is.
"""

from __future__ import annotations

import functools
import gc
import itertools
import json
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from math import comb
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.measurement import LatencyConfig
from gate5.engine.base import EngineInfo
from gate5.errors import EngineError
from gate5.latency import benchmark as module
from gate5.latency import thread
from gate5.latency.benchmark import LatencyBenchmark
from gate5.latency.quantiles import quantile, upper_bound, upper_rank
from gate5.latency.report import LatencyReport
from gate5.latency.thread import MeasuringThread, measuring_thread

CONFIG = LatencyConfig(iterations=1000, warmup=20, blocks=4, cadence_ms=0.5, gaps_ms=(), cadence_iterations=20)


class Recorder:
    """An imitation of an engine that notes what it is given and under which conditions; it measures nothing itself."""

    def __init__(self, value: float = 0.5, spend_s: float = 0.0) -> None:
        self.info = EngineInfo("imitation", "fp32", "none", 3, 2, 8, {})
        self.batch_max, self.value, self.spend_s = 8, value, spend_s
        self.seen: list[float] = []
        self.conditions: set[tuple[bool, int]] = set()

    def infer(self, obs: Any, out: Any = None) -> Any:
        self.seen.append(float(obs[0, 0]))
        self.conditions.add((gc.isenabled(), len(os.sched_getaffinity(0))))
        if self.spend_s:
            time.sleep(self.spend_s)
        if out is not None:
            out.fill(self.value)
        return np.full((1, 2), self.value, np.float32)

    def poison(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...


OBSERVATIONS = np.arange(30, dtype=np.float32).reshape(10, 3)


def test_report() -> None:
    engine = Recorder()
    benchmark = LatencyBenchmark(engine, CONFIG)
    report = benchmark.run(OBSERVATIONS)
    assert report.samples == 1000 == len(benchmark.samples["back_to_back"])
    assert report.cadence is not None
    assert report.cadence.samples == 20 == len(benchmark.samples["gap 0.5 ms"])
    assert (benchmark.samples["back_to_back"] > 0).all()
    ordered = np.sort(benchmark.samples["back_to_back"])
    assert report.max_ms == ordered[-1]
    assert report.p99_ms == ordered[989]
    assert report.p99_upper_ms is not None
    assert report.p50_ms <= report.p95_ms <= report.p99_ms <= report.p99_upper_ms <= report.max_ms
    assert report.p999_ms <= report.max_ms
    assert len(report.blocks) == 4
    assert LatencyReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report
    assert report.metrics()["latency.p99_upper_ms"] == report.p99_upper_ms
    assert report.metrics()["latency.samples"] == 1000


def test_real_observations_in_turn() -> None:
    """The earlier benchmark timed zeros."""
    engine = Recorder()
    LatencyBenchmark(engine, CONFIG).run(OBSERVATIONS)
    assert set(engine.seen) == set(OBSERVATIONS[:, 0].tolist())


def test_too_few_samples_have_no_bound() -> None:
    """With 20 samples nothing can be said about p99: ``None``, which the gate takes as missing, never as a pass."""
    report = LatencyBenchmark(Recorder(), CONFIG).run(OBSERVATIONS)
    assert report.cadence is not None
    assert report.cadence.p99_upper_ms is None
    assert report.metrics()["latency.cadence.p99_upper_ms"] is None


def test_thread_is_pinned_and_restored() -> None:
    """One CPU and no garbage collection while measuring; afterwards all as before."""
    affinity, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    assert gc.isenabled()
    engine = Recorder()
    report = LatencyBenchmark(engine, CONFIG).run(OBSERVATIONS)
    assert engine.conditions == {(False, 1)}
    assert report.conditions["cpu"] in affinity
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0), gc.isenabled()) == (affinity, policy, True)


def test_restored_after_a_failure() -> None:
    affinity, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    with pytest.raises(RuntimeError, match="broken"), measuring_thread():
        raise RuntimeError("broken")
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0), gc.isenabled()) == (affinity, policy, True)


def test_chosen_cpu() -> None:
    last = max(os.sched_getaffinity(0))
    with measuring_thread(last) as state:
        assert os.sched_getaffinity(0) == {last}
        assert state.cpu == last


def test_the_cpu_with_the_smallest_p99_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two CPUs the one with more slow calls in a hundred is not taken, though it is the quicker one at p95."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("this process may use one CPU only")
    now: Iterator[int] = iter(())
    pinned: list[set[int]] = []
    monkeypatch.setattr(thread, "time", SimpleNamespace(perf_counter_ns=lambda: next(now), sleep=lambda _: None))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed[:2]))
    try:
        for noisy in allowed[:2]:
            now = _clock(noisy)
            pinned.clear()
            with measuring_thread(workload=lambda: pinned.append(_here())) as state:
                assert state.cpu in allowed[:2]
                assert state.cpu != noisy
                assert _here() == {state.cpu}
            assert {tuple(cpus) for cpus in pinned} == {(cpu,) for cpu in allowed[:2]}
            assert _here() == set(allowed[:2])
    finally:
        os.sched_setaffinity(0, allowed)


_here = functools.partial(os.sched_getaffinity, 0)


def _clock(noisy: int) -> Iterator[int]:
    """Nanoseconds, read before and after a call: 19 us on the noisy CPU, in 3 of 100 cases 60; 20, in 1 of 200."""
    time_ns = 0
    for number in itertools.count():
        quick, slow, each = (19_000, 60_000, 33) if _here() == {noisy} else (20_000, 60_000, 200)
        time_ns += slow if number % (2 * each) == 1 else quick
        yield time_ns


def test_a_slow_thing_is_not_tried_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of 10 ms on many CPUs would otherwise be tried for minutes before it is measured."""
    calls: list[int] = []

    def slow() -> None:
        calls.append(1)
        time.sleep(0.005)

    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    with measuring_thread(workload=slow):
        pass
    assert 0 < len(calls) < 200  # of 8,000


def test_without_the_right_to_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user on a CPU that others want: the series is taken in bursts, says so, and has every sample."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    for contended in (False, True):
        monkeypatch.setattr(module, "_CONTENDED", -1 if contended else 10**9)
        report = LatencyBenchmark(Recorder(), CONFIG).run(OBSERVATIONS)
        assert report.conditions["scheduling"] == "ordinary"
        assert (report.conditions["burst"] is not None) == contended
        assert report.samples == 1000


def test_no_rest_within_a_block_on_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that idles between inferences is slow at the next one: back to back means without a gap."""
    pauses: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(module, "_CONTENDED", 10**9)
    LatencyBenchmark(Recorder(), CONFIG.model_copy(update={"cadence_iterations": 0})).run(OBSERVATIONS)
    assert pauses.count(0.02) == CONFIG.blocks
    assert set(pauses) <= {0.02, 0.1}  # 0.1: looking for the quietest CPU, before


def test_when_the_thread_rests() -> None:
    """The kernel stops a real-time thread for 50 ms in each second that it hogs: a slow engine rests before."""
    benchmark = LatencyBenchmark(Recorder(), CONFIG)
    real_time, plain = MeasuringThread(0, "SCHED_FIFO 1"), MeasuringThread(0, "ordinary")
    assert benchmark._pace(real_time, 10_000, 100).burst is None
    slow = benchmark._pace(real_time, 10_000_000, 0)
    assert slow.burst is not None
    assert slow.burst * 0.01 / (slow.burst * 0.01 + slow.rest_s) < 0.95
    assert benchmark._pace(plain, 10_000, 0).burst is None
    assert benchmark._pace(plain, 10_000, 100).burst == 50


def test_nonfinite_actions_are_counted() -> None:
    """A fast NaN is not a fast policy."""
    assert LatencyBenchmark(Recorder(), CONFIG).run(OBSERVATIONS).nonfinite == 0
    assert LatencyBenchmark(Recorder(float("nan")), CONFIG).run(OBSERVATIONS).nonfinite == 2000


def test_every_sample_counts() -> None:
    """Disturbed samples stay in: one slow inference in the series is the maximum of the report."""
    engine = Recorder()
    plain, calls = engine.infer, iter(range(10**9))

    def sometimes_slow(obs: Any, out: Any = None) -> Any:
        if next(calls) == 600:
            time.sleep(0.05)
        return plain(obs, out)

    engine.infer = sometimes_slow  # type: ignore[method-assign]
    config = CONFIG.model_copy(update={"cpu": min(os.sched_getaffinity(0))})  # none of the calls goes into choosing one
    report = LatencyBenchmark(engine, config).run(OBSERVATIONS)
    assert report.max_ms >= 50


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((4, 2)), np.zeros(3)])
def test_observations_that_do_not_fit(bad: Any) -> None:
    with pytest.raises(EngineError, match=r"\[N, 3\]"):
        LatencyBenchmark(Recorder(), CONFIG).run(bad)


def test_rank_of_the_bound() -> None:
    """459 samples are the fewest for 99 % confidence of p99; the last number is from exact decimal sums."""
    assert upper_rank(458, 0.99, 0.99) is None
    assert upper_rank(459, 0.99, 0.99) == 459
    assert upper_rank(20_000, 0.99, 0.99) == 19_833


@given(st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.99, 0.999]), st.sampled_from([0.6, 0.9, 0.99]))
def test_rank_is_the_smallest_with_enough_confidence(n: int, q: float, confidence: float) -> None:
    """P(fewer than n - k + 1 samples above the quantile) by direct summation."""

    def coverage(k: int) -> float:
        p = Fraction(q).limit_denominator(1000)
        return 1.0 - float(sum(comb(n, j) * (1 - p) ** j * p ** (n - j) for j in range(n - k + 1)))

    rank = upper_rank(min(n, 300), q, confidence)
    n = min(n, 300)
    if rank is None:
        assert coverage(n) < confidence
        return
    assert coverage(rank) >= confidence - 1e-9
    if rank > 1:
        assert coverage(rank - 1) < confidence + 1e-9


def test_bound_covers_as_often_as_it_says() -> None:
    """On a heavy-tailed distribution the true p99 lies below the bound in about 99 of 100 measurements."""
    rng = np.random.default_rng(0)
    true = (1 - 0.99) ** (-1 / 1.5)  # Pareto, shape 1.5
    bounds = [upper_bound(np.sort(rng.pareto(1.5, 2000) + 1), 0.99, 0.99) for _ in range(400)]
    covered = sum(bound is not None and bound >= true for bound in bounds)
    assert 388 <= covered <= 400


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_quantile_is_a_sample_with_enough_below(values: list[float], q: float) -> None:
    ordered = np.sort(np.array(values))
    found = quantile(ordered, q)
    assert found in values
    assert np.mean(ordered <= found) >= q - 1e-12
    assert np.mean(ordered < found) < q
