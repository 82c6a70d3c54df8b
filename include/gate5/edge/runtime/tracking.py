"""``Follower``: the baseline beside the policy: always computed, told what was applied.

While another controller drives, back-calculation with the usual time constant would leave the PID's output somewhere
else than the actuators are (Astrom and Hagglund, Advanced PID Control, 2006, section 3.5, "bumpless transfer"). Here
its integrals then follow within one period: the next proposal starts from what was applied.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from gate5.control.pid import PIDBaseline
from gate5.control.scalar import ScalarBaseline
from gate5.errors import Gate5Error
from gate5.plant.base import Controller, Float32


class Follower:
    """A baseline that does not drive, or does.

    Args:
        baseline: a ``PIDBaseline`` follows without a bump; another controller only answers.
    """

    def __init__(self, baseline: Controller) -> None:
        self._pid = ScalarBaseline(baseline) if isinstance(baseline, PIDBaseline) else None
        self._inner: Any = self._pid or baseline
        self._usual: list[tuple[Any, Any, float]] = []
        if self._pid is not None:
            for channel in self._pid.channels:
                added = sum(loop.add for loop in channel.loops) or 1
                for loop in channel.loops:
                    self._usual.append((loop, loop.tracking_s, loop.dt_s * (added if loop.add else 1)))
        self._drives = True
        self.reset()

    def reset(self) -> None:
        """An episode starts."""
        self._inner.reset(1)

    def propose(self, obs: Float32) -> Float32 | None:
        """The action float32 ``[act_dim]`` that the baseline would apply; ``None``: it gave none that can be used."""
        action = None
        with contextlib.suppress(Gate5Error, ArithmeticError, ValueError):
            action = self._pid.propose(obs) if self._pid is not None else self._inner.predict(obs[None])[0][0]
        return action if action is not None and np.count_nonzero(np.isfinite(action)) == action.size else None

    def track(self, applied: Float32, *, driving: bool) -> None:
        """Say what was applied, and whether it was the baseline's own."""
        if self._pid is None:
            return
        if driving != self._drives:
            for loop, usual, quick in self._usual:
                loop.tracking_s = usual if driving else quick
            self._drives = driving
        self._pid.track(applied)
