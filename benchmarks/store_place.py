"""One store, what it is asked, and the same bytes moved plainly."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.far_client import through_a_network
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.edge.pull import pull
from gate5.io.together import together
from gate5.provenance import now
from gate5.store import ArtifactStore, load_public_keys, promote, publish
from gate5.store.channel import Log, next_entry

CHANNEL = "production"
#: A release's size: an engine of a few layers, graph, reports.
ENGINE_BYTES, REPORT_BYTES = 600_000, 400_000
#: All of it, with its manifest and its entry.
SIZES = (ENGINE_BYTES, REPORT_BYTES, 2000, 2500, 700, 1700)


class S3(Protocol):
    """A server that has the bucket ``store``."""

    def client(self) -> Any:
        """A new boto3 client of it."""


class Copier:
    """An engine of no library: what is measured is the store. It answers its observations' first columns."""

    info = None

    def infer(self, obs: Any) -> Any:
        """Actions of two columns."""
        return obs[:, :2]

    def close(self) -> None:
        """Nothing to free."""


class Place:
    """A store to be measured.

    Args:
        folder: of its key, of the plant that pulls, and of plain files.
        open_it: opens it with a client.
        server: of the bucket ``store``; ``None``: it is a directory.

    Attributes:
        far: whether requests go through a network.
        asked: what the last promotion and the last pull asked the store, by kind.
    """

    def __init__(self, folder: Path, open_it: Callable[[Any], ArtifactStore], server: S3 | None) -> None:
        self.folder, self._open, self.server, self.far = folder, open_it, server, False
        self.keys = load_public_keys([folder / "key.pub"])
        self.asked: dict[str, Counter[str]] = {}
        self._mark = 0
        for name in ("plain", "copies/plain"):
            (folder / name).mkdir(parents=True)

    def client(self) -> Any:
        """A new client; ``None`` in a directory."""
        found = self.server.client() if self.server else None
        return through_a_network(found) if self.far else found

    def open(self) -> ArtifactStore:
        """The store, as a process that begins opens it."""
        return self._open(self.client())

    def begin(self) -> None:
        """Two releases on the channel."""
        for _ in range(2):
            promote(self.open(), CHANNEL, self.publish(self.open()), approved_by="me")

    def publish(self, store: ArtifactStore) -> str:
        """A new release."""
        self._mark += 1
        noise = np.random.default_rng(self._mark)
        obs = noise.normal(size=(64, 5)).astype(np.float32)
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
        with counted(store) as asked:
            began = time.perf_counter()
            release = self.publish(store)
            done = promote(store, CHANNEL, release, approved_by="me")
            seconds = time.perf_counter() - began
        assert done.outcome == "promoted", done
        self.asked["promote"] = asked
        return seconds, _requests(asked)

    def pulled(self) -> tuple[float, int]:
        """Seconds and requests of a new plant's ``pull``."""
        store, plant = self.open(), self.folder / "plant"
        with counted(store) as asked:
            began = time.perf_counter()
            pull(store, CHANNEL, plant, self.keys, load_engine=lambda blob, metadata: Copier())
            seconds = time.perf_counter() - began
        shutil.rmtree(plant)
        self.asked["pull"] = asked
        return seconds, _requests(asked)

    def plainly(self, at_once: bool) -> tuple[float, float]:
        """Seconds to put, and to get, the bytes of a release, its manifest and its entry."""
        objects = {f"plain/{os.urandom(8).hex()}": os.urandom(size) for size in SIZES}
        client = self.client()
        do = together if at_once else _one_by_one
        began = time.perf_counter()
        do([partial(self._put, client, name, data) for name, data in objects.items()])
        put = time.perf_counter() - began
        began = time.perf_counter()
        do([partial(self._get, client, name) for name in objects])
        return put, time.perf_counter() - began

    def _put(self, client: Any, name: str, data: bytes) -> None:
        if client is not None:
            client.put_object(Bucket="store", Key=name, Body=data)
        else:
            synced(self.folder / name, data)

    def _get(self, client: Any, name: str) -> None:
        if client is not None:
            data = client.get_object(Bucket="store", Key=name)["Body"].read()
        else:
            data = (self.folder / name).read_bytes()
        synced(self.folder / "copies" / name, data)


def _one_by_one(calls: Sequence[Callable[[], Any]]) -> None:
    for call in calls:
        call()


def synced(path: Path, data: bytes) -> None:
    """Write a file that is on the disk then."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def counted(store: ArtifactStore) -> Iterator[Counter[str]]:
    """What the store is asked: HTTP requests on S3; the backend's verbs, and syncs, in a directory."""
    asked: Counter[str] = Counter()
    client = getattr(store.backend, "client", None)
    if client is not None:

        def sent(event_name: str, **_: Any) -> None:
            asked[event_name.rpartition(".")[2]] += 1

        client.meta.events.register("before-send.s3", sent)
        yield asked
        return
    for verb in ("stream", "list", "create"):  # `read` is a `stream` of one piece
        setattr(store.backend, verb, partial(_asked, asked, verb, getattr(store.backend, verb)))
    real = os.fsync
    os.fsync = partial(_asked, asked, "fsync", real)
    try:
        yield asked
    finally:
        os.fsync = real


def _asked(asked: Counter[str], verb: str, real: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    asked[verb] += 1
    return real(*arguments, **named)


def _requests(asked: Counter[str]) -> int:
    return asked.total() - asked["fsync"]
