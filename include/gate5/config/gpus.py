"""The kinds of GPU that a candidate is judged on, and the names of their release DAGs: the section `other_gpus`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from gate5.config.section import Section

#: The DAG that releases for the first kind of GPU. Each other kind has one of its own, whose name begins so.
RELEASE_DAG = "policy_release"
#: Airflow's pool and queue of the first kind.
FIRST = "gpu"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class OtherGpuConfig(Section):
    """A further kind of GPU, which judges every announced candidate, too, for a channel of its own. Of GATE5_CONFIG
    alone."""

    channel: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="where what passes on this kind is released, and nothing else",
    )
    pool: str | None = Field(None, min_length=1, max_length=256, description="Airflow's pool; null: gpu_NAME")
    queue: str | None = Field(
        None, min_length=1, max_length=256, pattern=r"^[^,\s]+$", description="its workers' queue; null: gpu_NAME"
    )
    slots: int = Field(4, ge=1, description="of the pool: the benchmark takes all of them and so runs alone")
    executor: str | None = Field(
        None, min_length=1, description="one of [core] executor for the GPU tasks; null: Airflow's first"
    )
    pod: str | None = Field(None, min_length=1, description="a pod's YAML file, of an executor that makes pods")

    def pool_of(self, name: str) -> str:
        """The pool of a kind of that name."""
        return self.pool or f"{FIRST}_{name}"

    def queue_of(self, name: str) -> str:
        """The queue of a kind of that name."""
        return self.queue or f"{FIRST}_{name}"


def checked_kinds(kinds: Mapping[str, OtherGpuConfig]) -> None:
    """Refuse kinds that would take each other's tasks, engines or places.

    Raises:
        ValueError: what is wrong, and how to put it right.
    """
    channels: dict[str, str] = {}
    queues = {FIRST: "the first kind of GPU"}
    pools: dict[str, tuple[str, int]] = {}
    for name, kind in kinds.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a kind of GPU: write small letters, digits, _ and -, such as l4")
        if kind.channel in channels:
            raise ValueError(
                f"{channels[kind.channel]} and {name} have the same channel {kind.channel!r}, whose plants would "
                "refuse the engines of one of them: give each kind a channel of its own"
            )
        queue, pool = kind.queue_of(name), kind.pool_of(name)
        if queue in queues:
            raise ValueError(
                f"{queues[queue]} and {name} have the same queue {queue!r}, so that workers of one would run the "
                "tasks of the other: give each kind a queue of its own"
            )
        if pool == "default_pool":
            raise ValueError(
                f"{name} has the pool 'default_pool', in which no benchmark is alone: name another, or leave it out"
            )
        owner, slots = pools.setdefault(pool, (name, kind.slots))
        if slots != kind.slots:
            raise ValueError(
                f"{owner} and {name} share the pool {pool!r}, with {slots} slots and with {kind.slots}: a pool has one "
                "number of slots, so give both the same"
            )
        channels[kind.channel], queues[queue] = name, name


def airflow_pools(kinds: Mapping[str, OtherGpuConfig]) -> dict[str, dict[str, Any]]:
    """The pools of further kinds, as `airflow pools import` reads them; that of the first is in config/pools.json."""
    owners: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        owners.setdefault(kind.pool_of(name), []).append(name)
    return {
        pool: {"slots": kinds[names[0]].slots, "description": f"GPU {', '.join(names)}", "include_deferred": False}
        for pool, names in owners.items()
        if pool != FIRST
    }


def release_dag(kind: str | None) -> str:
    """The id of a kind's release DAG; ``None``: of the first kind."""
    return RELEASE_DAG if kind is None else f"{RELEASE_DAG}_{kind}"


def is_release(dag_id: str) -> bool:
    """Whether a DAG's name is that of a release DAG, of whatever kind, also of one that is configured no more."""
    return dag_id == RELEASE_DAG or kind_of(dag_id) is not None


def kind_of(dag_id: str) -> str | None:
    """The kind of GPU that a release DAG is for; ``None``: the first, or it is none."""
    head, _, kind = dag_id.partition(f"{RELEASE_DAG}_")
    return kind if not head and _NAME.fullmatch(kind) else None
