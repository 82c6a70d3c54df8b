"""`make test-cluster`: the services of docker-compose.yaml on this machine, releases on them, and faults.

python -m local_cluster --short        a release, and two faults in another
python -m local_cluster                all faults; --page writes docs/results/cluster.md
python -m local_cluster --only kinds   one candidate, judged on two kinds of GPU

S3 is Ceph's gateway where Debian has it, and the tests' server (moto, in memory) elsewhere and in the short form, which
has to stay short. Ceph's is killed by the faults on S3; the tests' is paused, because it would lose its objects.

Exit code: 0 every run ended in its one right state, 1 one did not, 3 something is missing here or broke.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gate5.errors import Gate5Error
from local_airflow.components import exit_on_signals
from local_cluster.cases import NAMES, READY_S, groups
from local_cluster.ceph import CEPH, TESTS, chosen, name_and_version
from local_cluster.cluster import Cluster, running_cluster
from local_cluster.faults import Case, Group, Met, carry_out, went_wrong
from local_cluster.kinds import KINDS, carry_out_kinds
from local_cluster.many import MANY, carry_out_many
from local_cluster.packages import NEEDED, MissingError, ensure_environment, ensure_programs
from local_cluster.page import lines, write_page

#: So many cases go on at once: Airflow lets no more runs of one DAG do so.
AT_ONCE = 4
#: Cases that are more than one release.
OWN = {MANY.name: carry_out_many, KINDS.name: carry_out_kinds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a release, and two faults in another")
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=NAMES, help=f"these alone: {', '.join(NAMES)}")
    parser.add_argument("--s3", choices=(CEPH, TESTS), help="default: ceph where it can be had; tests with --short")
    parser.add_argument("--minutes", type=float, default=60.0, help="what has not ended by then is wrong")
    parser.add_argument("--page", action="store_true", help="write docs/results/cluster.md")
    parser.add_argument("--logs", type=Path, help="a folder that the services' output is copied to")
    parser.add_argument("--or-skip", action="store_true", help="where something is missing here, say so and exit 0")
    given = parser.parse_args()
    exit_on_signals()
    try:
        ensure_programs(NEEDED if given.short else (*NEEDED, "redis-cli"))
        s3 = chosen(given.s3, given.short)
        ensure_environment()
    except MissingError as error:
        print(f"{'skipped' if given.or_skip else 'gate5'}: {error}", file=sys.stderr)
        return 0 if given.or_skip else error.exit_code
    try:
        return run(groups(given.short, given.only), s3, given.page, given.logs, given.minutes)
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code


def run(wanted: Sequence[Group], s3: str, page: bool, logs: Path | None, minutes: float) -> int:
    """Start a cluster, carry out every case; returns the exit code."""
    began, results = time.monotonic(), list[Met]()
    parts = [
        f"start {READY_S}",
        *(f"{', '.join(case.name for case in group.cases)} {group.seconds:g}" for group in wanted),
    ]
    total = READY_S + sum(group.seconds for group in wanted)
    print(f"estimated seconds on a quiet machine: {'; '.join(parts)}; in all {total / 60:.0f} minutes", flush=True)
    server = name_and_version(s3)
    print(f"starting PostgreSQL, Redis, {server} and Airflow's six services ...", flush=True)
    with running_cluster(s3, logs) as cluster:
        ready = time.monotonic() - began
        print(f"{'ready':<14}{ready:7.0f} s", flush=True)
        for result in carried_out(cluster, wanted, began + 60 * minutes):
            results.append(result)
            print("\n".join(lines(result)), flush=True)
            if page:  # after each, so that a run that breaks off has left what it found
                write_page(results, server, ready, time.monotonic() - began)
    wrong, seconds = sum(bool(result.ending.wrong) for result in results), time.monotonic() - began
    print(f"{len(results)} cases, {wrong} wrong, {seconds:.0f} s")
    if page:
        print(f"wrote {write_page(results, server, ready, seconds)}")
    return 1 if wrong else 0


def carried_out(cluster: Cluster, wanted: Sequence[Group], end: float) -> Iterator[Met]:
    """Carry out the cases, those of one group side by side; what has not ended at ``end`` is said to be wrong."""
    for group in wanted:
        if time.monotonic() < end:
            yield from side_by_side(cluster, group.cases, end)
        else:
            yield from (went_wrong(case, 0.0, "it was not begun: the time was over") for case in group.cases)


def side_by_side(cluster: Cluster, cases: Sequence[Case], end: float) -> Iterator[Met]:
    """Carry out some cases, ``AT_ONCE`` at a time; whoever ends this process need not wait for them."""
    todo, ends = queue.SimpleQueue[Case](), queue.SimpleQueue[Met]()
    began, left = {case.name: time.monotonic() for case in cases}, {case.name: case for case in cases}

    def one_after_the_other() -> None:
        with contextlib.suppress(queue.Empty):
            while time.monotonic() < end:
                case = todo.get_nowait()
                began[case.name] = time.monotonic()
                ends.put(one(case))

    def one(case: Case) -> Met:
        try:
            return OWN[case.name](cluster) if case.name in OWN else carry_out(cluster, case)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this case's row, and the others go on)
            why = " ".join(str(error).split())[:300]
            return went_wrong(case, time.monotonic() - began[case.name], f"{type(error).__name__}: {why}")

    for case in cases:
        todo.put(case)
    for _ in range(min(AT_ONCE, len(cases))):
        threading.Thread(target=one_after_the_other, daemon=True).start()
    while left and time.monotonic() < end:
        try:
            found = ends.get(timeout=0.2)
        except queue.Empty:
            continue
        del left[found.case.name]
        yield found
    for case in left.values():
        yield went_wrong(case, time.monotonic() - began[case.name], "it had not ended when the time was over")


if __name__ == "__main__":
    sys.exit(main())
