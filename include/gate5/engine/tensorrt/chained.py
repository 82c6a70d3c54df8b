"""The GPU's own time, without launching and waiting."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

COUNT = 2000
ROUNDS = 5


def chained_ms(launch: Callable[[], None], cuda: Any, stream: Any, count: int = COUNT, rounds: int = ROUNDS) -> float:
    """Milliseconds of the GPU per launch where ``count`` follow each other without waiting (median of the rounds).

    While one runs the next is being enqueued, so this is the GPU's time as long as that is longer than what a launch
    takes of the CPU's. The CPU's state, which moves the time from call to answer by microseconds, is not in it.

    Args:
        launch: enqueues work on the stream and does not wait for it; the GPU's context has to be current.
        cuda, stream: PyCUDA's driver module, and the stream that ``launch`` uses.
        count, rounds: at least 1.
    """
    first, last = cuda.Event(), cuda.Event()
    found = []
    for _ in range(rounds):
        first.record(stream)
        for _ in range(count):
            launch()
        last.record(stream)
        stream.synchronize()
        found.append(float(last.time_since(first)) / count)
    return statistics.median(found)
