"""``Rehearsal``: the period to come, gone through in advance, so that a CPU that slept has its code at hand.

After a sleep of a millisecond most of what a period takes is fetching the interpreter's code and data into the caches
again: the same decision takes 40 us without a pause and 120 us after one. A supervisor that is awake before its period
anyway (``priority.EARLY_S``) can do that then. What it decides goes nowhere: it is a second supervisor with a memory of
its own, and nothing of the plant or of the first one's state is touched. The engine process is woken meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from gate5.edge.runtime.decision import Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.mailbox import Mailbox
from gate5.edge.runtime.supervisor import PolicyRuntime

if TYPE_CHECKING:
    from gate5.plant.base import Float32


class Rehearsal:
    """Call it with the last reading, before the next one.

    Args:
        runtime: the supervisor that drives; its first release's data serve to the end, for it is the code that counts.
    """

    def __init__(self, runtime: PolicyRuntime) -> None:
        self._echo = _Echo(runtime.release.obs_dim, runtime.release.act_dim)
        self._driving = runtime
        self._runtime = PolicyRuntime(runtime.release, cast("EngineLink", self._echo), runtime.config)

    def __call__(self, reading: Reading) -> None:
        """Decide on a reading."""
        self._driving.link.nudge()
        self._runtime.step(reading if not reading.starts else replace(reading, starts=False))

    def close(self) -> None:
        """Free the memory."""
        self._echo.close()


class _Echo:
    """An ``EngineLink`` without a process: the answer is zero, and always there."""

    def __init__(self, obs_dim: int, act_dim: int) -> None:
        self._box = Mailbox.create(obs_dim, act_dim)
        self._answer: Float32 = np.zeros(act_dim, np.float32)
        self._number = self.inference_ns = 0

    def keep_warm(self, on: bool) -> None:
        """There is nothing to keep warm."""

    def reset(self) -> None:
        """There is nothing to forget."""

    def revive(self) -> None:
        """There is no process to start."""

    def nudge(self) -> None:
        """There is no process to wake."""

    def ask(self, obs: Float32) -> None:
        self._number += 1
        self._box.post(self._number, obs, False)
        self._box.answer(self._number, self._answer, 0)

    def wait(self, until: float, counts: bool = True) -> Float32:
        self._box.take(self._number, self._answer)
        self._box.woken()
        return self._answer

    def close(self) -> None:
        self._box.close()
