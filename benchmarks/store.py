"""What the store costs: requests and seconds of a promotion and of a pull, however long the log, and a race.

    python -m benchmarks.store [--entries 1 100 10000] [--repeat 5] [--racers 16 --each 20]

Beside each stand the same bytes moved plainly: boto3's ``put_object`` and ``get_object`` on S3 (the tests' server, in
a process of its own), files written and synced in a directory. Writes docs/results/store.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import description, table, write
from gate5.config.channel import StoreConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.edge.pull import pull
from gate5.provenance import now
from gate5.store import ArtifactStore, history, keygen, load_public_keys, open_store, promote, publish
from gate5.store.channel import Log, next_entry
from tests.support.s3_server import S3Server

CHANNEL = "production"
#: A release's size: an engine of a few layers, graph, reports.
ENGINE_BYTES, REPORT_BYTES = 600_000, 400_000
TEXT = """
A release of {megabytes:.1f} MB in four files. `promote`: publish it and put it on a channel whose log has so many
entries. `pull`: a new plant, all signatures and hashes verified, 64 golden inputs replayed (by a stand-in for the
engine). `plain`: six objects of the same sizes, one after the other: boto3's put and get on S3, files written and
synced in a directory; what was got is written and synced, as a pull does. Requests: HTTP on S3, verbs in a directory.
Medians of {repeat}. S3 is the tests' server on this machine, so that a request costs next to no network: where a
network is slow, the number of requests counts.
"""


class Copier:
    """An engine of no library: what is measured is the store. It answers its observations' first columns."""

    info = None

    def infer(self, obs: Any) -> Any:
        """Actions of two columns."""
        return obs[:, :2]

    def close(self) -> None:
        """Nothing to free."""


