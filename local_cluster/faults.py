"""What is done to a cluster while a release runs on it, and what has to come of it: one promotion, whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from local_cluster.cluster import Cluster
from local_cluster.outcome import Ending, ending

#: A service that is stopped stays so for so long [s].
OUTAGE_S = 20.0


@dataclass(frozen=True)
class Fault:
    """One fault: while ``task`` of a run has one of ``states``, ``do`` it.

    Attributes:
        text: for the table.
        task: the task that it meets.
        do: what is done.
        states: of the task.
    """

    text: str
    task: str
    do: Callable[[Cluster], None]
    states: tuple[str, ...] = ("running",)


@dataclass(frozen=True)
class Case:
    """A release with faults in it."""

    name: str
    faults: Sequence[Fault]


@dataclass(frozen=True)
class Met:
    """A case that was carried out: which of its faults met their task at work, how long it took, what it came to."""

    case: Case
    met: tuple[bool, ...]
    seconds: float
    ending: Ending


def kill(service: str, task: str, *states: str) -> Fault:
    """kill -9 of a service and of all that it started."""
    return Fault(f"kill -9 {service}", task, lambda cluster: _kill(cluster, service), states or ("running",))


def outage(service: str, task: str) -> Fault:
    """A service is gone for a while."""
    return Fault(f"{service} gone for {OUTAGE_S:g} s", task, lambda cluster: _outage(cluster, service))


def _kill(cluster: Cluster, service: str) -> None:
    cluster.processes.kill(service)


def _outage(cluster: Cluster, service: str) -> None:
    if service == "s3":  # the tests' server has its objects in memory: it answers nobody, and forgets nothing
        cluster.processes.freeze(service)
        time.sleep(OUTAGE_S)
        cluster.processes.thaw(service)
        return
    cluster.processes.stop(service)
    time.sleep(OUTAGE_S)
    cluster.processes.again(service)


SHORT = (
    Case("plain", ()),
    Case("two-kills", (kill("gpu-worker", "evaluate"), kill("scheduler", "compare", "scheduled", "queued", "running"))),
)


def carry_out(cluster: Cluster, case: Case) -> Met:
    """Run a release, do to it what the case says, and look at its end."""
    began = time.monotonic()
    cluster.release(case.name)
    met = []
    for fault in case.faults:
        state = cluster.wait_for_task(case.name, fault.task, fault.states)
        met.append(state in fault.states)
        fault.do(cluster)
    found = ending(cluster, case.name)
    return Met(case, tuple(met), time.monotonic() - began, found)
