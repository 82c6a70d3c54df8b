"""What became of a run: read from Airflow and, every signature and byte of it verified, from the store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gate5.config.channel import StoreConfig
from gate5.config.gpus import RELEASE_DAG
from gate5.errors import Gate5Error, StoreError
from gate5.io.s3 import make_client
from gate5.store import ArtifactStore, ChannelEntry, history, load_public_keys, open_store, verify_release

if TYPE_CHECKING:
    from local_cluster.cluster import Cluster


#: A store that does not answer for so long is not coming back [s].
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Ending:
    """The end of one run.

    Attributes:
        run: its name, and its channel's.
        state: Airflow's word.
        entries: kinds of the channel's entries, oldest first.
        tries: tasks that needed more than one, with how many.
        wrong: what is not as it has to be; empty: all is right.
    """

    run: str
    state: str
    entries: tuple[str, ...]
    tries: dict[str, int]
    wrong: tuple[str, ...]


def ending(cluster: Cluster, run_id: str) -> Ending:
    """Wait for the end of a run and look at what it left: one promotion, whole, verified, and no task undone."""
    state = cluster.wait_for_run(run_id)
    tasks, wrong = cluster.tasks(run_id), []
    if state != "success":
        failed = [f"{task['task_id']} {task['state']}" for task in tasks if task["state"] not in ("success", "skipped")]
        wrong.append(f"the run ended {state} ({', '.join(failed)})")
    undone = [task["task_id"] for task in tasks if task["state"] in ("running", "queued", "scheduled")]
    if undone:
        wrong.append(f"{', '.join(undone)} still at work")
    entries, faults = channel_log(cluster, run_id)
    kinds = [entry.kind for entry in entries]
    if kinds != ["promote"]:
        wrong.append(f"the channel has {kinds or 'no entry'} in place of one promotion")
    wrong += events(cluster, run_id)
    tries = {str(task["task_id"]): int(task["try_number"]) for task in tasks if task["try_number"] > 1}
    return Ending(run_id, state, tuple(kinds), tries, (*wrong, *faults))


def events(cluster: Cluster, run_id: str) -> list[str]:
    """What is wrong with what a run told those that follow the channel: one event, however often it was tried."""
    asked = {"source_dag_id": RELEASE_DAG, "source_run_id": run_id}
    found = cluster.patiently(lambda: cluster.api.get("assets/events", **asked))["asset_events"]
    said = [(event["name"], event["extra"].get("kind"), event["extra"].get("entry")) for event in found]
    return [] if said == [("gate5_release", "promote", 1)] else [f"its events are {said}"]


def cluster_store(cluster: Cluster) -> ArtifactStore:
    """The cluster's artifact store."""
    said = cluster.variables
    address = f"http://127.0.0.1:{cluster.ports.s3}"
    client = make_client(
        address, "us-east-1", access_key=said["AWS_ACCESS_KEY_ID"], secret_key=said["AWS_SECRET_ACCESS_KEY"]
    )
    return open_store(StoreConfig(uri="s3://gate5-releases"), client=client)


def channel_log(cluster: Cluster, channel: str) -> tuple[list[ChannelEntry], list[str]]:
    """A channel's entries, oldest first, and what is wrong with its log or its releases."""
    store = cluster_store(cluster)
    keys = load_public_keys([Path(cluster.boxes["init"].translated("/srv/gate5/var/trust"))])
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            entries = history(store, channel, keys)
            for entry in entries:
                verify_release(store, entry.release, keys)
            return list(reversed(entries)), []
        except StoreError as error:  # gone, for another case
            if time.monotonic() > end:
                return [], [str(error)]
            time.sleep(1.0)
        except Gate5Error as error:
            return [], [str(error)]
