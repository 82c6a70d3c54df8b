"""Many promoters at once: the log is a gapless chain and every promotion is in it exactly once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.errors import StoreError
from gate5.store import ArtifactStore, current, history, open_store, promote, publish, rollback
from gate5.store.channel import ChannelEntry, Log
from tests.support.s3_server import S3Server

Open = Callable[[], ArtifactStore]
Files = Callable[[object], dict[str, bytes]]

PROCESSES = 5
EACH = 3


def test_processes_promote_at_once(
    make_store: Callable[[], Open], files: Files, provenance: Callable[[], dict[str, Any]]
) -> None:
    open_it = make_store()
    ready, go = os.pipe(), os.pipe()
    children: list[int] = []
    for process in range(PROCESSES):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store = open_it()
                releases = [publish(store, files((process, n)), provenance()) for n in range(EACH)]
                os.write(ready[1], b"x")
                os.read(go[0], 1)
                for release in releases:
                    assert promote(store, "production", release, approved_by=f"P{process}").outcome == "promoted"
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    for _ in children:
        os.read(ready[0], 1)
    os.write(go[1], b"x" * PROCESSES)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * PROCESSES
    store = open_it()
    entries = history(store, "production", store.trusted_keys)  # verifies numbers, hashes and signatures
    assert [entry.sequence for entry in entries] == list(range(PROCESSES * EACH, 0, -1))
    assert len({entry.release for entry in entries}) == PROCESSES * EACH
    for process in range(PROCESSES):
        assert [entry.by for entry in entries].count(f"P{process}") == EACH


def test_the_same_candidate_promoted_at_once_is_one_entry(
    make_store: Callable[[], Open], files: Files, provenance: Callable[[], dict[str, Any]]
) -> None:
    open_it = make_store()
    stores = [open_it() for _ in range(4)]
    barrier, outcomes = threading.Barrier(4), []

    def run(store: ArtifactStore) -> None:
        release = publish(store, files("same"), provenance())
        barrier.wait()
        outcomes.append(promote(store, "production", release, approved_by="A. Person").outcome)

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["already_current"] * 3 + ["promoted"]
    assert len(history(stores[0], "production")) == 1


def test_the_loser_of_a_race_sees_the_winner_before_it_decides(
    opened: ArtifactStore, files: Files, provenance: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another promotion lands between this one's look and its write: this one is entry 2, on top of the other."""
    mine = publish(opened, files("mine"), provenance())
    theirs = publish(opened, files("theirs"), provenance())
    append, raced = Log.append, list[bool]()

    def append_after_another(log: Log, entry: ChannelEntry, signer: Any) -> ChannelEntry | None:
        if not raced:
            raced.append(True)
            promote(opened, "production", theirs, approved_by="other")
        return append(log, entry, signer)

    monkeypatch.setattr(Log, "append", append_after_another)
    done = promote(opened, "production", mine, approved_by="me")
    assert (done.outcome, done.sequence, done.replaced) == ("promoted", 2, theirs.id)
    assert [entry.release for entry in history(opened, "production")] == [mine.id, theirs.id]


def test_a_rollback_that_loses_a_race_does_not_guess(
    opened: ArtifactStore, files: Files, provenance: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C is bad, a person rolls back, D lands first: `the one before` would now be C, the bad one."""
    a, b, c, d = (publish(opened, files(mark), provenance()) for mark in "abcd")
    for release in (a, b, c):
        promote(opened, "production", release, approved_by="me")
    append, raced = Log.append, list[bool]()

    def append_after_another(log: Log, entry: ChannelEntry, signer: Any) -> ChannelEntry | None:
        if not raced:
            raced.append(True)
            promote(opened, "production", d, approved_by="other")
        return append(log, entry, signer)

    monkeypatch.setattr(Log, "append", append_after_another)
    with pytest.raises(StoreError, match="changed at the same time"):
        rollback(opened, "production", by="me", reason="C trips the compressor")
    newest = current(opened, "production")
    assert newest
    assert newest.release == d.id
    assert rollback(opened, "production", to=a.id, by="me", reason="A was fine").outcome == "rolled_back"


def test_a_store_that_says_yes_and_keeps_the_other(
    store: ArtifactStore, files: Files, provenance: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that passed the probe by luck: the second writer overwrites the first, who must not report success."""
    mine = publish(store, files("mine"), provenance())
    create = store.backend.create

    def create_and_be_overwritten(name: str, data: bytes) -> bool:
        created = create(name, data)
        (Path(store.backend.uri) / name).write_bytes(b"of another")
        return created

    monkeypatch.setattr(store.backend, "create", create_and_be_overwritten)
    with pytest.raises(StoreError, match="keeps something else there: it is not safe"):
        promote(store, "production", mine, approved_by="me")


def test_a_lost_answer_is_not_a_lost_race(
    signing_key: Path, files: Files, provenance: Callable[[], dict[str, Any]]
) -> None:
    """The server creates the entry but its answer is an error; the repeated write then meets its own object."""
    here = str(Path(__file__).parent)
    for kind in ("loses_answers", "says_conflict", "conflicts_after_writing"):
        with S3Server(middleware=f"bad_servers:{kind}", path=here) as server:
            config = StoreConfig(uri=f"s3://{server.bucket('bucket')}", signing_key=str(signing_key))
            store = open_store(config, client=server.client())
            # Marked as probed: against these servers every creation of the race would cost a pause.
            server.client().put_object(Bucket="bucket", Key=f"probe/{store.backend.identity}.json", Body=b"{}")
            for mark in range(1 + (kind == "says_conflict")):
                release = publish(store, files(mark), provenance())
                assert promote(store, "production", release, approved_by="me").outcome == "promoted"
                assert promote(store, "production", release, approved_by="me").outcome == "already_current", "twice"
            assert [entry.sequence for entry in history(store, "production")][-1:] == [1]
