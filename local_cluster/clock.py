"""A worker whose clock is a minute ahead.

All processes of one machine share its clock. What moves it for some of them alone either fails in a wait
(libfaketime's ``sleep``) or leaves the wall clock as it is (Linux's time namespaces). So it is Python's clock that is
shifted, in every process of the worker, by a ``sitecustomize`` that calls time-machine: ``time.time``, ``datetime.now``
and their kin, and with them all that Airflow, Celery, boto3 and gate5 date and sign. What C code asks the kernel by
itself (libpq, the times of files) is not shifted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gate5.errors import OperationError

if TYPE_CHECKING:
    from local_cluster.cluster import Cluster

WORKER, AHEAD_S = "gpu-worker", 60.0
CODE = f"""
from datetime import datetime, timedelta, timezone

import time_machine

time_machine.travel(datetime.now(timezone.utc) + timedelta(seconds={AHEAD_S}), tick=True).start()
"""


@contextlib.contextmanager
def clock_ahead(cluster: Cluster) -> Iterator[None]:
    """The worker for the queue `gpu` started again with a clock that is ahead; and with the right one afterwards."""
    folder = cluster.boxes[WORKER].folder / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(CODE)
    before = cluster.boxes[WORKER].environment()["PYTHONPATH"]
    cluster.processes.started_again(WORKER, {"PYTHONPATH": f"{folder}{os.pathsep}{before}"})
    try:
        yield
    finally:
        cluster.processes.started_again(WORKER, {"PYTHONPATH": before})


def check_ahead(cluster: Cluster, run_id: str, task_id: str) -> None:
    """Make sure that the clock is ahead where a task runs: Airflow dates its start by the worker's clock.

    Raises:
        OperationError: it is not.
    """
    (found,) = (task for task in cluster.tasks(run_id) if task["task_id"] == task_id)
    start = datetime.fromisoformat(str(found["start_date"]).replace("Z", "+00:00"))
    ahead = (start - datetime.now(timezone.utc)).total_seconds()
    if not 0 < ahead <= AHEAD_S + 1:
        raise OperationError(f"{task_id} began {ahead:.0f} s from now by the clock of {WORKER}: it is not ahead.")
