"""``LatencyBenchmark``: how long an inference takes, host to host, one real observation at a time.

Two series. *Back to back*: inferences follow each other; the SLA is judged on the upper confidence bound of its p99.
*Cadence*: an idle gap before each, as at the plant, because caches and clocks cool down in it. Every sample counts,
those that other processes disturbed too; what disturbed them is recorded beside.
"""

from __future__ import annotations

import itertools
import os
import platform
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5._quantiles import quantile, upper_bound
from gate5._quiet import Counters, Quiet, ordinary, quiet
from gate5.config import LatencyConfig
from gate5.errors import EngineError

if TYPE_CHECKING:
    from gate5.engine.base import Engine

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_BURST_NS = 500_000
_BURST_WARMUP = 3
_PAUSE_S = 0.02
_REAL_TIME_LIMIT_NS = 400_000_000
_SPLITS = 500


@dataclass(frozen=True)
class Series:
    """Quantiles of one series, in milliseconds; ``p99_upper_ms`` is ``None`` where there are too few samples."""

    samples: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    p99_upper_ms: float | None

    @classmethod
    def of(cls, nanoseconds: Int64, confidence: float) -> Series:
        ordered = np.sort(nanoseconds) / 1e6
        p50, p95, p99, p999 = (quantile(ordered, q) for q in (0.50, 0.95, 0.99, 0.999))
        return cls(
            samples=len(ordered),
            mean_ms=float(ordered.mean()),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            p999_ms=p999,
            max_ms=float(ordered[-1]),
            p99_upper_ms=upper_bound(ordered, 0.99, confidence),
        )


