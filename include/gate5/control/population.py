"""``Population``: PID baselines of one structure and different numbers, each driving its own part of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gate5.control.channel import Channel
from gate5.control.gains import Gains
from gate5.control.pid import PIDBaseline
from gate5.plant.base import Float32, Plant


class Population:
    """One baseline whose numbers are arrays: row ``i`` of a batch belongs to member ``i // (batch / members)``.

    Args:
        plant: for the names of its observation and action.
        members: gains that differ in numbers alone: biases, the tables' values, and the loops' kp, ki, kd, tracking_s
            and constant set-point.
    """

    def __init__(self, plant: Plant, members: Sequence[Gains]) -> None:
        space, actions = plant.observation_space, plant.action_space
        self._members = [PIDBaseline(g, space.names, actions.low, actions.high, actions.names) for g in members]
        first = members[0]
        self._whole = PIDBaseline(first, space.names, actions.low, actions.high, actions.names)

    def reset(self, batch: int) -> None:
        """Forget the past; ``batch`` is the number of members times their episodes."""
        each = batch // len(self._members)
        channels = zip(self._whole.channels, *(m.channels for m in self._members), strict=True)
        for whole, *parts in channels:
            _widen(whole, parts, lambda values: np.repeat(np.asarray(values, dtype=np.float64), each, axis=0))
        self._whole.reset(batch)

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Each member's actions for its own rows."""
        return self._whole.predict(obs)


def _widen(whole: Channel, parts: Sequence[Channel], wide: Callable[[list[Any]], Any]) -> None:
    whole.bias = wide([p.bias for p in parts])
    for i, curve in enumerate(whole.feedforward):
        curve.y = wide([p.feedforward[i].y for p in parts])
    for i, loop in enumerate(whole.loops):
        twins = [p.loops[i] for p in parts]
        if not loop.follows:
            loop.setpoint = wide([t.setpoint for t in twins])
        for name in ("kp", "ki", "kd", "tracking_s"):
            setattr(loop.pid, name, wide([getattr(t.pid, name) for t in twins]))
