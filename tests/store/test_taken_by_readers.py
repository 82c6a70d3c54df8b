"""Nothing is ever appended that a reader would refuse: such an entry would stop pull, promote and history for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import IntegrityError, StoreInputError
from gate5.store import (
    ArtifactStore,
    current,
    find_release,
    history,
    hold,
    key_changes,
    keygen,
    lift,
    load_public_keys,
    promote,
    publish,
    rollback,
)
from gate5.store.approvals import approve
from gate5.store.channel import Log, next_entry
from gate5.store.directory import DirectoryBackend
from gate5.store.entry import PAYLOAD_TYPE, ChannelEntry, entry_name
from gate5.store.key_changes import add_key, close_key, demand
from gate5.store.keyring import keyring
from gate5.store.signing import sign

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]
SAID: dict[str, Any] = {"by": "me", "reason": "r"}
SOON, LATER = "2031-01-01T00:00:00+00:00", "2031-01-02T00:00:00+00:00"


class Site:
    """A store whose keyring begins with ``root``, and machines with keys of their own."""

    def __init__(self, store: ArtifactStore, folder: Path, files: Files, provenance: Provenance) -> None:
        self.backend, self.folder, self.files, self.provenance = store.backend, folder, files, provenance
        self.root = self.machine("root")
        self.trust = load_public_keys([folder / "root" / "k.pub"])

    def machine(self, name: str, **scope: Any) -> ArtifactStore:
        """Another machine; with a scope its key is put into the keyring."""
        keygen(self.folder / name / "k.pem")
        made = ArtifactStore(self.backend, self.folder / name / "k.pem")
        if name != "root":
            (self.folder / name / "root.pub").write_bytes((self.folder / "root/k.pub").read_bytes())
            add_key(self.root, made.signer.public_key, name=name, **SAID, **scope)
        return made

    def publish(self, machine: ArtifactStore, mark: object) -> str:
        return publish(machine, self.files(mark), self.provenance()).id

    def promote(self, machine: ArtifactStore, mark: object, channel: str = "production") -> str:
        release = self.publish(machine, mark)
        self.put(machine, channel, release)
        return release

    def put(self, machine: ArtifactStore, channel: str, release: str) -> None:
        promote(machine, channel, release, approved_by="me")

    def end(self, machine: ArtifactStore, *signers: ArtifactStore) -> None:
        """Its key ends, by others or by the root."""
        by = [each.signer for each in signers]
        close_key(self.root, machine.signer.public_key.keyid, revoked=False, signers=by, **SAID)

    def newest(self, channel: str = "production") -> ChannelEntry | None:
        history(ArtifactStore(self.backend), channel, self.trust)
        return current(ArtifactStore(self.backend), channel, self.trust)

    def write(self, machine: ArtifactStore, entry: ChannelEntry) -> None:
        """What a program of a thief's own writes, whatever gate5 would refuse."""
        name = entry_name(entry.channel, entry.sequence)
        assert self.backend.create(name, sign(entry.payload(), PAYLOAD_TYPE, machine.signer))


@pytest.fixture
def site(opened: ArtifactStore, tmp_path: Path, files: Files, provenance: Provenance) -> Site:
    return Site(opened, tmp_path / "keys", files, provenance)


def before_the_first_append(monkeypatch: pytest.MonkeyPatch, what: Callable[[], None]) -> None:
    """Something happens between a caller's decision and its write."""
    append, done = Log.append, list[bool]()

    def later(log: Log, entry: ChannelEntry, signer: Any) -> ChannelEntry | None:
        if not done:
            done.append(True)
            what()
        return append(log, entry, signer)

    monkeypatch.setattr(Log, "append", later)


