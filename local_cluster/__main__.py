"""`make test-cluster`: the services of docker-compose.yaml on this machine, releases on them, and faults.

python -m local_cluster --short    a release, and two faults in another
python -m local_cluster            all faults; --page writes docs/results/cluster.md

Exit code: 0 every run ended in its one right state, 1 one did not, 3 something is missing here or broke.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gate5.errors import Gate5Error
from local_airflow.components import exit_on_signals
from local_cluster.cluster import Cluster, running_cluster
from local_cluster.faults import LONG, SHORT, Case, Met, carry_out
from local_cluster.many import MANY, carry_out_many
from local_cluster.packages import NEEDED, MissingError, ensure_environment, ensure_programs
from local_cluster.page import lines, write_page

NAMES = [*(case.name for group in LONG for case in group), MANY.name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a release, and two faults in another")
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=NAMES, help=f"these alone: {', '.join(NAMES)}")
    parser.add_argument("--page", action="store_true", help="write docs/results/cluster.md")
    parser.add_argument("--logs", type=Path, help="a folder that the services' output is copied to")
    parser.add_argument("--or-skip", action="store_true", help="where something is missing here, say so and exit 0")
    given = parser.parse_args()
    exit_on_signals()
    try:
        ensure_programs(NEEDED if given.short else (*NEEDED, "redis-cli"))
        ensure_environment()
    except MissingError as error:
        print(f"{'skipped' if given.or_skip else 'gate5'}: {error}", file=sys.stderr)
        return 0 if given.or_skip else error.exit_code
    try:
        return run(groups(given.short, given.only), given.page, given.logs)
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code


def groups(short: bool, only: Sequence[str] | None) -> list[list[Case]]:
    """The cases that are asked for, in groups that go on side by side."""
    if short:
        return [[case] for case in SHORT]
    usual = [list(group) for group in LONG]
    if only is not None:
        usual = [[case for group in usual for case in group if case.name in only]]
    many = [[MANY]] if only is None or MANY.name in only else []
    return [group for group in (*usual, *many) if group]


def run(wanted: Sequence[Sequence[Case]], page: bool, logs: Path | None) -> int:
    """Start a cluster, carry out every case; returns the exit code."""
    began, results = time.monotonic(), list[Met]()
    print("starting PostgreSQL, Redis, S3 and Airflow's six services ...", flush=True)
    with running_cluster(logs) as cluster:
        ready = time.monotonic() - began
        print(f"{'ready':<14}{ready:7.0f} s", flush=True)
        for result in carried_out(cluster, wanted):
            results.append(result)
            print("\n".join(lines(result)), flush=True)
            if page:  # after each, so that a run that breaks off has left what it found
                write_page(results, ready, time.monotonic() - began)
    wrong, seconds = sum(bool(result.ending.wrong) for result in results), time.monotonic() - began
    print(f"{len(results)} cases, {wrong} wrong, {seconds:.0f} s")
    if page:
        print(f"wrote {write_page(results, ready, seconds)}")
    return 1 if wrong else 0


def carried_out(cluster: Cluster, wanted: Sequence[Sequence[Case]]) -> Iterator[Met]:
    """Carry out the cases, those of one group side by side."""
    for group in wanted:
        if MANY in group:
            yield carry_out_many(cluster)
        else:
            yield from side_by_side(cluster, group)


def side_by_side(cluster: Cluster, group: Sequence[Case]) -> Iterator[Met]:
    """Carry out some cases at once; whoever ends this process need not wait for them."""
    ends: queue.Queue[Met | Exception] = queue.Queue()

    def one(case: Case) -> None:
        try:
            ends.put(carry_out(cluster, case))
        except Exception as error:  # noqa: BLE001 (raised below, where somebody sees it)
            ends.put(error)

    for case in group:
        threading.Thread(target=one, args=(case,), daemon=True).start()
    for _ in group:
        while ends.empty():  # each case waits with a patience of its own
            time.sleep(0.2)
        found = ends.get()
        if isinstance(found, Exception):
            raise found
        yield found


if __name__ == "__main__":
    sys.exit(main())
