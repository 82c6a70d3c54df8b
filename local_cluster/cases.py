"""The table of what is done to a cluster: which faults meet which release, and what goes on side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from local_cluster.broker import deliver_late_and_twice, kill_before_it_begins, workers_that_begin_nothing
from local_cluster.clock import AHEAD_S, WORKER, check_ahead, clock_ahead
from local_cluster.edge import WORKER as EDGE_WORKER
from local_cluster.edge import check_edge, edge_worker
from local_cluster.faults import Case, Fault, Group, kill, kill_once_moved, outage
from local_cluster.kinds import KINDS
from local_cluster.many import MANY

_GONE_PAST = ("scheduled", "queued", "running")
PLAIN, TAKEN, EDGE, CPU_LAST, SERVICES = Case("plain", ()), "taken", "edge", "cpu-last", "services"
#: Side by side: a kill may meet the other release, too.
SHORT: Group = Group(
    (PLAIN, Case("two-kills", (kill("gpu-worker", "evaluate"), kill("scheduler", "compare", *_GONE_PAST)))), 200
)
#: Groups one after the other, with the seconds that each is expected to take on two processors that do nothing else:
#: from the number of tasks, 25 s and a retry's delay for each killed worker, 40 s for each lost message, 20 s for each
#: outage. Within a group those that begin later fill what the first ones leave. Two that kill the same worker lie far
#: apart: at the same stage each loses its task by every kill that is for the other one, and tries come to an end.
LONG: tuple[Group, ...] = (
    Group(
        (
            Case(
                CPU_LAST,
                (
                    *(kill("cpu-worker", task) for task in ("compare", "gate", "report")),
                    Fault(
                        "the channel has moved: kill -9 cpu-worker",
                        "promote",
                        lambda cluster: kill_once_moved(cluster, CPU_LAST, "promote", "cpu-worker"),
                    ),
                ),
            ),
            Case(
                "outages",
                (
                    outage("postgres", "export"),
                    outage("redis", "build"),
                    outage("s3", "evaluate"),
                    outage("postgres", "compare"),
                    outage("redis", "gate"),
                    outage("s3", "promote"),
                ),
            ),
            Case("gpu-last", tuple(kill("gpu-worker", task) for task in ("benchmark", "evaluate", "stress"))),
            PLAIN,
            Case(
                SERVICES,
                (
                    kill("dag-processor", "resolve"),
                    kill("api-server", "export"),
                    kill("scheduler", "build", *_GONE_PAST),
                    kill("api-server", "evaluate"),
                    kill("triggerer", "compare"),
                    Fault(
                        "the channel has moved: kill -9 scheduler and api-server",
                        "promote",
                        lambda cluster: kill_once_moved(cluster, SERVICES, "promote", "scheduler", "api-server"),
                    ),
                ),
            ),
            Case(
                "a-person",
                tuple(
                    kill(service, "approval", "awaiting_input")
                    for service in ("triggerer", "scheduler", "api-server", "cpu-worker")
                ),
                {"approval": "required"},
                answer=True,
            ),
            Case("gpu-first", tuple(kill("gpu-worker", task) for task in ("look_up", "build", "verify"))),
            Case("cpu-first", tuple(kill("cpu-worker", task) for task in ("receive", "resolve", "export"))),
        ),
        600,
    ),
    Group(
        (
            Case(
                TAKEN,
                (
                    Fault(
                        "kill -9 cpu-worker with scheduler and redis, its message taken and not begun",
                        "receive",
                        lambda cluster: kill_before_it_begins(
                            cluster, TAKEN, "receive", "cpu-worker", "scheduler", "redis"
                        ),
                        ("queued",),
                    ),
                    Fault(
                        "kill -9 gpu-worker with its message taken and not begun; back when it was sent again, and "
                        "given the old one and, twice, the new one",
                        "look_up",
                        lambda cluster: deliver_late_and_twice(cluster, TAKEN, "look_up", "gpu-worker"),
                        ("queued",),
                    ),
                ),
                setting=workers_that_begin_nothing,
            ),
        ),
        120,
    ),
    Group(
        (
            Case(
                EDGE,
                tuple(
                    Fault(
                        f"an {EDGE_WORKER} in place of gpu-worker",
                        task,
                        lambda cluster, task=task: check_edge(cluster, EDGE, task),  # type: ignore[misc]
                    )
                    for task in ("build", "evaluate")
                ),
                setting=edge_worker,
            ),
        ),
        70,
    ),
    Group(
        (
            Case(
                "clock",
                tuple(
                    Fault(
                        f"{WORKER}'s clock is {AHEAD_S:g} s ahead",
                        task,
                        lambda cluster, task=task: check_ahead(cluster, "clock", task),  # type: ignore[misc]
                    )
                    for task in ("build", "evaluate")
                ),
                setting=clock_ahead,
            ),
            MANY,
        ),
        240,
    ),
)
#: Carried out where it is asked for by name alone, so that all others take no more than twenty minutes.
ASKED: tuple[Group, ...] = (Group((KINDS,), 230),)
#: What everything is expected to take to start [s].
READY_S = 30
CASES = [case for group in (*LONG, *ASKED) for case in group.cases]
#: What may be asked for alone: a case, or one of its faults as CASE/TASK or CASE/SERVICE.
NAMES = [
    name
    for case in CASES
    for name in (case.name, *dict.fromkeys(f"{case.name}/{word}" for f in case.faults for word in f.words))
]


def groups(short: bool, only: Sequence[str] | None) -> list[Group]:
    """What is asked for, in groups that go on side by side.

    Args:
        only: of ``NAMES``; several faults of one case are met in one release; ``None``: everything.
    """
    if short:
        return [SHORT]
    if only is None:
        return list(LONG)
    found = (Group(tuple(_chosen(group, only)), group.seconds) for group in (*LONG, *ASKED))
    return [group for group in found if group.cases]


def _chosen(group: Group, only: Sequence[str]) -> list[Case]:
    found = []
    for case in group.cases:
        words = {name.partition("/")[2] for name in only if name.partition("/")[0] == case.name}
        if "" in words:
            found.append(case)
        elif words:
            found.append(replace(case, faults=tuple(fault for fault in case.faults if words & set(fault.words))))
    return found
