"""What the store costs: requests and seconds of a promotion and of a pull, however long the log, and a race.

    python -m benchmarks.store [--entries 2 100 10000] [--repeat 7] [--racers 16 --each 20] [--race]

Beside each stand the same bytes moved plainly, one object after the other and four at once: boto3's ``put_object`` and
``get_object`` on S3 (the tests' server in a process of its own, near and a network away), files written and synced in a
directory. Writes docs/results/store.md; with ``--race`` only the race is run, and no page is written.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.far_server import ROUND_TRIP_S
from benchmarks.results import description, table, write
from benchmarks.store_place import ENGINE_BYTES, REPORT_BYTES, Place
from benchmarks.store_race import race
from gate5.config.channel import StoreConfig
from gate5.io.together import AT_ONCE
from gate5.store import ArtifactStore, keygen, open_store
from tests.support.s3_server import S3Server

TEXT = """
A release of {megabytes:.1f} MB in four files. `promote`: publish it and put it on a channel whose log has so many
entries. `pull`: a new plant, all signatures and hashes verified, 64 golden inputs replayed (by a stand-in for the
engine). `plain`: six objects of the same sizes (manifest and entry are two of them): boto3's put and get on S3, files
written and synced in a directory; what was got is written and synced, as a pull does; one after the other, and
{at_once} at once, as many as gate5 has on their way at once. Requests: HTTP on S3, verbs in a directory. Medians of
{repeat}. S3 is the tests' server on this machine, so that a request costs processor time and next to no network;
`S3, far` is the same server with {far:.0f} ms for the way of each request there and back.
"""
MORE = """
What a promotion asks of S3: {promote}. Beside moving the bytes it writes that it is about to need them (so that a
clean-up spares them) and where its entry will be found (so that nobody reads the log), reads back and hashes every file
that it is about to put in charge of a plant, and reads its entry back, because a server that only says so is not
believed. None of that is left out to be quicker. A pull: {pull}. In a directory a promotion has {promote_syncs} syncs
of files and folders, a pull {pull_syncs}; the plain files have six, and their names are not synced.
"""

Open = Callable[[Any], ArtifactStore]
Row = tuple[str, ...]


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


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[2, 100, 10_000], help="2 at least")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--racers", type=int, default=16)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--race", action="store_true", help="the race alone, without a page")
    given = parser.parse_args()
    rows: list[tuple[Row, Row]] = []
    races: dict[str, float] = {}
    asked: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="gate5-store-") as folder,
        S3Server(middleware="benchmarks.far_server:delayed") as server,
    ):
        server.bucket("store")
        for name in ("directory", "S3"):
            home = Path(folder) / name
            home.mkdir()
            keygen(home / "key.pem")
            uri = str(home / "store") if name == "directory" else "s3://store/prefix"
            config = StoreConfig(uri=uri, signing_key=str(home / "key.pem"))

            def open_it(client: Any, config: StoreConfig = config) -> ArtifactStore:
                return open_store(config, client=client)

            place = Place(home, open_it, server if name == "S3" else None)
            races[name] = race(place.open, given.racers, given.each)
            print(f"{name}: {given.racers} x {given.each} promotions at once: {races[name]:.1f} s", flush=True)
            if not given.race:
                rows += _rows(place, name, given.entries, given.repeat)
                asked[name] = {what: dict(counted) for what, counted in place.asked.items()}
    if not given.race:
        page(rows, races, asked, given)
    return 0


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


def page(
    rows: list[tuple[Row, Row]], races: dict[str, float], asked: dict[str, Any], given: argparse.Namespace
) -> None:
    """Write the page and its numbers."""
    plain = ("one by one, ms", "ratio", f"{AT_ONCE} at once, ms", "ratio")
    heads = [("store", "entries", "requests", f"{what}, ms", *plain) for what in ("promote", "pull")]
    megabytes = (ENGINE_BYTES + REPORT_BYTES) / 1e6
    told = TEXT.format(megabytes=megabytes, repeat=given.repeat, at_once=AT_ONCE, far=ROUND_TRIP_S * 1e3)
    directory, s3 = asked["directory"], asked["S3"]
    more = MORE.format(
        promote=_sentence(s3["promote"]),
        pull=_sentence(s3["pull"]),
        promote_syncs=directory["promote"]["fsync"],
        pull_syncs=directory["pull"]["fsync"],
    )
    count = given.racers * given.each
    text = [
        *textwrap.wrap(told.strip(), 130),
        *(
            line
            for head, table_rows in zip(heads, zip(*rows, strict=True), strict=True)
            for line in ("", *table(head, table_rows))
        ),
        "",
        *textwrap.wrap(more.strip(), 130),
        "",
        f"{given.racers} processes that promote {given.each} releases each, all at once on one channel; all {count}",
        f"are in the log, each once: {', '.join(f'{name} {seconds:.0f} s' for name, seconds in races.items())}.",
    ]
    machine = description(("boto3", "moto", "securesystemslib"))
    kept = {
        what: [list(row) for row in found]
        for what, found in zip(("promote", "pull"), zip(*rows, strict=True), strict=True)
    }
    result = {"machine": machine, "head": [list(head) for head in heads], **kept, "race_s": races, "asked": asked}
    write("store", "What the store costs", "python -m benchmarks.store", result, text)


def _sentence(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


if __name__ == "__main__":
    sys.exit(main())
