"""The kinds of GPU that candidates are judged on: where the GPU tasks of each run, and for which channel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from gate5.config.gpus import FIRST, is_release, kind_of, release_dag
from gate5.config.site import channel_owners, site_config
from gate5.errors import ConfigError, InputError
from gate5_dag.pods import gpu_executor

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig

#: All slots of the pool `gpu`, as in config/pools.json; with another number there, set this on the DAG processor.
FIRST_SLOTS = int(os.environ.get("GATE5_GPU_SLOTS", "4"))


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU.

    Attributes:
        kind: its name in ``other_gpus``; ``None``: the first.
        channel: what its engines are released to, unless a run says otherwise; ``None``: `release.channel`.
        task: of a task that needs the accelerator: on a worker that has it, and not beside the benchmark.
        alone: of the benchmark: alone on the accelerator.
    """

    kind: str | None
    channel: str | None
    task: dict[str, Any]
    alone: dict[str, Any]

    @property
    def dag_id(self) -> str:
        """The DAG that releases for it."""
        return release_dag(self.kind)


def _first() -> Gpu:
    where = gpu_executor("GATE5_GPU_EXECUTOR", os.environ.get("GATE5_GPU_EXECUTOR"),
                         "GATE5_GPU_POD", os.environ.get("GATE5_GPU_POD"))  # fmt: skip
    task = {"pool": FIRST, "queue": FIRST, **where}
    return Gpu(None, None, task, {**task, "pool_slots": FIRST_SLOTS})


#: The first kind, with the pool and the queue `gpu`.
FIRST_GPU = _first()


def gpus() -> list[Gpu]:
    """Every kind of GPU of the site's configuration, the first one first.

    Raises:
        ConfigError: two kinds would come into each other's way; Airflow shows it as the DAG's import error.
    """
    site = site_config()
    found = [FIRST_GPU]
    for name, said in site.config.other_gpus.items():
        where, pool = f"other_gpus.{name}", said.pool_of(name)
        if said.channel == site.config.release.channel:
            raise ConfigError(
                f"In {site.path}: {where}.channel is {said.channel!r}, as is release.channel, whose plants would "
                "refuse engines for another GPU: give this kind a channel of its own."
            )
        if pool == FIRST and said.slots != FIRST_SLOTS:
            raise ConfigError(
                f"In {site.path}: {where}.slots is {said.slots}, but its pool {pool!r} has {FIRST_SLOTS} "
                f"(GATE5_GPU_SLOTS): write {FIRST_SLOTS}, or name another pool."
            )
        executor = gpu_executor(f"{where}.executor", said.executor, f"{where}.pod", said.pod)
        task = {"pool": pool, "queue": said.queue_of(name), **executor}
        found.append(Gpu(name, said.channel, task, {**task, "pool_slots": said.slots}))
    return found


def refuse_other_kind(config: ReleaseConfig) -> None:
    """Refuse a run whose form names the channel of another kind of GPU than the run's own.

    Raises:
        InputError: it does.
    """
    dag_id, channel = get_current_context()["dag_run"].dag_id, config.release.channel
    owner = channel_owners().get(channel, dag_id)
    if is_release(dag_id) and owner != dag_id:
        mine = kind_of(dag_id) or "the first kind of GPU"
        raise InputError(
            f"The channel {channel!r} is for engines that {owner} releases, and this run judges on {mine}: start "
            f"{owner}, or choose another channel."
        )
