"""Runners that take turns, and what their times come to. Needs NumPy alone: PyTorch's Python has no pydantic."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gate5.latency.quantiles import quantile, upper_bound
from gate5.latency.thread import measuring_thread, ordinary_scheduling

CURVE = [*(index / 100 for index in range(1, 99)), 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9995, 1.0]


def interleave(
    runners: dict[str, Callable[[], Any]], rounds: int, block: int, choose: str | None = None
) -> dict[str, Any]:
    """Nanoseconds per run; the runners take turns within each round, on the CPU where ``choose`` fares best."""
    spent = {name: np.zeros((rounds, block), np.int64) for name in runners}
    clock = time.perf_counter_ns
    with measuring_thread(workload=runners.get(choose or "")) as thread:
        for number in range(-1, rounds):
            for name, run in runners.items():
                with ordinary_scheduling(thread):
                    time.sleep(0.01)
                for _ in range(50):
                    run()
                into = spent[name][max(number, 0)]
                for index in range(block):
                    begin = clock()
                    run()
                    into[index] = clock() - begin
    return {name: values.ravel() for name, values in spent.items()}


def distribution(nanoseconds: Any) -> dict[str, Any]:
    """Quantiles in milliseconds, the upper confidence bound (0.99) of p99, and enough of the curve to draw it."""
    ordered = np.sort(np.asarray(nanoseconds).ravel()) / 1e6
    row: dict[str, Any] = {f"p{q}_ms": quantile(ordered, q / 100) for q in (50, 90, 95, 99)}
    row |= {"p999_ms": quantile(ordered, 0.999), "max_ms": float(ordered[-1]), "samples": len(ordered)}
    row["p99_upper_ms"] = upper_bound(ordered, 0.99, 0.99)
    return {**row, "curve": [[q, round(quantile(ordered, q), 6)] for q in CURVE]}
