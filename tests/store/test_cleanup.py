"""``gate5 gc``: old releases that no channel's window names go, and nothing that anybody needs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.errors import IntegrityError, StoreError, StoreInputError
from gate5.store import (
    ArtifactStore,
    cleanup,
    current,
    history,
    hold,
    holds,
    intents,
    list_releases,
    open_store,
    promote,
    publish,
    rollback,
    verify_release,
)
from gate5.store.artifact_store import blob_name
from gate5.store.cleanup import clean
from gate5.store.directory import DirectoryBackend
from tests.support.s3_server import S3Server

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]


def age(store: ArtifactStore, prefixes: tuple[str, ...] = ("",)) -> None:
    """Make everything three days old."""
    assert isinstance(store.backend, DirectoryBackend)
    then = time.time() - 3 * 86400
    for prefix in prefixes:
        for name in store.backend.list(prefix):
            os.utime(store.backend.path / name, (then, then))


@pytest.fixture
def long_log(store: ArtifactStore, files: Files, provenance: Provenance) -> list[str]:
    """Six releases on one channel, one on another, and a blob that belongs to none."""
    store.backend.create(f"probe/{store.backend.identity}.json", b"{}")
    ids = []
    for mark in range(6):
        release = publish(store, files(mark), provenance())
        promote(store, "production", release, approved_by="me")
        ids.append(release.id)
    staging = publish(store, files("s"), provenance())
    promote(store, "staging", staging, approved_by="me")
    store.put_blob(b"of a publication that was killed")
    return [*ids, staging.id]


def test_dry_by_default(store: ArtifactStore, long_log: list[str]) -> None:
    age(store)
    before = store.backend.list("")
    found = clean(store, keep=2)
    assert found.releases == tuple(sorted(long_log[:3]))
    assert not found.deleted
    assert "would remove (--delete does) 3 releases" in found.line()
    assert store.backend.list("") == before


def test_what_a_window_names_stays(store: ArtifactStore, long_log: list[str]) -> None:
    hold(store, "production", "a" * 64, by="me", reason="r")
    age(store)
    found = clean(store, keep=2, delete=True)
    assert set(list_releases(store)) == {*long_log[3:]}
    assert {name for name in found.objects if name.startswith("releases/")} == {
        f"releases/{release}/manifest.json" for release in long_log[:3]
    }
    store._remembered.clear()
    for release in list_releases(store):
        verify_release(store, release, store.trusted_keys)
    assert holds(store, "production", store.trusted_keys)[0].identities == ("a" * 64,)
    assert len(history(store, "production", store.trusted_keys)) == 7
    assert rollback(store, "production", by="me", reason="r").release == long_log[4]
    with pytest.raises(StoreInputError, match="There is no release"):
        rollback(store, "production", to=long_log[0], by="me", reason="r")
    assert clean(store, keep=9, delete=True).releases == ()


def test_what_is_young_stays(store: ArtifactStore, long_log: list[str]) -> None:
    assert clean(store, keep=1, delete=True).objects == ()
    age(store, ("releases/",))
    left = clean(store, keep=1)
    assert all(name.startswith("releases/") for name in left.objects)


def test_a_release_without_its_channel_entry_is_spared_by_its_intent(
    store: ArtifactStore, long_log: list[str], files: Files, provenance: Provenance
) -> None:
    lone = publish(store, files("lone"), provenance())
    age(store, ("releases/", "blobs/"))
    assert lone.id not in clean(store, keep=1, delete=True).releases
    verify_release(store, lone.id, store.trusted_keys)
    age(store)
    assert lone.id in clean(store, keep=1, delete=True).releases


def test_nothing_is_published_while_one_is_running(
    store: ArtifactStore, long_log: list[str], files: Files, provenance: Provenance
) -> None:
    name = intents.mark()
    store.backend.create(f"{name}-begun.json", b"{}")
    with pytest.raises(StoreError, match="being cleaned up"):
        publish(store, files("new"), provenance())
    with pytest.raises(StoreError, match="Another clean-up"):
        clean(store, delete=True)
    assert rollback(store, "production", by="me", reason="at any time").outcome == "rolled_back"
    store.backend.create(f"{name}-done.json", b"{}")
    publish(store, files("new"), provenance())
    store.backend.create("cleanups/20200101T000000Z-00000000-begun.json", b"{}")
    with pytest.raises(StoreError, match="being cleaned up"):  # by the clock of whoever cleans up it is 2020
        publish(store, files("newer"), provenance())
    age(store, ("cleanups/",))
    publish(store, files("newer"), provenance())


def test_a_clean_up_that_fails_is_over(
    store: ArtifactStore, long_log: list[str], files: Files, provenance: Provenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(store)
    monkeypatch.setattr(cleanup, "LIMIT_S", -1.0)
    with pytest.raises(StoreError, match="stopped; run it again"):
        clean(store, keep=1, delete=True)
    assert publish(store, files("new"), provenance())
    for hours in (1, -1, float("nan")):
        with pytest.raises(StoreInputError, match="waits 2 hours at least"):
            clean(store, grace_hours=hours)


@pytest.mark.parametrize("name", ["channels/production/999999999999.json", "keys/x.json", "claims/a/b", "probe/x"])
def test_log_and_keys_are_never_removed(opened: ArtifactStore, name: str) -> None:
    with pytest.raises(StoreInputError, match="nothing that a clean-up removes"):
        opened.backend.remove(name)


def test_on_both_backends(opened: ArtifactStore, files: Files, provenance: Provenance) -> None:
    release = publish(opened, files(1), provenance())
    found = {name: size for name, _, size in opened.backend.stat("blobs/")}
    assert set(found) == {blob_name(digest) for digest in release.files.values()}
    assert found[blob_name(release.files["report.html"])] == len(files(1)["report.html"])
    assert all(abs(modified - time.time()) < 600 for _, modified, _ in opened.backend.stat(""))
    opened.backend.remove(f"releases/{release.id}/manifest.json")
    opened.backend.remove(f"releases/{release.id}/manifest.json")
    assert list_releases(opened) == []


@pytest.mark.parametrize("days", [3, -3])
def test_the_clock_of_whoever_cleans_up_may_be_days_off(
    s3_server: S3Server, signing_key: Path, files: Files, provenance: Provenance,
    monkeypatch: pytest.MonkeyPatch, days: int,
) -> None:  # fmt: skip
    """What is young is so by the clock of the server; else what another machine has just published would go."""
    uri = f"s3://{s3_server.bucket('clocks')}/{days}"
    opened = open_store(StoreConfig(uri=uri, signing_key=str(signing_key)), client=s3_server.client())
    opened.backend.create(f"probe/{opened.backend.identity}.json", b"{}")
    release = publish(opened, files(1), provenance())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + days * 86400)
    assert clean(opened, keep=1, delete=True).objects == ()
    promote(opened, "production", release, approved_by="me")
    assert abs(opened.backend.now() - real()) < 600


def test_a_machine_that_is_behind_takes_nothing_for_young(
    store: ArtifactStore, long_log: list[str], files: Files, provenance: Provenance
) -> None:
    """Released by a clock that is a day ahead of this one's, at a time that nobody knows."""
    at = datetime.now(timezone.utc)
    for hours, said in ((-24, True), (0, False), (2, True)):
        finished = (at - timedelta(hours=hours)).isoformat()
        release = publish(store, files(f"of {hours}"), provenance(run={"finished_on": finished}))
        assert intents.announce_old(store, release) is said