@pytest.mark.parametrize("change", ["hold", "lift", "promote"])
def test_a_key_that_ends_while_its_machine_is_about_to_write(
    site: Site, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The key's end takes the number that the machine wanted: what it writes then would come after the end."""
    other = site.machine("other")
    site.promote(site.root, 1)
    stranger = site.publish(other, 2)
    if change == "lift":
        hold(other, "production", stranger, **SAID)
    before_the_first_append(monkeypatch, lambda: site.end(other))
    put: Any = {"hold": partial(hold, **SAID), "lift": partial(lift, **SAID), "promote": site.put}[change]
    with pytest.raises(StoreInputError, match="was ended"):
        put(other, "production", stranger)
    newest = site.newest()
    assert newest
    assert newest.kind == "keys"


@pytest.mark.parametrize("closing", ["ended", "demanded"])
def test_a_change_of_the_keyring_before_a_channels_first_entry(
    site: Site, monkeypatch: pytest.MonkeyPatch, closing: str
) -> None:
    """No place in the log says that the change came first, for there is no log yet."""
    other = site.machine("other")

    def change() -> None:
        if closing == "ended":
            site.end(other)
        else:
            demand(site.root, "production", {"signatures": 2}, **SAID)

    before_the_first_append(monkeypatch, change)
    with pytest.raises(StoreInputError, match=r"was ended|asks for 2 signatures"):
        site.promote(other, 1)
    assert site.newest() is None


def test_an_approval_whose_key_is_past_its_time_when_the_promotion_comes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers ask whether it might sign when the entry was made; so has whoever makes the entry."""
    approver = site.machine("approver", until=SOON)
    site.promote(site.root, 1)
    demand(site.root, "production", {"signatures": 2}, **SAID)
    release = site.publish(site.root, 2)
    approve(approver, "production", release, by="B")
    for module in ("demanded", "channel"):
        monkeypatch.setattr(f"gate5.store.{module}.now", lambda: LATER)
    with pytest.raises(StoreInputError, match=r"asks for 2 signatures and .* has 1"):
        promote(site.root, "production", release, approved_by="me")
    assert site.newest()


def test_a_key_whose_time_is_over_between_the_question_and_the_entry(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = site.machine("other", until=SOON)
    site.promote(site.root, 1)
    release = site.publish(other, 2)
    monkeypatch.setattr("gate5.store.channel.now", lambda: LATER)
    with pytest.raises(StoreInputError, match=r"Nothing was written .* might sign until 2031"):
        promote(other, "production", release, approved_by="me")
    newest = site.newest()
    assert newest
    assert newest.sequence == 1


def test_a_narrow_root_keys_marks_stay_good_after_its_end(site: Site) -> None:
    """A key that may change the keyring and sign no release; what it put into the logs outlives it."""
    keeper = site.machine("keeper", root=True, channels=["none"])
    lost = site.machine("lost")
    site.promote(site.root, 1)
    site.end(lost, keeper)
    site.end(keeper)
    assert site.newest()
    site.promote(site.root, 2)


def test_a_mark_is_signed_by_a_root_key_whichever_is_named_first(site: Site) -> None:
    narrow = site.machine("narrow", channels=["trial"])
    lost = site.machine("lost")
    site.promote(site.root, 1)
    site.end(lost, narrow, site.root)
    assert site.newest()


@pytest.mark.parametrize("version", [0, 1])
def test_a_demand_on_a_channel_that_has_no_entry_yet(site: Site, version: int) -> None:
    """One key alone writes entries that say to be of the time before two signatures were demanded."""
    thief = site.machine("thief")
    demand(site.root, "production", {"signatures": 2}, **SAID)
    log = Log(thief, "production", site.trust)
    release = site.publish(thief, 1)
    stated = {"kind": "promote", "by": "thief", "release": release, "manifest_sha256": "0" * 64}
    site.write(thief, next_entry(log, None, keys=version, **stated))
    with pytest.raises(IntegrityError, match="keyring of its time"):
        current(ArtifactStore(site.backend), "production", site.trust)


@pytest.mark.parametrize(
    ("kind", "since", "told"),
    [
        ("rollback", None, {}),
        ("rollback", 1, {"to": 1}),
        ("rollback", None, {"to": 99}),
        ("hold", None, {}),
        ("hold", 3, {"to": 1}),
        ("later_kind", 1, {}),
    ],
)
def test_one_signature_names_no_release_that_needs_two(
    site: Site, kind: str, since: int | None, told: dict[str, Any]
) -> None:
    """A rollback needs one, and so does what moves no release: a thief calls his promotion one of these."""
    thief = site.machine("thief")
    good = site.promote(site.root, 1)
    demand(site.root, "production", {"signatures": 2}, **SAID)
    newest, bad = site.newest(), site.publish(thief, 2)
    found = keyring(site.root, site.trust)
    log = Log(ArtifactStore(site.backend), "production", site.trust)
    manifest = {"release": bad, "manifest_sha256": find_release(site.root, bad, found).manifest_sha256}  # type: ignore[union-attr]
    stated = next_entry(log, newest, kind=kind, by="thief", details=told, **manifest)
    site.write(thief, stated if since is None else replace(stated, since=since))
    for read in (current, history):
        with pytest.raises(IntegrityError, match=f"names {bad}, which was not promoted there with the signatures"):
            read(ArtifactStore(site.backend), "production", site.trust)
    assert newest
    assert newest.release == good


def test_what_one_signature_may_name(site: Site) -> None:
    """Rollbacks to what was promoted before and after the demand, and holds on top of them."""
    other = site.machine("other")
    first, second = site.promote(site.root, 1), site.promote(site.root, 2)
    demand(site.root, "production", {"signatures": 2}, **SAID)
    third = site.publish(site.root, 3)
    approve(other, "production", third, by="B")
    site.put(site.root, "production", third)
    for to, now in ((None, second), (None, first), (third, third), (first, first)):
        if to == third:
            lift(other, "production", third, **SAID)
        rollback(other, "production", to, hold=to is None, **SAID)
        hold(other, "production", f"{len(history(other, 'production')):064x}", **SAID)
        newest = site.newest()
        assert newest
        assert newest.release == now


def test_two_changes_of_the_keyring_at_once_never_move_a_mark_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change that has marked the log first is the last to be written."""
    first, second = site.machine("first"), site.machine("second")
    site.promote(site.root, 1)
    seal, done = key_changes._seal, list[bool]()

    def and_another_change(*arguments: Any) -> Any:
        seals = seal(*arguments)
        if not done:
            done.append(True)
            site.end(second)
            demand(site.root, "production", {"signatures": 2}, **SAID)
        return seals

    monkeypatch.setattr(key_changes, "_seal", and_another_change)
    site.end(first)
    newest = site.newest()
    assert newest
    assert keyring(site.root, site.trust).document["seals"]["production"][0] == newest.sequence


def test_a_lost_end_of_a_log_is_missed(site: Site) -> None:
    """Whoever can remove objects takes away what came after a good entry, the end of a key too."""
    other = site.machine("other")
    site.promote(other, 1)
    site.end(other)
    history(site.root, "production", site.trust)
    if not isinstance(site.backend, DirectoryBackend):
        pytest.skip("objects are removed in the folder")
    (site.backend.path / entry_name("production", 2)).unlink()
    for read in (current, history):
        with pytest.raises(IntegrityError, match="the log was cut"):
            read(ArtifactStore(site.backend), "production", site.trust)
