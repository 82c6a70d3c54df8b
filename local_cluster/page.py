"""What came of the faults, printed and as docs/results/cluster.md."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import results
from local_cluster.boxes import MISSED_S
from local_cluster.faults import Fault, Met
from local_cluster.packages import program

INTRODUCTION = """
The services of docker-compose.yaml as processes of one machine (docs/decisions/125): PostgreSQL, Redis, {server},
api-server, scheduler, dag-processor, triggerer, a CPU worker and one for the queue `gpu` (engines of ONNX
Runtime), each in a folder of its own. {versions}
"""
RIGHT = """
Right is: the run is a success, its channel has one promotion and no more, every signature, hash and file of it
verified, and no task is left at work. A killed worker is missed after {missed} s here (compose: 90 s), and its task
tried again 15 s later or more. Some cases went on side by side, so that a kill met the others' tasks, too: `tries` are
those of tasks that needed more than one. Where a worker's clock is ahead it is the clock of all its Python code that is
(decision 141). An outage of S3 is a kill -9 of Ceph's gateway, which is started again after it; of the tests' server,
a pause.
"""


def lines(result: Met) -> list[str]:
    """What is printed of a case."""
    head = f"{result.case.name:<14}{result.seconds:7.0f} s  {ended(result)}"
    return [head, *(f"    {text}" for text in faults(result))]


def faults(result: Met) -> list[str]:
    """The faults of a case, and whether each met its task at work; of a case that broke off nobody knows."""
    met = result.met or (None,) * len(result.case.faults)
    return [told(*pair) for pair in zip(result.case.faults, met, strict=True)]


def ended(result: Met) -> str:
    """How a case ended, and which tasks needed more than one try."""
    found = result.ending
    said = f"WRONG: {'; '.join(found.wrong)}" if found.wrong else f"right: {', '.join(found.entries)}"
    tries = ", ".join(f"{task} {count}" for task, count in sorted(found.tries.items()))
    return f"{said}{f' (tries: {tries})' if tries else ''}"


def told(fault: Fault, met: bool | None) -> str:
    """One fault, in words."""
    place = "" if fault.task == "all" else f" in `{fault.task}`"
    why = {True: "", False: " (it was past that already)", None: " (not known whether it came to that)"}[met]
    return f"{fault.text}{place}{why}"


def write_page(found: Sequence[Met], server: str, ready: float, seconds: float) -> Path:
    """Write docs/results/cluster.md; returns its path.

    Args:
        server: which S3 server it was, in words.
        ready: when the cluster was ready [s].
        seconds: that all of it took [s].
    """
    rows = [
        (
            result.case.name,
            "; ".join(faults(result)) or "none",
            f"{result.seconds:.0f}",
            ended(result),
        )
        for result in found
    ]
    document = {
        "machine": _machine(),
        "s3": server,
        "ready_s": round(ready, 1),
        "seconds": round(seconds, 1),
        "cases": [dict(zip(("name", "faults", "seconds", "ended"), row, strict=True)) for row in rows],
    }
    wrong = sum(bool(result.ending.wrong) for result in found)
    text = [
        *textwrap.wrap(INTRODUCTION.format(server=server, versions=_versions()).strip(), 130),
        "",
        f"Ready after {ready:.0f} s; {len(found)} cases, **{wrong} wrong**, {seconds / 60:.0f} minutes in all.",
        "",
        *textwrap.wrap(RIGHT.format(missed=MISSED_S).strip(), 130),
        "",
        "| case | fault | s | ended |",
        "|---|---|---:|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    command = f"python -m local_cluster {' '.join(sys.argv[1:])}".strip()
    return results.write("cluster", "A cluster, and faults", command, document, text)


@cache
def _machine() -> dict[str, Any]:
    """Asked once: the page itself, once it is written, would make the commit a dirty one."""
    return results.description(("apache-airflow", "celery", "onnxruntime"))


def _versions() -> str:
    """Of what Debian's packages bring."""
    said = []
    for name in ("postgres", "redis-server"):
        done = subprocess.run([str(program(name)), "--version"], capture_output=True, text=True, check=False)
        said.append(" ".join(done.stdout.split()[:3]))
    return f"{'; '.join(said)}."