def test_a_rollback_past_what_is_held_finds_its_release(store: ArtifactStore, long_log: list[str]) -> None:
    """A step of the window is one that a rollback would take, however many it has to pass."""
    for release in long_log[2:5]:
        hold(store, "production", release, by="me", reason="r")
    age(store)
    assert clean(store, keep=1, delete=True).releases == (long_log[0],)
    store._remembered.clear()
    assert rollback(store, "production", by="me", reason="r").release == long_log[1]


def test_racing_promotions(store: ArtifactStore, long_log: list[str], files: Files, provenance: Provenance) -> None:
    """Everything is old at once, and the shared file of all candidates is removable between two of them."""
    stop, trouble = threading.Event(), []

    def sweep() -> None:
        while not stop.is_set():
            age(store, ("releases/", "blobs/"))
            try:
                clean(ArtifactStore(store.backend, store.signing_key), keep=1, delete=True)
            except StoreError as error:
                trouble.append(error)
            time.sleep(0.002)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for mark in range(12):
            for _ in range(2000):
                try:
                    release = publish(store, files(mark % 4), provenance(run={"finished_on": None}, mark=mark))
                    promote(store, f"c{mark % 3}", release, approved_by="me")
                    break
                except StoreError as error:
                    if "being cleaned up" not in str(error):
                        raise
            else:
                raise AssertionError("never got through")
            for channel in {f"c{n % 3}" for n in range(mark + 1)}:
                entry = current(store, channel, store.trusted_keys)
                assert entry
                verify_release(store, entry.release, store.trusted_keys)
    finally:
        stop.set()
        sweeper.join()
    assert trouble == []


def test_what_two_channels_share_stays_for_the_one_whose_window_names_it(
    store: ArtifactStore, long_log: list[str], files: Files, provenance: Provenance
) -> None:
    """The release itself, and the files of another release that has the same ones."""
    promote(store, "staging", long_log[0], approved_by="me")
    shared = {**files(1), "policy.onnx": b"another policy with the report of the second one"}
    twin = publish(store, shared, provenance())
    promote(store, "trial", twin, approved_by="me")
    age(store)
    gone = clean(store, keep=1, delete=True).releases
    assert set(gone) == set(long_log[1:4]), "the current one of production and the one before stay"
    store._remembered.clear()
    for release in list_releases(store):
        verify_release(store, release, store.trusted_keys)
    assert {long_log[0], twin.id} <= set(list_releases(store))


@pytest.mark.parametrize("entry", [1, 3, 5, 6])
@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 2}'])
def test_with_a_damaged_log_nothing_goes_on_any_channel(
    store: ArtifactStore, long_log: list[str], entry: int, damage: bytes
) -> None:
    """What a log that cannot be read names is not known, and another channel's clean-up could take it."""
    assert isinstance(store.backend, DirectoryBackend)
    age(store)
    (store.backend.path / f"channels/production/{10**12 - entry:012}.json").write_bytes(damage)
    store._remembered.clear()
    before = [name for name in store.backend.list("") if not name.startswith("cleanups/")]
    with pytest.raises(IntegrityError):
        clean(store, keep=20, delete=True)
    assert [name for name in store.backend.list("") if not name.startswith("cleanups/")] == before
    assert publish(store, {"policy.onnx": b"new"}, find(store, long_log[5]).provenance), "and the clean-up is over"


def find(store: ArtifactStore, release: str) -> Any:
    return verify_release(store, release, store.trusted_keys)
