"""What is done to a cluster while a release runs on it, and what has to come of it: one promotion, whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gate5.errors import OperationError, StoreError
from gate5.io.airflow import ApiError
from local_airflow.patience import wait_for
from local_cluster.ceph import TESTS
from local_cluster.cluster import AIRFLOW, DAG, Cluster
from local_cluster.outcome import Ending, cluster_store, ending

#: A service that is stopped stays so for so long [s].
OUTAGE_S = 20.0
SERVICES = (*AIRFLOW, "postgres", "redis", "s3")
#: Airflow 3.3.2 fails a question that is answered within its first second.
QUESTION_S = 5.0


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

    @property
    def words(self) -> tuple[str, ...]:
        """By which it may be asked for: its task, and the service that it is about."""
        return (self.task, *(word for word in self.text.split() if word in SERVICES))


@dataclass(frozen=True)
class Case:
    """A release with faults in it.

    Attributes:
        name: of the run and of its channel.
        faults: one after the other.
        form: what the run is started with.
        answer: whether a person has to say Promote.
        setting: what holds while the release goes on.
    """

    name: str
    faults: Sequence[Fault]
    form: Mapping[str, Any] = field(default_factory=dict)
    answer: bool = False
    setting: Callable[[Cluster], contextlib.AbstractContextManager[None]] | None = None


@dataclass(frozen=True)
class Group:
    """Cases that go on side by side, and how long they are expected to take together on a quiet machine [s]."""

    cases: tuple[Case, ...]
    seconds: float


@dataclass(frozen=True)
class Met:
    """A case that was carried out: which of its faults met their task at work, how long it took, what it came to.

    ``met`` is empty where the case did not come to its end.
    """

    case: Case
    met: tuple[bool, ...]
    seconds: float
    ending: Ending


def kill(service: str, task: str, *states: str) -> Fault:
    """kill -9 of a service and of all that it started."""
    return Fault(f"kill -9 {service}", task, lambda cluster: _kill(cluster, service), states or ("running",))


def kill_once_moved(cluster: Cluster, run_id: str, task_id: str, *services: str) -> None:
    """kill -9 of services when a worker has promoted the run's release, and has not come to say so.

    Raises:
        OperationError: it had said so.
    """
    store = cluster_store(cluster)

    def moved() -> bool | None:
        try:
            return bool(store.backend.list(f"channels/{run_id}/", 1)) or None
        except StoreError:  # gone, for another case
            return None

    wait_for(
        f"{run_id} promotes nothing",
        moved,
        lambda: cluster.signs(run_id),
        every_s=0.1,
        still_s=cluster.patience_s,
    )
    for service in services:
        cluster.processes.kill(service)
    (state,) = cluster.states.of(DAG, run_id).of(task_id)
    if state != "running":
        raise OperationError(f"{task_id} of {run_id} is {state}: it had ended before its worker was killed.")


def outage(service: str, task: str) -> Fault:
    """A service is gone for a while."""

    def do(cluster: Cluster) -> None:
        with cluster.processes.outage():
            _outage(cluster, service)

    return Fault(f"{service} gone for {OUTAGE_S:g} s", task, do)


def _kill(cluster: Cluster, service: str) -> None:
    cluster.processes.kill(service)


def _outage(cluster: Cluster, service: str) -> None:
    if service == "s3" and cluster.s3 == TESTS:  # it has its objects in memory: it answers nobody, and forgets nothing
        cluster.processes.freeze(service)
        time.sleep(OUTAGE_S)
        cluster.processes.thaw(service)
        return
    if service == "s3":  # Ceph's gateway keeps nothing in its own memory that it has said is written
        cluster.processes.kill(service, stays=False)
    else:
        cluster.processes.stop(service)
    time.sleep(OUTAGE_S)
    cluster.processes.again(service)


def carry_out(cluster: Cluster, case: Case) -> Met:
    """Run a release, do to it what the case says, and look at its end.

    Raises:
        Gate5Error: it did not come to its end; ``went_wrong`` makes a row of that.
    """
    began = time.monotonic()
    with case.setting(cluster) if case.setting else contextlib.nullcontext():
        cluster.release(case.name, **case.form)
        met = []
        for fault in case.faults:
            state = cluster.wait_for_task(case.name, fault.task, fault.states)
            met.append(state in fault.states)
            fault.do(cluster)
        if case.answer:
            cluster.wait_for_task(case.name, "approval", ("awaiting_input",))
            time.sleep(QUESTION_S)
            cluster.patiently(lambda: _answer(cluster, case.name))
        found = unless_nothing_was_tried(case, met, ending(cluster, case.name))
    return Met(case, tuple(met), time.monotonic() - began, found)


def unless_nothing_was_tried(case: Case, met: Sequence[bool], found: Ending) -> Ending:
    """The end of a case; wrong where each of its faults came too late, because then nothing was shown."""
    if not case.faults or any(met):
        return found
    return replace(found, wrong=(*found.wrong, "none of its faults met its task at work, so that nothing was tried"))


def went_wrong(case: Case, seconds: float, why: str) -> Met:
    """A case that did not come to its end."""
    return Met(case, (), seconds, Ending(case.name, "unknown", (), {}, (why,)))


def _answer(cluster: Cluster, run_id: str) -> None:
    try:
        cluster.api.answer(DAG, run_id, "approval", "Promote")
    except ApiError as error:
        if error.status != 409:  # it has been answered: the answer to that was lost
            raise
