"""`make test-cluster`: the services of docker-compose.yaml on this machine, a release on them, and faults.

python -m local_cluster --short    a release and two faults
python -m local_cluster            all faults; writes docs/results/cluster.md

Exit code: 0 every run ended in its one right state, 1 one did not, 3 something is missing here or broke.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from gate5.errors import Gate5Error
from local_airflow.components import exit_on_signals
from local_cluster.cluster import running_cluster
from local_cluster.faults import SHORT, Met, carry_out
from local_cluster.packages import NEEDED, MissingError, ensure_environment, ensure_programs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a release and two faults")
    parser.add_argument("--logs", type=Path, help="a folder that the services' output is copied to")
    parser.add_argument("--or-skip", action="store_true", help="where something is missing here, say so and exit 0")
    given = parser.parse_args()
    exit_on_signals()
    try:
        ensure_programs(NEEDED)
        ensure_environment()
    except MissingError as error:
        print(f"{'skipped' if given.or_skip else 'gate5'}: {error}", file=sys.stderr)
        return 0 if given.or_skip else error.exit_code
    try:
        return run(given.logs)
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code


def run(logs: Path | None) -> int:
    """Start a cluster, carry out every case; returns the exit code."""
    began = time.monotonic()
    print("starting PostgreSQL, Redis, S3 and Airflow's six services ...", flush=True)
    with running_cluster(logs) as cluster:
        print(f"{'ready':<40}{time.monotonic() - began:7.0f} s", flush=True)
        results = []
        for case in SHORT:
            results.append(carry_out(cluster, case))
            print("\n".join(lines(results[-1])), flush=True)
    wrong = sum(bool(result.ending.wrong) for result in results)
    print(f"{len(results)} releases, {wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def lines(result: Met) -> list[str]:
    """What is printed of a case."""
    found = result.ending
    said = "; ".join(found.wrong) if found.wrong else f"right: {found.state}, {' '.join(found.entries)}"
    tries = ", ".join(f"{task} {count}" for task, count in sorted(found.tries.items()))
    head = f"{result.case.name:<40}{result.seconds:7.0f} s  {said}{f'  (tries: {tries})' if tries else ''}"
    return [head, *(_fault(fault, met) for fault, met in zip(result.case.faults, result.met, strict=True))]


def _fault(fault: object, met: bool) -> str:
    text, task = getattr(fault, "text", ""), getattr(fault, "task", "")
    return f"    {text} in {task}{'' if met else ' (it was past that already)'}"


if __name__ == "__main__":
    sys.exit(main())