class Place:
    """One store, what it is asked, and the same bytes moved plainly."""

    def __init__(self, name: str, folder: Path, open_it: Callable[[], ArtifactStore], server: S3Server | None) -> None:
        self.name, self.folder, self.open, self.server = name, folder, open_it, server
        self.keys = load_public_keys([folder / "key.pub"])
        self._mark, self._log_at = 0, 0
        self.fills = [self.publish(self.open()) for _ in range(2)]
        for release in self.fills:
            promote(self.open(), CHANNEL, release, approved_by="me")

    def publish(self, store: ArtifactStore) -> str:
        """A new release."""
        self._mark += 1
        obs = np.random.default_rng(self._mark).normal(size=(64, 5)).astype(np.float32)
        noise = np.random.default_rng(self._mark)
        files = {
            "engine/policy.engine": noise.bytes(ENGINE_BYTES),
            "engine/engine.json": b"{}",
            "golden.npz": pack_golden(obs, obs[:, :2]),
            "report.html": noise.bytes(REPORT_BYTES),
        }
        given = {"plant": "tank", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
        made = {"run": {"finished_on": now()}, "golden": golden_provenance(1e-5)}
        return publish(store, files, {**given, **made}).id

    def lengthen(self, entries: int) -> None:
        """Make the log so long: signed entries that put one of two releases in place of the other."""
        store = self.open()
        log = Log(store, CHANNEL, self.keys)
        newest = log.newest()
        assert newest is not None
        other = {newest.release: newest, log.at(newest.sequence - 1).release: log.at(newest.sequence - 1)}
        names = list(other)
        while newest.sequence < entries:
            to = other[names[newest.sequence % 2]]
            wanted = next_entry(
                log, newest, kind="promote", release=to.release, manifest_sha256=to.manifest_sha256, by="me"
            )
            made = log.append(wanted, store.signer)
            assert made is not None
            newest = made

    def promotion(self) -> tuple[float, int]:
        """Seconds and requests of ``publish`` and ``promote`` of a new release."""
        store = self.open()
        with counted(store) as requests:
            began = time.perf_counter()
            release = self.publish(store)
            done = promote(store, CHANNEL, release, approved_by="me")
            seconds = time.perf_counter() - began
        assert done.outcome == "promoted", done
        return seconds, len(requests)

    def pulled(self) -> tuple[float, int]:
        """Seconds and requests of a new plant's ``pull``."""
        store, plant = self.open(), self.folder / "plant"
        with counted(store) as requests:
            began = time.perf_counter()
            pull(store, CHANNEL, plant, self.keys, load_engine=lambda blob, metadata: Copier())
            seconds = time.perf_counter() - began
        shutil.rmtree(plant)
        return seconds, len(requests)

    def plainly(self) -> tuple[float, float]:
        """Seconds to put, and to get, the bytes of a release, its manifest and its entry, one after the other."""
        noise = np.random.default_rng(1)
        objects = [noise.bytes(size) for size in (ENGINE_BYTES, REPORT_BYTES, 2000, 2500, 700, 1700)]
        beside = self.folder / "plain"
        beside.mkdir(exist_ok=True)
        client = self.server.client() if self.server else None
        names = [f"plain/{noise.bytes(8).hex()}" for _ in objects]
        began = time.perf_counter()
        for name, data in zip(names, objects, strict=True):
            if client is not None:
                client.put_object(Bucket="store", Key=name, Body=data)
            else:
                synced(self.folder / name, data)
        put = time.perf_counter() - began
        began = time.perf_counter()
        for name in names:
            if client is not None:
                data = client.get_object(Bucket="store", Key=name)["Body"].read()
            else:
                data = (self.folder / name).read_bytes()
            synced(beside / "copy", data)
        return put, time.perf_counter() - began


def synced(path: Path, data: bytes) -> None:
    """Write a file that is on the disk then."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def counted(store: ArtifactStore) -> Iterator[list[str]]:
    """What the store is asked: HTTP requests on S3, the backend's verbs in a directory."""
    asked: list[str] = []
    client = getattr(store.backend, "client", None)
    if client is not None:
        client.meta.events.register("before-send.s3", lambda **_: asked.append("request"))
    else:
        for verb in ("read", "stream", "list", "create"):
            real = getattr(store.backend, verb)

            def ask(*arguments: Any, real: Any = real, **named: Any) -> Any:
                asked.append("verb")
                return real(*arguments, **named)

            setattr(store.backend, verb, ask)
    yield asked


def measured(place: Place, entries: int, repeat: int) -> tuple[str, ...]:
    """One row: medians."""
    place.lengthen(entries)
    rows = []
    for _ in range(repeat):
        rows.append((*place.promotion(), *place.pulled(), *place.plainly()))
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    put_s, puts, pull_s, gets, plain_put, plain_get = middle
    print(f"{place.name} {entries}: promote {put_s * 1e3:.0f} ms, pull {pull_s * 1e3:.0f} ms", flush=True)
    promoted = (f"{puts:.0f}", f"{put_s * 1e3:.0f}", f"{plain_put * 1e3:.0f}", f"{put_s / plain_put:.2f}")
    pulled = (f"{gets:.0f}", f"{pull_s * 1e3:.0f}", f"{plain_get * 1e3:.0f}", f"{pull_s / plain_get:.2f}")
    return (place.name, f"{entries:,}", *promoted, *pulled)


def race(open_it: Callable[[], ArtifactStore], racers: int, each: int) -> float:
    """Seconds for so many processes to promote so many releases each, all at once on one channel.

    Raises:
        SystemExit: a promotion is missing from the log, or is there twice.
    """
    ready, go = os.pipe(), os.pipe()
    children = []
    for racer in range(racers):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store = open_it()
                names = [_small(store, f"{racer} {number}") for number in range(each)]
                os.write(ready[1], b"x")
                os.read(go[0], 1)
                for name in names:
                    if promote(store, "race", name, approved_by=f"P{racer}").outcome != "promoted":
                        raise SystemExit(f"{name} was not promoted")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    for _ in children:
        os.read(ready[0], 1)
    began = time.perf_counter()
    os.write(go[1], b"x" * racers)
    codes = [os.waitpid(child, 0)[1] for child in children]
    seconds = time.perf_counter() - began
    store = open_it()
    found = [entry.release for entry in history(store, "race", store.trusted_keys)]
    if any(codes) or len(found) != racers * each or len(set(found)) != len(found):
        raise SystemExit(f"the race lost something: {len(found)} entries, codes {codes}")
    return seconds


def _small(store: ArtifactStore, mark: str) -> str:
    given = {"plant": "tank", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    return publish(store, {"engine/policy.engine": mark.encode()}, given).id


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[2, 100, 10_000])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--racers", type=int, default=16)
    parser.add_argument("--each", type=int, default=20)
    given = parser.parse_args()
    rows, races = [], {}
    with tempfile.TemporaryDirectory(prefix="gate5-store-") as folder, S3Server() as server:
        server.bucket("store")
        for name in ("directory", "S3"):
            home = Path(folder) / name
            (home / "plain").mkdir(parents=True)
            keygen(home / "key.pem")
            uri = str(home / "store") if name == "directory" else "s3://store/prefix"
            config = StoreConfig(uri=uri, signing_key=str(home / "key.pem"))

            def open_it(config: StoreConfig = config, name: str = name) -> ArtifactStore:
                return open_store(config, client=server.client() if name == "S3" else None)

            open_it().ensure_safe()
            races[name] = race(open_it, given.racers, given.each)
            print(f"{name}: {given.racers} x {given.each} promotions at once: {races[name]:.1f} s", flush=True)
            place = Place(name, home, open_it, server if name == "S3" else None)
            rows += [measured(place, entries, given.repeat) for entries in given.entries]
    page(rows, races, given)
    return 0


def page(rows: list[tuple[str, ...]], races: dict[str, float], given: argparse.Namespace) -> None:
    """Write the page and its numbers."""
    columns = ("requests", "{}, ms", "plain, ms", "ratio")
    head = ("store", "entries", *(f"{column.format(what)}" for what in ("promote", "pull") for column in columns))
    told = TEXT.format(megabytes=(ENGINE_BYTES + REPORT_BYTES) / 1e6, repeat=given.repeat)
    count = given.racers * given.each
    text = [
        *textwrap.wrap(told.strip(), 130),
        "",
        *table(head, rows),
        "",
        f"{given.racers} processes that promote {given.each} releases each, all at once on one channel; all {count}",
        f"are in the log, each once: {', '.join(f'{name} {seconds:.0f} s' for name, seconds in races.items())}.",
    ]
    machine = description(("boto3", "moto", "securesystemslib"))
    result = {"machine": machine, "head": list(head), "rows": [list(row) for row in rows], "race_s": races}
    write("store", "What the store costs", "python -m benchmarks.store", result, text)


if __name__ == "__main__":
    sys.exit(main())
