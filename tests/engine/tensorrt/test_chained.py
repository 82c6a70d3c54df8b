"""The GPU's own time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gate5.engine.tensorrt.chained import chained_ms


def test_gpu_time_is_per_launch_and_without_waiting() -> None:
    """The median of the rounds; a wait between two launches would measure the CPU."""
    events, totals = list[str](), iter([0.9, 0.4, 0.2])

    def event() -> Any:
        return SimpleNamespace(record=lambda stream: events.append("event"), time_since=lambda first: next(totals))

    stream = SimpleNamespace(synchronize=lambda: events.append("wait"))
    cuda = SimpleNamespace(Event=event)
    assert chained_ms(lambda: events.append("launch"), cuda, stream, count=4, rounds=3) == pytest.approx(0.1)
    assert events == ["event", *["launch"] * 4, "event", "wait"] * 3
