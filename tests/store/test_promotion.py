"""Promotion, rollback and the channel's log, one caller at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import IntegrityError, StoreInputError
from gate5.store import (
    ArtifactStore,
    ChannelEntry,
    Promotion,
    Release,
    current,
    history,
    keygen,
    promote,
    publish,
    rollback,
)
from gate5.store.artifact_store import blob_name
from gate5.store.channel import entry_name
from gate5.store.directory import DirectoryBackend
from gate5.store.manifest import manifest_name

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]


@pytest.fixture
def three(opened: ArtifactStore, files: Files, provenance: Provenance) -> list[Release]:
    releases = [publish(opened, files(mark), provenance()) for mark in "abc"]
    for release in releases:
        promote(opened, "production", release, approved_by="A. Person", reason=f"ticket {release.id[-3:]}")
    return releases


def test_history_says_who_what_when_and_why(opened: ArtifactStore, three: list[Release]) -> None:
    entries = history(opened, "production", opened.trusted_keys)
    assert [entry.release for entry in entries] == [release.id for release in reversed(three)]
    assert [entry.kind for entry in entries] == ["promote"] * 3
    assert {entry.by for entry in entries} == {"A. Person"}
    assert entries[0].reason == f"ticket {three[2].id[-3:]}"
    assert entries[0].signed_by == (opened.signer.public_key.keyid,)
    assert entries[0] == current(opened, "production")
    assert [ChannelEntry.from_dict(entry.to_dict()) for entry in entries] == entries


def test_a_second_run_says_already_in_production(opened: ArtifactStore, three: list[Release]) -> None:
    done = promote(opened, "production", three[2], approved_by="somebody else")
    assert (done.outcome, done.sequence, done.replaced) == ("already_current", 3, three[1].id)
    assert "already in production" in done.sentence
    assert len(history(opened, "production")) == 3
    assert Promotion.from_dict(done.to_dict()) == done


def test_an_old_promotion_run_again_does_not_undo_a_newer_one(opened: ArtifactStore, three: list[Release]) -> None:
    """A killed task that is run again hours later must not put its old release over the new one."""
    done = promote(opened, "production", three[0].id, approved_by="A. Person")
    assert done.outcome == "superseded"
    assert three[2].id in done.sentence
    assert "gate5 rollback --to" in done.sentence
    newest = current(opened, "production")
    assert newest
    assert newest.release == three[2].id


def test_channels_are_independent(opened: ArtifactStore, three: list[Release]) -> None:
    assert promote(opened, "test-rig", three[0], approved_by="me").sequence == 1
    assert len(history(opened, "production")) == 3
    assert current(opened, "elsewhere") is None
    assert history(opened, "elsewhere") == []


def test_a_channel_may_demand_a_back_end(opened: ArtifactStore, three: list[Release]) -> None:
    with pytest.raises(StoreInputError, match="engine of onnxruntime, but this channel takes tensorrt"):
        promote(opened, "plant", three[0], approved_by="me", require_backend="tensorrt")
    assert current(opened, "plant") is None
    assert promote(opened, "plant", three[0], approved_by="me", require_backend="onnxruntime").outcome == "promoted"


@pytest.mark.parametrize("name", ["", "Production", "../production", "a/b", "-x", "a" * 64, "prod uction"])
def test_a_channel_name_that_is_none(opened: ArtifactStore, three: list[Release], name: str) -> None:
    for call in (
        lambda: promote(opened, name, three[0], approved_by="me"),
        lambda: history(opened, name),
        lambda: current(opened, name),
        lambda: rollback(opened, name, by="me", reason="r"),
    ):
        with pytest.raises(StoreInputError, match="not a channel's name"):
            call()


def test_what_is_not_there_cannot_be_promoted(opened: ArtifactStore) -> None:
    with pytest.raises(StoreInputError, match="no release sco2-0123456789ab"):
        promote(opened, "production", "sco2-0123456789ab", approved_by="me")
    with pytest.raises(StoreInputError, match="not a release id"):
        promote(opened, "production", "../../etc", approved_by="me")
    assert current(opened, "production") is None


def test_nobody_approves(opened: ArtifactStore, three: list[Release]) -> None:
    with pytest.raises(StoreInputError, match="Nobody is named"):
        promote(opened, "other", three[0], approved_by="")


def test_rollback_goes_back_one_at_a_time(opened: ArtifactStore, three: list[Release]) -> None:
    """Twice back is two back: not back and forth between the two newest."""
    a, b, _ = (release.id for release in three)
    assert rollback(opened, "production", by="me", reason="trips").release == b
    assert rollback(opened, "production", by="me", reason="trips too").release == a
    with pytest.raises(StoreInputError, match="first release of the channel production"):
        rollback(opened, "production", by="me", reason="still")
    entries = history(opened, "production", opened.trusted_keys)
    assert [entry.kind for entry in entries] == ["rollback", "rollback", "promote", "promote", "promote"]
    assert (entries[1].by, entries[1].reason) == ("me", "trips")


def test_rollback_to_a_named_release(opened: ArtifactStore, three: list[Release]) -> None:
    done = rollback(opened, "production", to=three[0].id, by="me", reason="known good")
    assert (done.outcome, done.replaced, done.sequence) == ("rolled_back", three[2].id, 4)
    again = rollback(opened, "production", to=three[0].id, by="me", reason="known good")
    assert again.outcome == "already_current"
    with pytest.raises(StoreInputError, match="never on the channel production; these were: "):
        rollback(opened, "production", to="sco2-0123456789ab", by="me", reason="x")


def test_a_rollback_run_again_goes_back_once(opened: ArtifactStore, three: list[Release]) -> None:
    first = rollback(opened, "production", by="me", reason="trips", request="run-1")
    again = rollback(opened, "production", by="me", reason="trips", request="run-1")
    assert first == again
    assert len(history(opened, "production")) == 4


def test_rollback_wants_a_name_and_a_reason(opened: ArtifactStore, three: list[Release]) -> None:
    for by, reason in (("", "r"), ("me", " ")):
        with pytest.raises(StoreInputError, match="name and a reason"):
            rollback(opened, "production", by=by, reason=reason)
    with pytest.raises(StoreInputError, match="Nothing was ever promoted"):
        rollback(opened, "empty", by="me", reason="r")


def test_a_damaged_release_is_neither_promoted_nor_put_back(
    store: ArtifactStore, files: Files, provenance: Provenance
) -> None:
    a, b = (publish(store, files(mark), provenance()) for mark in "ab")
    promote(store, "production", a, approved_by="me")
    promote(store, "production", b, approved_by="me")
    damage(store, f"blobs/sha256/{a.files['report.html']}")
    with pytest.raises(IntegrityError, match="has been damaged"):
        rollback(store, "production", by="me", reason="r")
    with pytest.raises(IntegrityError, match="has been damaged"):
        promote(store, "other", a, approved_by="me")
    assert len(history(store, "production")) == 2


def damage(store: ArtifactStore, name: str) -> None:
    """Flip one bit in the middle of a file of a directory store."""
    assert isinstance(store.backend, DirectoryBackend)
    path = store.backend.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", ["changed", "lost", "swapped", "from another channel", "from a copy", "junk"])
def test_a_log_that_was_tampered_with(store: ArtifactStore, files: Files, provenance: Provenance, kind: str) -> None:
    """Whoever can write to the store cannot change what happened without ``history`` noticing.

    A promoter looks at the newest entry alone; what it adds mends nothing and hides nothing.
    """
    releases = [publish(store, files(mark), provenance()) for mark in "abcd"]
    for release in releases[:3]:
        promote(store, "production", release, approved_by="me")
    for release in (releases[1], releases[0]):
        promote(store, "other", release, approved_by="me")
    assert isinstance(store.backend, DirectoryBackend)
    root = store.backend.path
    second, third = root / entry_name("production", 2), root / entry_name("production", 3)
    if kind == "changed":
        damage(store, entry_name("production", 2))
    elif kind == "lost":
        second.unlink()
    elif kind == "swapped":
        (old, new) = second.read_bytes(), third.read_bytes()
        second.write_bytes(new)
        third.write_bytes(old)
    elif kind == "from a copy":
        # Entry 2 of a copy of the store that went its own way: right number, channel and signature, another history.
        copy = DirectoryBackend(root.with_name("copy"))
        for sequence, release in enumerate((releases[0], releases[3]), start=1):
            copied = [
                root / manifest_name(release.id),
                *(root / blob_name(digest) for digest in release.files.values()),
            ]
            copied += [root / entry_name("production", 1)] if sequence == 1 else []
            for path in copied:
                copy.create(path.relative_to(root).as_posix(), path.read_bytes())
        promote(ArtifactStore(copy, store.signing_key), "production", releases[3], approved_by="me")
        second.write_bytes((copy.path / entry_name("production", 2)).read_bytes())
    elif kind == "from another channel":
        second.write_bytes((root / entry_name("other", 2)).read_bytes())
    else:
        second.write_bytes(b"{}")
    with pytest.raises(IntegrityError):
        history(store, "production", store.trusted_keys)
    if kind == "swapped":
        with pytest.raises(IntegrityError):
            promote(store, "production", releases[3], approved_by="me")
        return
    promote(store, "production", releases[3], approved_by="me")
    with pytest.raises(IntegrityError):
        history(store, "production", store.trusted_keys)


def test_an_entry_of_an_unknown_key(store: ArtifactStore, files: Files, provenance: Provenance, tmp_path: Path) -> None:
    release = publish(store, files("a"), provenance())
    promote(store, "production", release, approved_by="me")
    keygen(tmp_path / "thief.pem")
    thief = ArtifactStore(store.backend, tmp_path / "thief.pem")
    stolen = publish(thief, files("evil"), provenance())
    promote(thief, "production", stolen, approved_by="thief", trusted_keys=store.trusted_keys)
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        current(store, "production", store.trusted_keys)
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        promote(store, "production", publish(store, files("b"), provenance()), approved_by="me")


def test_a_new_key_goes_on_where_the_old_one_lies_beside_it(
    store: ArtifactStore, files: Files, provenance: Provenance, tmp_path: Path
) -> None:
    keys = tmp_path / "rotated"
    keygen(keys / "2025.pem")
    old = ArtifactStore(store.backend, keys / "2025.pem")
    first = publish(old, files("a"), provenance())
    promote(old, "production", first, approved_by="me")
    keygen(keys / "2026.pem")
    (keys / "2025.pem").unlink()
    new = ArtifactStore(store.backend, keys / "2026.pem")
    again = publish(new, files("a"), provenance())
    assert again.id != first.id, "signed anew is another release: manifests are never overwritten"
    assert promote(new, "production", again, approved_by="me").outcome == "promoted"
    assert rollback(new, "production", by="me", reason="r", hold=False).release == first.id
    assert rollback(new, "production", to=again.id, by="me", reason="r").outcome == "rolled_back"
    (keys / "2025.pub").unlink()
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        history(new, "production", new.trusted_keys)
