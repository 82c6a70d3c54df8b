"""What the store costs: requests and seconds of a promotion and of a pull, however long the log, and a race.

    python -m benchmarks.store [--entries 2 100 10000] [--repeat 7] [--racers 16 --each 20] [--race] [--s3 tests]

Beside each stand the same bytes moved plainly, one object after the other and four at once: boto3's ``put_object`` and
``get_object`` on S3 (Ceph's gateway on this machine where Debian has it, else the tests' server; near, and a network
away), files written and synced in a directory. Writes docs/results/store.md; with ``--race`` only the race is run, and
no page is written.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks.ceph_server import CephServer, ceph_server
from benchmarks.store_page import Found, Row, page
from benchmarks.store_place import S3, Place
from benchmarks.store_race import race
from gate5.config.channel import StoreConfig
from gate5.errors import OperationError
from gate5.store import keygen, open_store
from tests.support.s3_server import S3Server

#: An entry of a channel's log has about so many bytes.
SMALL_BYTES, GETS = 2000, 40


def measured(place: Place, name: str, entries: int, repeat: int) -> tuple[Row, Row]:
    """A row of each table: medians."""
    rows = []
    for _ in range(repeat):
        rows.append((*place.promotion(), *place.pulled(), *place.plainly(False), *place.plainly(True)))
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    put_s, puts, pull_s, gets, put, get, put_at_once, get_at_once = middle
    print(f"{name} {entries}: promote {put_s * 1e3:.0f} ms, pull {pull_s * 1e3:.0f} ms", flush=True)
    start = (name, f"{entries:,}")
    return (*start, *_row(puts, put_s, put, put_at_once)), (*start, *_row(gets, pull_s, get, get_at_once))


def _row(requests: float, seconds: float, plain: float, at_once: float) -> Row:
    compared = (text for other in (plain, at_once) for text in (f"{other * 1e3:.0f}", f"{seconds / other:.2f}"))
    return (f"{requests:.0f}", f"{seconds * 1e3:.0f}", *compared)


def small_get(server: CephServer) -> float:
    """Median time of a small object's get [s]."""
    client, times = server.client(), list[float]()
    client.put_object(Bucket="store", Key="small", Body=bytes(SMALL_BYTES))
    for _ in range(GETS):
        began = time.perf_counter()
        client.get_object(Bucket="store", Key="small")["Body"].read()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def small_gets(server: CephServer) -> tuple[float, float]:
    """The same here, and where radosgw's front end has not the option that the compose file gives it."""
    with ceph_server("--front-end", "") as other:
        other.bucket("store")
        return small_get(server), small_get(other)


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[2, 100, 10_000], help="2 at least")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--racers", type=int, default=16)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--race", action="store_true", help="the race alone, without a page")
    parser.add_argument("--s3", choices=["ceph", "tests"], help="which S3 server (default: Ceph where it can be had)")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gate5-store-"))
        server = s3_server(stack, given.s3)
        found = Found(server.name if isinstance(server, CephServer) else f"the tests' server (moto {version('moto')})")
        server.bucket("store")
        for name in ("directory", "S3"):
            place = _place(Path(folder) / name, server if name == "S3" else None)
            found.races[name] = race(place.open, given.racers, given.each)
            print(f"{name}: {given.racers} x {given.each} promotions at once: {found.races[name]:.1f} s", flush=True)
            if not given.race:
                found.rows += _rows(place, name, given.entries, given.repeat)
                found.asked[name] = {what: dict(counted) for what, counted in place.asked.items()}
        if isinstance(server, CephServer) and not given.race:
            found.gets, found.small = small_gets(server), SMALL_BYTES
    if not given.race:
        page(found, given.repeat, given.racers, given.each)
    return 0


def s3_server(stack: ExitStack, asked: str | None) -> CephServer | S3Server:
    """Ceph's gateway; the tests' server where that is asked for, or nothing is and Ceph cannot be had."""
    if asked != "tests":
        try:
            return stack.enter_context(ceph_server())
        except OperationError as error:
            if asked:
                raise
            print(f"S3 is the tests' server: {error}", file=sys.stderr, flush=True)
    return stack.enter_context(S3Server())


def _place(home: Path, server: S3 | None) -> Place:
    """A store with a key of its own, in a directory or on a server."""
    home.mkdir()
    keygen(home / "key.pem")
    config = StoreConfig(uri="s3://store/prefix" if server else str(home / "store"), signing_key=str(home / "key.pem"))
    return Place(home, lambda client: open_store(config, client=client), server)


def _rows(place: Place, name: str, entries: list[int], repeat: int) -> list[tuple[Row, Row]]:
    place.begin()
    found = []
    for count in entries:
        place.lengthen(count)
        found.append(measured(place, name, count, repeat))
        if place.server is not None:
            place.far = True
            found.append(measured(place, f"{name}, far", count, repeat))
            place.far = False
    return found


if __name__ == "__main__":
    sys.exit(main())
