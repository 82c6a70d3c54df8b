"""``Follower``: the baseline beside the policy: always computed, told what was applied.

While another controller drives, the PID's integrals are led to where its output is what was applied (back-calculation:
Astrom and Hagglund, Advanced PID Control, 2006, section 3.5, "bumpless transfer"), in ``SLOWER`` times the time that a
loop tracks in when it drives itself: slowly enough that what the PID wants to do *now*, in the first seconds of an
event, is not led away (docs/decisions/153-hand-over-in-an-event.md).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gate5.control.pid import PIDBaseline
from gate5.control.scalar import ScalarBaseline
from gate5.errors import Gate5Error
from gate5.plant.base import Controller, Float32

#: A loop's tracking time while another controller drives, in its own.
SLOWER = 3.0


class Follower:
    """A baseline that does not drive, or does.

    Args:
        baseline: a ``PIDBaseline`` follows without a bump; another controller only answers.
    """

    def __init__(self, baseline: Controller) -> None:
        self._pid = ScalarBaseline(baseline) if isinstance(baseline, PIDBaseline) else None
        self._inner: Any = self._pid or baseline
        loops = [] if self._pid is None else [loop for channel in self._pid.channels for loop in channel.loops]
        self._usual: list[tuple[Any, float]] = [(loop, loop.tracking_s) for loop in loops]
        self._drives = True
        self.reset()

    def reset(self) -> None:
        """An episode starts."""
        self._inner.reset(1)

    def propose(self, obs: Float32, values: list[float]) -> Float32 | None:
        """The action float32 ``[act_dim]`` that the baseline would apply; ``None``: it gave none that can be used.

        Args:
            values: the same as ``obs``, for a controller that reads plain floats.
        """
        try:
            if self._pid is not None:
                found = self._pid.values(values)
                return np.array(found, np.float32) if math.isfinite(sum(found)) else None
            action: Float32 = self._inner.predict(obs[None])[0][0]
        except (Gate5Error, ArithmeticError, ValueError):
            return None
        return action if np.count_nonzero(np.isfinite(action)) == action.size else None

    def track(self, applied: list[float], *, driving: bool) -> None:
        """Say what was applied, as plain floats, and whether it was the baseline's own."""
        if self._pid is None:
            return
        if driving != self._drives:
            for loop, usual in self._usual:
                loop.tracking_s = usual if driving else SLOWER * usual
            self._drives = driving
        self._pid.follow(applied)
