"""Real-time scheduling for a plant with a short period: the supervisor first, then the engine that answers it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from gate5.errors import ConfigError

SUPERVISOR, ENGINE = 20, 10
#: So long before a period the supervisor is awake: two fifths of the time at 1 kHz, and nothing at a period of seconds.
#: A sleep that ends late costs a period only where it ends later than this and what the period leaves.
EARLY_S = 4e-4
#: So long it watches for an answer before it sleeps.
WATCHED_S = 2e-4


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


def check_cpus(*cpus: int | None) -> None:
    """Whether this process may run on these CPUs.

    Raises:
        ConfigError: one is not there, or not for this process.
    """
    allowed = os.sched_getaffinity(0)
    for cpu in cpus:
        if cpu is not None and cpu not in allowed:
            raise ConfigError(
                f"CPU {cpu} is not one that this process may run on: set cpu to one of {sorted(allowed)}."
            )


@contextlib.contextmanager
def stays_on(cpu: int | None) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on one CPU; ``None``: wherever there is room."""
    before = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