@dataclass(frozen=True)
class LatencyReport:
    """What was measured and under which conditions.

    Attributes:
        back_to_back, cadence: the two series; ``cadence`` is ``None`` where it was switched off.
        confidence: of ``p99_upper_ms`` (distribution-free, from the order statistics).
        cadence_ms: the idle gap of the second series.
        blocks: p50, p99, max and involuntary context switches of each block of the first series.
        split: median copy-in, compute and copy-out in milliseconds; ``None`` where the engine does not say.
        nonfinite: actions of the timed runs that were NaN or infinite.
        timer_ms: what reading the clock costs; it is not subtracted.
        conditions: CPU, scheduling, bursts, interference during both series.
        device_before, device_after: clocks, temperature, power of the device; read outside of the timing.
        engine, machine: what ran, on what.
    """

    back_to_back: Series
    cadence: Series | None
    confidence: float
    cadence_ms: float
    blocks: tuple[dict[str, float], ...]
    split: dict[str, float] | None
    nonfinite: int
    timer_ms: float
    conditions: dict[str, Any]
    device_before: dict[str, Any] | None
    device_after: dict[str, Any] | None
    engine: dict[str, Any]
    machine: dict[str, Any]

    @property
    def samples(self) -> int:
        return self.back_to_back.samples

    @property
    def p50_ms(self) -> float:
        return self.back_to_back.p50_ms

    @property
    def p95_ms(self) -> float:
        return self.back_to_back.p95_ms

    @property
    def p99_ms(self) -> float:
        return self.back_to_back.p99_ms

    @property
    def p999_ms(self) -> float:
        return self.back_to_back.p999_ms

    @property
    def max_ms(self) -> float:
        return self.back_to_back.max_ms

    @property
    def p99_upper_ms(self) -> float | None:
        return self.back_to_back.p99_upper_ms

    @property
    def block_p99_median_ms(self) -> float:
        """The median of the blocks' p99: far below ``p99_ms`` means that a few blocks were disturbed."""
        return float(np.median([block["p99_ms"] for block in self.blocks]))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "blocks": list(self.blocks)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LatencyReport:
        cadence = data["cadence"]
        return cls(
            **{
                **data,
                "back_to_back": Series(**data["back_to_back"]),
                "cadence": None if cadence is None else Series(**cadence),
                "blocks": tuple(data["blocks"]),
            }
        )

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for Gate 5."""
        metrics: dict[str, float | None] = {
            f"latency.{name}": value for name, value in asdict(self.back_to_back).items()
        }
        if self.cadence is not None:
            metrics |= {f"latency.cadence.{name}": value for name, value in asdict(self.cadence).items()}
        metrics["latency.block_p99_median_ms"] = self.block_p99_median_ms
        metrics["latency.nonfinite"] = float(self.nonfinite)
        return {name: None if value is None else float(value) for name, value in metrics.items()}


class LatencyBenchmark:
    """Times an engine in the thread that calls ``run``.

    Attributes:
        samples: after ``run``, milliseconds per inference: ``back_to_back`` and ``cadence``.
    """

    def __init__(self, engine: Engine, config: LatencyConfig) -> None:
        self.engine, self.config = engine, config
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
        with quiet(self.config.cpu) as thread:
            start = Counters.now(thread.cpu)
            pace, estimate = self._warm_up(rows)
            thread = self._affordable(thread, estimate)
            back_to_back, blocks, actions = self._back_to_back(rows, thread, pace)
            middle = Counters.now(thread.cpu)
            cadence = self._cadence(rows)
            end = Counters.now(thread.cpu)
            timer_ms = _timer_ns() / 1e6
        split = self._split(rows)
        self.samples = {"back_to_back": back_to_back / 1e6, "cadence": cadence / 1e6}
        confidence = self.config.confidence
        return LatencyReport(
            back_to_back=Series.of(back_to_back, confidence),
            cadence=Series.of(cadence, confidence) if len(cadence) else None,
            confidence=confidence,
            cadence_ms=self.config.cadence_ms,
            blocks=tuple(blocks),
            split=split,
            nonfinite=int(np.count_nonzero(~np.isfinite(actions))),
            timer_ms=timer_ms,
            conditions={
                "cpu": thread.cpu,
                "scheduling": thread.scheduling,
                "garbage_collector": "off",
                "warmup": self.config.warmup,
                "burst": pace if thread.preemptible else None,
                "back_to_back": start.until(middle),
                "cadence": middle.until(end),
            },
            device_before=before,
            device_after=state() if state else None,
            engine=self.engine.info.to_dict(),
            machine=machine(),
        )

    def _warm_up(self, rows: list[Float32]) -> tuple[int, int]:
        """Run untimed; returns how many inferences make a burst, and what one costs in nanoseconds (median)."""
        infer, clock = self.engine.infer, time.perf_counter_ns
        spent = []
        for index in range(max(self.config.warmup, 20)):
            begin = clock()
            infer(rows[index % len(rows)])
            spent.append(clock() - begin)
        typical = max(int(np.median(spent)), 1)
        return max(_BURST_NS // typical, 10), typical

    def _affordable(self, thread: Quiet, typical_ns: int) -> Quiet:
        """Keep real-time scheduling only for blocks so short that the kernel does not have to interrupt them."""
        block = self.config.iterations / self.config.blocks * typical_ns
        if thread.preemptible or block < _REAL_TIME_LIMIT_NS:
            return thread
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return Quiet(thread.cpu, "ordinary")

    def _back_to_back(
        self, rows: list[Float32], thread: Quiet, burst: int
    ) -> tuple[Int64, list[dict[str, float]], Float32]:
        total, count = self.config.iterations, self.config.blocks
        spent = np.zeros(total, np.int64)
        actions = np.full((total, self.engine.info.act_dim), np.nan, np.float32)
        outs = [actions[index : index + 1] for index in range(total)]
        edges = np.linspace(0, total, count + 1).astype(int).tolist()
        blocks = []
        for first, last in itertools.pairwise(edges):
            with ordinary(thread):
                time.sleep(_PAUSE_S)
            begin = Counters.now(thread.cpu)
            step = burst if thread.preemptible else last - first
            for start in range(first, last, max(step, 1)):
                if thread.preemptible and start > first:
                    # A process that rests between bursts is not interrupted within them; one that never rests is,
                    # every few milliseconds, by the scheduler's own doing and not by the engine's.
                    time.sleep(0.001)
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

    def _cadence(self, rows: list[Float32]) -> Int64:
        total, gap = self.config.cadence_iterations, self.config.cadence_ms / 1e3
        infer, clock, many = self.engine.infer, time.perf_counter_ns, len(rows)
        spent = np.zeros(total, np.int64)
        out = np.full((1, self.engine.info.act_dim), np.nan, np.float32)
        for index in range(total):
            time.sleep(gap)
            row = rows[index % many]
            begin = clock()
            infer(row, out)
            spent[index] = clock() - begin
        return spent

    def _split(self, rows: list[Float32]) -> dict[str, float] | None:
        measure = getattr(self.engine, "split", None)
        if measure is None:
            return None
        parts: list[dict[str, float]] = [measure(rows[index % len(rows)]) for index in range(_SPLITS)]
        return {name: float(np.median([part[name] for part in parts])) for name in parts[0]}


def machine() -> dict[str, Any]:
    """The machine, as far as a reader of the numbers needs it."""
    from gate5.engine.onnxruntime_engine import cpu_name

    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


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
