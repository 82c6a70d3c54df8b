"""docs/results/store.md: what ``benchmarks.store`` has found, in words and tables."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

from benchmarks.far_client import ROUND_TRIP_S
from benchmarks.results import description, table, write
from benchmarks.store_place import ENGINE_BYTES, REPORT_BYTES
from gate5.io.together import AT_ONCE

Row = tuple[str, ...]

TEXT = """
A release of {megabytes:.1f} MB in four files. `promote`: publish it and put it on a channel whose log has so many
entries. `pull`: a new plant, all signatures and hashes verified, 64 golden inputs replayed (by a stand-in for the
engine). `plain`: six objects of the same sizes (manifest and entry are two of them): boto3's put and get on S3, files
written and synced in a directory; what was got is written and synced, as a pull does; one after the other, and
{at_once} at once, as many as gate5 has on their way at once. Requests: HTTP on S3, verbs in a directory. Medians of
{repeat}. S3 is {server} on this machine, so that a request costs processor time and next
to no network; `S3, far` is the same server with {far:.0f} ms for the way of each request there and back.
"""
MORE = """
What a promotion asks of S3: {promote}. Beside moving the bytes it writes that it is about to need them (so that a
clean-up spares them) and where its entry will be found (so that nobody reads the log), reads back and hashes every file
that it is about to put in charge of a plant, and reads its entry back, because a server that only says so is not
believed. None of that is left out to be quicker. A pull: {pull}. In a directory a promotion has {promote_syncs} syncs
of files and folders, a pull {pull_syncs}; the plain files have six, and their names are not synced.
"""

DELAY = """
radosgw has `tcp_nodelay=1` here, as docker-compose.yaml says (decision 161): a get of {size:,} bytes takes
{now:.1f} ms, and {otherwise:.1f} ms without it.
"""


@dataclass
class Found:
    """What was measured.

    Attributes:
        server: which S3 server it was.
        rows: of the table of promotions and of that of pulls.
        races: seconds of the race, by store.
        asked: store -> ``promote`` or ``pull`` -> requests by kind.
        gets: seconds of a small object's get, and of one where radosgw has no ``tcp_nodelay``; empty: not measured.
        small: that object's size, bytes.
    """

    server: str
    rows: list[tuple[Row, Row]] = field(default_factory=list)
    races: dict[str, float] = field(default_factory=dict)
    asked: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    gets: tuple[float, ...] = ()
    small: int = 0


def page(found: Found, repeat: int, racers: int, each: int) -> None:
    """Write the page and its numbers."""
    plain = ("one by one, ms", "ratio", f"{AT_ONCE} at once, ms", "ratio")
    heads = [("store", "entries", "requests", f"{what}, ms", *plain) for what in ("promote", "pull")]
    tables = [list(rows) for rows in zip(*found.rows, strict=True)]
    text = [
        *textwrap.wrap(_told(found, repeat), 130),
        *(line for head, rows in zip(heads, tables, strict=True) for line in ("", *table(head, rows))),
        "",
        *textwrap.wrap(_asked(found), 130),
        *(["", *textwrap.wrap(_delay(found), 130)] if found.gets else []),
        "",
        f"{racers} processes that promote {each} releases each, all at once on one channel; all {racers * each}",
        f"are in the log, each once: {', '.join(f'{name} {seconds:.0f} s' for name, seconds in found.races.items())}.",
    ]
    result: dict[str, Any] = {
        "machine": description(("boto3", "moto", "securesystemslib")),
        "s3": found.server,
        "head": [list(head) for head in heads],
        "promote": [list(row) for row in tables[0]],
        "pull": [list(row) for row in tables[1]],
        "race_s": found.races,
        "asked": found.asked,
        "small_get_s": list(found.gets),
    }
    write("store", "What the store costs", "python -m benchmarks.store", result, text)


def _told(found: Found, repeat: int) -> str:
    megabytes, far = (ENGINE_BYTES + REPORT_BYTES) / 1e6, ROUND_TRIP_S * 1e3
    return TEXT.format(megabytes=megabytes, repeat=repeat, at_once=AT_ONCE, far=far, server=found.server).strip()


def _asked(found: Found) -> str:
    directory, s3 = found.asked["directory"], found.asked["S3"]
    return MORE.format(
        promote=_sentence(s3["promote"]),
        pull=_sentence(s3["pull"]),
        promote_syncs=directory["promote"]["fsync"],
        pull_syncs=directory["pull"]["fsync"],
    ).strip()


def _delay(found: Found) -> str:
    now, otherwise = (seconds * 1e3 for seconds in found.gets)
    return DELAY.format(size=found.small, now=now, otherwise=otherwise).strip()


def _sentence(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))
