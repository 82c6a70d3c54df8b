"""``LatencyBenchmark``: how long an inference takes, host to host, one real observation at a time.

*Back to back*: inferences follow each other; the SLA is judged on the upper confidence bound of its p99. *With idle
gaps* before each, as at the plant (see ``gaps``). Every sample counts, those that other processes disturbed too; what
disturbed them is recorded beside.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gate5.config.measurement import LatencyConfig
from gate5.errors import EngineError
from gate5.latency import gaps as idle_gaps
from gate5.latency.quantiles import quantile
from gate5.latency.report import LatencyReport
from gate5.latency.series import Series
from gate5.latency.thread import Counters, MeasuringThread, measuring_thread, ordinary_scheduling
from gate5.provenance import machine

if TYPE_CHECKING:
    from gate5.engine.base import Engine

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_BURST_NS = 500_000
_BURST_WARMUP = 20
_CONTENDED = 2
_PAUSE_S = 0.02
_REAL_TIME_LIMIT_NS = 400_000_000
_SPLITS = 500


@dataclass(frozen=True)
class Pace:
    """After ``burst`` inferences the thread rests for ``rest_s``; ``burst`` ``None``: never within a block."""

    burst: int | None
    rest_s: float = 0.0


class LatencyBenchmark:
    """Times an engine in the thread that calls ``run``.

    Attributes:
        samples: after ``run``, milliseconds per inference: ``back_to_back`` and one series for each gap.
    """

    def __init__(self, engine: Engine, config: LatencyConfig, *, period_s: float | None = None) -> None:
        """See the class.

        Args:
            engine: what is timed.
            config: how often, and after which gaps.
            period_s: the plant's control period in seconds, which is the largest gap if the configuration affords it.
        """
        self.engine, self.config, self.period_s = engine, config, period_s
        self.samples: dict[str, NDArray[np.float64]] = {}

    def run(self, observations: Float32) -> LatencyReport:
        """Measure.

        Args:
            observations: real observations, float32 ``[N, obs_dim]``, N >= 1; used in turn.

        Raises:
            EngineError: the observations do not fit, or the engine failed.
        """
        rows = _rows(observations, self.engine.info.obs_dim)
        state = getattr(self.engine, "device_state", None)
        before = state() if state else None
        with measuring_thread(self.config.cpu, lambda: self.engine.infer(rows[0])) as thread:
            start = Counters.now(thread.cpu)
            typical = self._warm_up(rows)
            switches = Counters.now(thread.cpu).involuntary - start.involuntary
            pace = self._pace(thread, typical, switches)
            back_to_back, blocks, actions = self._back_to_back(rows, thread, pace)
            middle = Counters.now(thread.cpu)
            gaps, idle = idle_gaps.plan(self.config, self.period_s), list[Int64]()
            for gap in gaps:
                idle.append(idle_gaps.measure(self.engine.infer, rows, self.engine.info.act_dim, gap))
            end = Counters.now(thread.cpu)
            timer_ms = _timer_ns() / 1e6
        split = self._split(rows)
        self.samples = {"back_to_back": back_to_back / 1e6}
        self.samples |= {gap.name: spent / 1e6 for gap, spent in zip(gaps, idle, strict=True)}
        confidence = self.config.confidence
        return LatencyReport(
            back_to_back=Series.of(back_to_back, confidence),
            gaps=tuple(idle_gaps.GapSeries.of(gap, spent, confidence) for gap, spent in zip(gaps, idle, strict=True)),
            period_s=self.period_s,
            confidence=confidence,
            blocks=tuple(blocks),
            split=split,
            nonfinite=int(np.count_nonzero(~np.isfinite(actions))),
            timer_ms=timer_ms,
            conditions={
                "cpu": thread.cpu,
                "scheduling": thread.scheduling,
                "garbage_collector": "off",
                "warmup": self.config.warmup,
                "burst": pace.burst,
                "rest_ms": 1e3 * pace.rest_s,
                "back_to_back": start.until(middle),
                "gaps": middle.until(end),
            },
            device_before=before,
            device_after=state() if state else None,
            engine=self.engine.info.to_dict(),
            machine=machine(),
        )

    def _warm_up(self, rows: list[Float32]) -> int:
        """Run without keeping the times; returns what an inference costs in nanoseconds (median)."""
        infer, clock = self.engine.infer, time.perf_counter_ns
        spent = []
        for index in range(max(self.config.warmup, 20)):
            begin = clock()
            infer(rows[index % len(rows)])
            spent.append(clock() - begin)
        return max(int(np.median(spent)), 1)

    def _pace(self, thread: MeasuringThread, typical_ns: int, switches: int) -> Pace:
        """When to rest within a block.

        A GPU that idles is slow at the next inference, so the rule is: never. There are two exceptions. A real-time
        thread that hogs its CPU is stopped by the kernel for 50 ms of every second, so it rests by itself before. And
        where other processes were seen to take the CPU of an ordinary thread during the warm-up, it rests often: a
        process that does is seldom interrupted while it runs; one that never does is, every few milliseconds.
        """
        if thread.preemptible:
            return Pace(max(_BURST_NS // typical_ns, 10), 0.001) if switches > _CONTENDED else Pace(None)
        burst = max(_REAL_TIME_LIMIT_NS // typical_ns, 1)
        return Pace(burst, 0.05) if burst < self.config.iterations // self.config.blocks else Pace(None)

    def _back_to_back(
        self, rows: list[Float32], thread: MeasuringThread, pace: Pace
    ) -> tuple[Int64, list[dict[str, float]], Float32]:
        total, count = self.config.iterations, self.config.blocks
        spent = np.zeros(total, np.int64)
        actions = np.full((total, self.engine.info.act_dim), np.nan, np.float32)
        outs = [actions[index : index + 1] for index in range(total)]
        edges = np.linspace(0, total, count + 1).astype(int).tolist()
        blocks = []
        for first, last in itertools.pairwise(edges):
            with ordinary_scheduling(thread):
                time.sleep(_PAUSE_S)
            begin = Counters.now(thread.cpu)
            step = pace.burst or max(last - first, 1)
            for start in range(first, last, step):
                if start > first:
                    time.sleep(pace.rest_s)
                self._time(rows, outs, spent, start, min(start + step, last))
            ordered = np.sort(spent[first:last]) / 1e6
            blocks.append(
                {
                    "p50_ms": quantile(ordered, 0.5),
                    "p99_ms": quantile(ordered, 0.99),
                    "max_ms": float(ordered[-1]),
                    "involuntary_switches": float(Counters.now(thread.cpu).involuntary - begin.involuntary),
                }
            )
        return spent, blocks, actions

    def _time(self, rows: list[Float32], outs: list[Float32], spent: Int64, start: int, stop: int) -> None:
        infer, clock, many = self.engine.infer, time.perf_counter_ns, len(rows)
        for index in range(_BURST_WARMUP):
            infer(rows[index % many], outs[start])
        for index in range(start, stop):
            row, out = rows[index % many], outs[index]
            begin = clock()
            infer(row, out)
            spent[index] = clock() - begin

    def _split(self, rows: list[Float32]) -> dict[str, float] | None:
        measure = getattr(self.engine, "split", None)
        if measure is None:
            return None
        parts: list[dict[str, float]] = [measure(rows[index % len(rows)]) for index in range(_SPLITS)]
        return {name: float(np.median([part[name] for part in parts])) for name in parts[0]}


def _rows(observations: Float32, obs_dim: int) -> list[Float32]:
    array = np.ascontiguousarray(observations, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != obs_dim or len(array) == 0:
        raise EngineError(
            f"The observations to time have the shape {array.shape}; the engine takes [N, {obs_dim}], N >= 1."
        )
    return [array[index : index + 1] for index in range(len(array))]


def _timer_ns() -> float:
    clock = time.perf_counter_ns
    return float(np.median([-(clock() - clock()) for _ in range(1000)]))
