"""Real-time scheduling for a plant with a short period: the supervisor first, then the engine that answers it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

SUPERVISOR, ENGINE = 20, 10
#: So long before a period the supervisor is awake: a fifth of the time at 1 kHz, and nothing at a period of seconds.
EARLY_S = 2e-4


@contextlib.contextmanager
def goes_first(level: int, wanted: bool = True) -> Iterator[str]:
    """SCHED_FIFO for this thread, where the kernel permits it (root, CAP_SYS_NICE or rtprio in limits.conf).

    What is started meanwhile is ordinary again: an engine process that loads must not stand in the way of the one that
    answers.

    Args:
        level: 1 to 99; a higher one goes before a lower one.
        wanted: ``False``: nothing is changed.

    Yields:
        Why it is not permitted; empty: it is, or nothing was asked.
    """
    if not wanted:
        yield ""
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(level))
    except OSError as error:
        yield error.strerror or str(error)
        return
    try:
        yield ""
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameter)
