"""A thread that measures: pinned, scheduled as a control process would be, and with a record of what disturbed it."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_SELECTION_CALLS = 500
_SELECTION_NS = 40_000
_RUSAGE_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


@dataclass
class MeasuringThread:
    """How the measuring thread runs.

    Attributes:
        cpu: the CPU that it is pinned to; ``None``: pinning is not possible here.
        scheduling: ``SCHED_FIFO 1``, ``nice -20`` or ``ordinary``.
    """

    cpu: int | None
    scheduling: str

    @property
    def preemptible(self) -> bool:
        """Whether other processes may take the CPU away in the middle of an inference."""
        return self.scheduling != "SCHED_FIFO 1"


@dataclass(frozen=True)
class Counters:
    """What can disturb a measurement, as the kernel counts it."""

    involuntary: int
    voluntary: int
    steal: int
    ticks: int
    load: float | None

    @classmethod
    def now(cls, cpu: int | None) -> Counters:
        usage = resource.getrusage(_RUSAGE_THREAD)
        steal, ticks = _steal(cpu)
        try:
            load: float | None = os.getloadavg()[0]
        except OSError:
            load = None
        return cls(usage.ru_nivcsw, usage.ru_nvcsw, steal, ticks, load)

    def until(self, later: Counters) -> dict[str, Any]:
        """The difference, as plain JSON types."""
        ticks = later.ticks - self.ticks
        return {
            "involuntary_switches": later.involuntary - self.involuntary,
            "voluntary_switches": later.voluntary - self.voluntary,
            "steal_fraction": (later.steal - self.steal) / ticks if ticks > 0 else None,
            "load_before": self.load,
            "load_after": later.load,
        }


@contextlib.contextmanager
def measuring_thread(cpu: int | None = None, workload: Callable[[], object] | None = None) -> Iterator[MeasuringThread]:
    """Pin the calling thread, raise its priority as far as is allowed, and switch the garbage collector off.

    A controller at a plant runs like this (SCHED_FIFO, one CPU of its own), so it is what the policy's latency means
    there. Where the system does not permit it, the thread runs as it is and the result says so.

    Args:
        cpu: which CPU; ``None``: the one that was idle most during the last tenth of a second.
        workload: what will be measured; with it, and without ``cpu``, the CPU is the one where it has the smallest p99,
            as whoever sets a controller up chooses one: CPUs of one machine differ by their interrupts, their
            neighbours on a core and their way to the GPU.
    """
    before = _affinity()
    chosen = _pin(cpu, before)
    scheduling, undo = _prioritise()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        if cpu is None and chosen is not None and before is not None and workload is not None and len(before) > 1:
            chosen = _pin(_smallest_p99(before, chosen, workload), before)
        yield MeasuringThread(chosen, scheduling)
    finally:
        if collecting:
            gc.enable()
        undo()
        if before is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, before)


@contextlib.contextmanager
def ordinary_scheduling(state: MeasuringThread) -> Iterator[None]:
    """Leave real-time scheduling for a while: the kernel stops a real-time thread that never rests."""
    if state.preemptible:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _affinity() -> set[int] | None:
    try:
        return set(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return None


def _pin(cpu: int | None, allowed: set[int] | None) -> int | None:
    if allowed is None:
        return None
    chosen = cpu if cpu is not None else _most_idle(allowed)
    try:
        os.sched_setaffinity(0, {chosen})
    except (OSError, ValueError):
        return None
    return chosen


def _most_idle(allowed: set[int]) -> int:
    first = _idle_ticks()
    time.sleep(0.1)
    second = _idle_ticks()
    # Of equally idle ones the last: interrupts go to the first CPUs by default.
    return max(allowed, key=lambda cpu: (second.get(cpu, 0) - first.get(cpu, 0), cpu))


def _smallest_p99(allowed: set[int], most_idle: int, workload: Callable[[], object]) -> int:
    """The CPU where ``workload`` has the smallest p99.

    That takes many calls, so it goes in rounds: each try is twice as long as the one before, and of the CPUs left only
    the better half goes on. Within a round each is tried twice, so that a passing disturbance is not all.
    """
    left, calls = [most_idle, *sorted(allowed - {most_idle})], _SELECTION_CALLS
    while len(left) > 1:
        spent: dict[int, list[int]] = {}
        for cpu in (*left, *reversed(left)):
            if _pin(cpu, allowed) == cpu:
                spent.setdefault(cpu, []).extend(_timed(workload, calls))
        times = {cpu: sorted(values) for cpu, values in spent.items()}
        left = sorted(times, key=lambda cpu: _tail(times[cpu]))[: len(left) // 2] or left[:1]
        calls *= 2
    return left[0]


def _tail(ordered: list[int]) -> tuple[int, int]:
    """What CPUs are ranked by: p99; of equal ones the median."""
    return ordered[int(0.99 * (len(ordered) - 1))], ordered[len(ordered) // 2]


def _timed(workload: Callable[[], object], calls: int) -> list[int]:
    """Nanoseconds of so many calls, 40 us each at most; the first few, into cold caches, are left out."""
    clock, spent = time.perf_counter_ns, list[int]()
    for _ in range(3):
        workload()
    end = clock() + _SELECTION_NS * calls
    while len(spent) < calls:
        begin = clock()
        workload()
        spent.append(clock() - begin)
        if begin > end:
            break
    return spent


def _prioritise() -> tuple[str, Any]:
    with contextlib.suppress(AttributeError, OSError):
        policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "SCHED_FIFO 1", lambda: os.sched_setscheduler(0, policy, parameter)
    with contextlib.suppress(AttributeError, OSError):
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        return "nice -20", lambda: os.setpriority(os.PRIO_PROCESS, 0, nice)
    return "ordinary", lambda: None


def _stat() -> list[list[str]]:
    try:
        with open("/proc/stat", encoding="ascii") as file:
            return [line.split() for line in file if line.startswith("cpu")]
    except OSError:
        return []


def _idle_ticks() -> dict[int, int]:
    return {int(row[0][3:]): int(row[4]) for row in _stat() if row[0] != "cpu"}


def _steal(cpu: int | None) -> tuple[int, int]:
    name = "cpu" if cpu is None else f"cpu{cpu}"
    for row in _stat():
        if row[0] == name:
            return int(row[8]), sum(int(value) for value in row[1:9])
    return 0, 0
