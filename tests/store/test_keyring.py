"""Keys with an end: what a key signed before it stays valid, nothing after it counts, and nothing stops meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import Gate5Error, IntegrityError, RefusedError, StoreInputError
from gate5.store import ArtifactStore, current, history, keygen, load_public_keys, promote, publish, rollback
from gate5.store.approvals import approve
from gate5.store.channel import Log, next_entry
from gate5.store.directory import DirectoryBackend
from gate5.store.entry import PAYLOAD_TYPE, entry_name
from gate5.store.key_changes import add_key, close_key, demand
from gate5.store.keyring import checked_time, keyring, version_name
from gate5.store.signing import sign

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]


class Site:
    """A store, and a machine for each of three keys."""

    def __init__(self, store: ArtifactStore, folder: Path, files: Files, provenance: Provenance) -> None:
        self.files, self.provenance = files, provenance
        self.machines = {}
        for name in ("old", "new", "third"):
            keygen(folder / name / "k.pem")
            self.machines[name] = ArtifactStore(store.backend, folder / name / "k.pem")
        self.old, self.new, self.third = self.machines.values()
        self.trust = load_public_keys([folder / "old" / "k.pub"])

    def add(self, machine: ArtifactStore, **more: Any) -> None:
        add_key(self.old, machine.signer.public_key, name="new", by="me", reason="rotation", **more)

    def end(self, machine: ArtifactStore, *, by: ArtifactStore | None = None, revoked: bool = False) -> None:
        close_key(by or self.old, machine.signer.public_key.keyid, by="me", reason="its time", revoked=revoked)

    def promote(self, machine: ArtifactStore, mark: object, channel: str = "production") -> str:
        release = publish(machine, self.files(mark), self.provenance())
        promote(machine, channel, release, approved_by="me", trusted_keys=self.trust)
        return release.id

    def log(self) -> list[str]:
        return [entry.release for entry in history(self.old, "production", self.trust)]


@pytest.fixture
def site(opened: ArtifactStore, tmp_path: Path, files: Files, provenance: Provenance) -> Site:
    return Site(opened, tmp_path / "keys", files, provenance)


def test_a_key_is_added_and_ended_and_its_history_stays(site: Site) -> None:
    first = site.promote(site.old, 1)
    site.add(site.new, root=True)
    second = site.promote(site.new, 2)
    trusts_old(site)
    site.end(site.old, by=ArtifactStore(site.new.backend, site.new.signing_key))
    with pytest.raises(StoreInputError, match="was ended"):
        site.promote(site.old, 3)
    third = site.promote(site.new, 3)
    assert list(dict.fromkeys(site.log())) == [third, second, first]
    newest = current(site.new, "production", site.trust)
    assert newest
    assert newest.release == third
    assert rollback(site.new, "production", to=first, by="me", reason="x", trusted_keys=site.trust).release == first


def forge(site: Site, machine: ArtifactStore, release: str, **change: Any) -> None:
    """What a thief of a key writes: a well-formed entry on top of the newest one, dated as he likes."""
    log = Log(machine, "production", site.trust)
    newest = log.newest()
    assert newest
    entry = next_entry(log, newest, kind="promote", by="thief", release=release, manifest_sha256="0" * 64, **change)
    # Not by `append`, which writes nothing that readers refuse: a thief has a program of his own.
    data = sign(entry.payload(), PAYLOAD_TYPE, machine.signer)
    assert machine.backend.create(entry_name("production", entry.sequence), data)


@pytest.mark.parametrize("change", [{}, {"at": "2020-01-01T00:00:00+00:00"}, {"keys": 0}, {"keys": 1}])
def test_a_revoked_key_signs_nothing_that_counts(site: Site, change: dict[str, Any]) -> None:
    site.promote(site.old, 1)
    site.add(site.new)
    site.promote(site.new, 2)
    site.end(site.new, revoked=True)
    good = current(site.old, "production", site.trust)
    forge(site, site.new, "sco2-0123456789ab", **change)
    for read in (current, history):
        with pytest.raises(IntegrityError, match=r"docs/store\.md"):
            read(site.old, "production", site.trust)
    # The documented way out: move the forged object away, and go on.
    assert good
    name = entry_name("production", good.sequence + 1)
    if isinstance(site.old.backend, DirectoryBackend):
        (site.old.backend.path / name).unlink()
        site.promote(site.old, 3)
        assert len(site.log()) == good.sequence + 1


def test_scope_and_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.promote(site.old, 1)
    site.add(site.new, channels=["trial"])
    site.promote(site.new, 2, "trial")
    with pytest.raises(StoreInputError, match="may sign on trial only, not on production"):
        site.promote(site.new, 2)
    site.add(site.third, start="2999-01-01T00:00:00+00:00")
    with pytest.raises(StoreInputError, match="may sign from 2999"):
        site.promote(site.third, 3)
    keygen(Path(str(site.third.signing_key)).with_name("late.pem"))
    late = ArtifactStore(site.third.backend, Path(str(site.third.signing_key)).with_name("late.pem"))
    for scope in (
        {"until": "2020-01-01T00:00:00+00:00"},
        {"start": "2999-02-01T00:00:00Z", "until": "2999-01-01T00:00Z"},
    ):
        with pytest.raises(StoreInputError, match="could never sign: its time ends at"):
            site.add(late, **scope)
    site.add(late, until="2031-01-01T00:00:00+00:00")
    monkeypatch.setattr("gate5.store.demanded.now", lambda: "2031-01-02T00:00:00+00:00")
    with pytest.raises(StoreInputError, match="might sign until 2031"):
        site.promote(late, 4)
    for text in ("tomorrow", "2030-01-01", "2030-01-01T00:00:00"):
        with pytest.raises(StoreInputError, match="is not a time with its zone"):
            checked_time(text)


def test_two_of_three(site: Site) -> None:
    site.promote(site.old, 1)
    site.add(site.new)
    site.add(site.third)
    demand(site.old, "production", {"signatures": 2, "approvers": ["me"]}, by="me", reason="two people")
    release = publish(site.new, site.files(2), site.provenance())
    with pytest.raises(StoreInputError, match=r"asks for 2 signatures and .* has 1"):
        promote(site.new, "production", release, approved_by="me", trusted_keys=site.trust)
    with pytest.raises(StoreInputError, match="approval by me"):
        promote(site.new, "production", release, approved_by="somebody", trusted_keys=site.trust)
    third = ArtifactStore(site.third.backend, site.third.signing_key)
    (Path(str(site.third.signing_key)).parent / "old.pub").write_bytes(
        (Path(str(site.old.signing_key)).with_suffix(".pub")).read_bytes()
    )
    approve(third, "production", release.id, by="B")
    done = promote(site.new, "production", release, approved_by="me", trusted_keys=site.trust)
    assert done.outcome == "promoted"
    assert site.log()[0] == release.id
    forge(site, site.new, "sco2-0123456789ab")
    with pytest.raises(IntegrityError, match="1 of 2 signatures"):
        current(site.old, "production", site.trust)


def test_a_frozen_channel(site: Site) -> None:
    site.promote(site.old, 1)
    demand(site.old, "production", {"freeze": "outage of unit 2"}, by="me", reason="outage")
    with pytest.raises(RefusedError, match=r"frozen \(outage of unit 2\)") as refused:
        site.promote(site.old, 2)
    assert refused.value.exit_code == 1
    demand(site.old, "production", {}, by="me", reason="over")
    site.promote(site.old, 2)


def test_the_keyring_itself(site: Site) -> None:
    site.promote(site.old, 1)
    site.add(site.new)
    with pytest.raises(StoreInputError, match="added once"):
        site.add(site.new)
    with pytest.raises(StoreInputError, match="needed to change the keyring"):
        site.end(site.old)
    with pytest.raises(StoreInputError, match="is not one key"):
        close_key(site.old, "00000000", by="me", reason="x", revoked=False)
    with pytest.raises(StoreInputError, match="name and a reason"):
        close_key(site.old, "00000000", by="", reason="x", revoked=False)
    trusts_old(site)
    with pytest.raises(StoreInputError, match="needs 1 of the root keys"):
        add_key(site.new, site.third.signer.public_key, name="x", by="me", reason="r")
    seen = {"version": 9, "sha256": "x"}
    with pytest.raises(IntegrityError, match="went back in time: version 9"):
        current(site.old, "production", site.trust, known=seen)
    with pytest.raises(IntegrityError, match="not the one that was seen"):
        current(site.old, "production", site.trust, known={"version": 1, "sha256": "x"})
    keygen(Path(str(site.third.signing_key)).with_name("stranger.pem"))
    stranger = load_public_keys([Path(str(site.third.signing_key)).with_name("stranger.pub")])
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        current(site.old, "production", stranger)


def test_a_root_key_does_not_sign_its_own_end_alone(site: Site) -> None:
    """It could take the first step and not the last: it would be closed to all, and ended for nobody."""
    site.promote(site.old, 1)
    site.add(site.new, root=True)
    with pytest.raises(StoreInputError, match="signed by 1 of the root keys that stay"):
        site.end(site.old)
    assert keyring(site.old, site.trust).version == 1
    site.promote(site.old, 2)


def trusts_old(site: Site) -> None:
    folder = Path(str(site.new.signing_key)).parent
    (folder / "old.pub").write_bytes(Path(str(site.old.signing_key)).with_suffix(".pub").read_bytes())


def test_rotated_ended_and_revoked_while_promotions_and_plants_go_on(site: Site) -> None:
    """50 promotions by two machines and 5 readers, while one key ends and another is revoked."""
    site.promote(site.old, "first")
    site.add(site.new, root=True)
    site.add(site.third)
    stop, errors, promoted, seen = threading.Event(), list[Exception](), list[str](), [list[int]() for _ in range(5)]

    def machine(store: ArtifactStore, marks: range) -> None:
        mine = ArtifactStore(store.backend, store.signing_key)
        for mark in marks:
            try:
                promoted.append(site.promote(mine, mark))
            except StoreInputError as error:
                if "ended" not in str(error) and "revoked" not in str(error):
                    errors.append(error)
            except Gate5Error as error:
                errors.append(error)

    def plant(numbers: list[int]) -> None:
        while not stop.is_set():
            try:
                entry = current(ArtifactStore(site.old.backend), "production", site.trust)
                assert entry
                numbers.append(entry.sequence)
            except (Gate5Error, AssertionError) as error:
                errors.append(error)

    plants = [threading.Thread(target=plant, args=(numbers,)) for numbers in seen]
    machines = [
        threading.Thread(target=machine, args=(site.machines[name], marks))
        for name, marks in (("old", range(15)), ("third", range(100, 115)), ("new", range(200, 220)))
    ]
    for thread in [*plants, *machines]:
        thread.start()
    admin = ArtifactStore(site.new.backend, site.new.signing_key)
    trusts_old(site)
    close_key(admin, site.third.signer.public_key.keyid, by="me", reason="lost", revoked=True)
    close_key(admin, site.old.signer.public_key.keyid, by="me", reason="rotation", revoked=False)
    for thread in machines:
        thread.join()
    stop.set()
    for thread in plants:
        thread.join()
    assert errors == []
    log = site.log()
    assert set(promoted) <= set(log)
    assert len(promoted) >= 20, "the key that stays promotes all of its own"
    assert all(numbers == sorted(numbers) and numbers for numbers in seen)


def test_where_versions_lie() -> None:
    assert version_name(1) > version_name(2), "newest first"
    assert entry_name("c", 1) > entry_name("c", 2)
