"""A channel: an append-only log of signed entries; the newest one says which release is current.

Every entry is a checkpoint: whoever signs one has verified the one before it and carries on what later readers need
(what a rollback goes back to, the keyring's version, what is in force). So a reader and a promoter look at the newest
entry alone, however long the log is; ``history`` verifies all of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gate5.errors import IntegrityError, StoreError, StoreInputError
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.entry import (
    FORGED,
    LAST,
    PAYLOAD_TYPE,
    ChannelEntry,
    checked_channel,
    entry_name,
    is_entry_name,
    parse_entry,
)
from gate5.store.keyring import KeyRing, keyring
from gate5.store.signing import Opened, PublicKey, Signer, sign

__all__ = [
    "ChannelEntry",
    "Log",
    "checked_channel",
    "current",
    "entry_name",
    "history",
    "known_channels",
    "next_entry",
    "strays",
]

MOVES = ("promote", "rollback")


def current(
    store: ArtifactStore,
    channel: str,
    trusted_keys: Sequence[PublicKey] | None = None,
    *,
    known: Mapping[str, Any] | None = None,
) -> ChannelEntry | None:
    """The newest entry of a channel, which names the current release; ``None`` where nothing was promoted yet.

    Args:
        trusted_keys: one of these must have signed it, or the store's keyring, which they vouch for, must allow its
            signer; ``None``: the signature is not verified.
        known: the keyring that was seen before (``version``, ``sha256``).

    Raises:
        IntegrityError: the entry is damaged or not signed by a key that may.
    """
    found = Log(store, channel, trusted_keys, known).newest()
    return found if found is not None and found.release else None


def history(store: ArtifactStore, channel: str, trusted_keys: Sequence[PublicKey] | None = None) -> list[ChannelEntry]:
    """All entries of a channel, newest first; the chain of hashes is verified.

    Raises:
        IntegrityError: an entry is missing, damaged, or not signed by a trusted key.
    """
    return Log(store, channel, trusted_keys).entries()


def known_channels(store: ArtifactStore) -> list[str]:
    """The channels that have a log; whatever else lies beside them is none, and is in nobody's way."""
    names = store.backend.list("channels/")
    return sorted({name.split("/")[1] for name in names if is_entry_name(name)})


def strays(store: ArtifactStore, channel: str) -> list[str]:
    """Names in a channel's folder that are no entries, and that nobody reads."""
    names = store.backend.list(f"channels/{checked_channel(channel)}/")
    return [name for name in names if not is_entry_name(name)]


class Log:
    """A channel's log as one caller sees it; entries are immutable, so each is read once."""

    def __init__(
        self,
        store: ArtifactStore,
        channel: str,
        trusted_keys: Sequence[PublicKey] | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self.store, self.channel, self.trusted_keys = store, checked_channel(channel), trusted_keys
        self._known = known
        self._seen: dict[int, ChannelEntry] = {}
        self._read_back = ("", b"")
        self.ring = self._read_ring()

    def _read_ring(self) -> KeyRing | None:
        return None if self.trusted_keys is None else keyring(self.store, self.trusted_keys, self._known)

    @property
    def keyring(self) -> KeyRing:
        """The keyring of a log that was opened with keys."""
        assert self.ring is not None, "a log that is written to was opened with keys"
        return self.ring

    def newest(self) -> ChannelEntry | None:
        """The newest entry now: one small listing and one object."""
        prefix = f"channels/{self.channel}/"
        names = [name for name in self.store.backend.list(prefix, 4) if is_entry_name(name)]
        # A few strays may lie before the entries; where there are many, all names are looked at.
        names = names or [name for name in self.store.backend.list(prefix) if is_entry_name(name)]
        if not names:
            return None
        entry = self._read(LAST - int(names[0].rpartition("/")[2][:12]), newest=True)
        if self.ring is not None and entry.keys > self.ring.version:
            self.ring = self._read_ring()
        return entry

    def at(self, sequence: int) -> ChannelEntry:
        """An earlier entry."""
        if sequence not in self._seen:
            self._seen[sequence] = self._read(sequence, newest=False)
        return self._seen[sequence]

    def entries(self) -> list[ChannelEntry]:
        """All entries now, newest first, every one verified."""
        newest = self.newest()
        if newest is None:
            return []
        # The other names follow from the newest one's number. A listing of them all would be one snapshot on no file
        # system: an entry that appears while the folder is read may be missing from it where a later one is not.
        self._seen[newest.sequence] = newest
        found = [self.at(sequence) for sequence in range(newest.sequence, 0, -1)]
        for index, newer in enumerate(found):
            older = found[index + 1] if index + 1 < len(found) else None
            follows = newer.previous is None if older is None else newer.previous in older.hashes
            if not follows or (older is not None and (newer.keys < older.keys or newer.format < older.format)):
                raise IntegrityError(
                    f"The log of the channel {self.channel} in {self.store.uri} is broken: entry {newer.sequence} does "
                    f"not follow from the one before it; restore channels/{self.channel}/ from a backup."
                )
        return found

    def append(self, entry: ChannelEntry, signer: Signer) -> ChannelEntry | None:
        """Create an entry; ``None`` where another one has its number, or the keyring changed before the first one.

        Args:
            entry: with every field but the hashes and ``signed_by``, which follow from the others.

        Raises:
            StoreInputError: no reader would take it; nothing was written.
            StoreError: the store failed, or said yes and kept something else.
        """
        data = sign(entry.payload(), PAYLOAD_TYPE, signer)
        name = entry_name(self.channel, entry.sequence)
        if entry.sequence == 1 and self.ring is not None:
            self.ring = self._read_ring()  # of a change since no entry of this log could tell
            if self.ring is not None and self.ring.version != entry.keys:
                return None
        self._refuse_what_readers_would(data, name)
        try:
            created = self.store.backend.create(name, data)
        except StoreError as error:
            raise StoreError(
                f"{str(error).removesuffix('.')}. Whether {name} was written is not known: look at `gate5 history "
                f"--channel {self.channel}` before you do the same again."
            ) from error
        # A create whose answer was lost is sent again and finds its own work; ``request`` makes the bytes unique.
        there = self.store.backend.read(name)
        kept = there == data
        if there is not None:
            self._read_back = (name, there)  # whoever lost goes on from the winner's entry
        if created and not kept:
            raise StoreError(
                f"The artifact store {self.store.uri} said that it created {name} and keeps something else there: it "
                "is not safe for channels; look at the channel's history and use another server (docs/store.md)."
            )
        return parse_entry(data, self.channel, name, None)[0] if kept else None

    def _refuse_what_readers_would(self, data: bytes, name: str) -> None:
        """An entry that no reader takes would stop everybody on this channel until a person has moved it away."""
        if self.ring is None:
            return
        try:
            self._check(*parse_entry(data, self.channel, name, self.ring), newest=True)
        except IntegrityError as error:
            why = str(error).removesuffix(".").removesuffix(FORGED)
            raise StoreInputError(f"Nothing was written on the channel {self.channel}: {why}.") from None

    def _read(self, sequence: int, *, newest: bool) -> ChannelEntry:
        name = entry_name(self.channel, sequence)
        data = self._read_back[1] if name == self._read_back[0] else self.store.backend.read(name)
        if data is None:
            raise IntegrityError(
                f"The channel {self.channel} in {self.store.uri} has lost its entry {name}; restore it from a backup"
                f"{FORGED}."
            )
        entry, opened = parse_entry(data, self.channel, name, self.ring)
        if self.ring is not None and entry.keys > self.ring.version:
            self.ring = self._read_ring()  # the keyring changed since it was read
            entry, opened = parse_entry(data, self.channel, name, self.ring)
        if self.ring is not None:
            if entry.keys > self.ring.version:
                raise IntegrityError(
                    f"Entry {sequence} of the channel {self.channel} was made under version {entry.keys} of the "
                    f"keyring, and {self.store.uri} has {self.ring.version}: restore keys/ from a backup."
                )
            self._check(entry, opened, newest)
        return entry

    def _check(self, entry: ChannelEntry, opened: Opened, newest: bool) -> None:
        """Whether those who signed an entry might, and whether they might name its release.

        One signature is enough for a rollback and for what moves no release, however many a promotion needs: so what
        these name has to have been promoted here.
        """
        self.keyring.check(entry, opened, newest)
        if not entry.release or entry.kind == "promote" or self.keyring.signatures(entry) < 2:
            return
        made = next((each for each in self._from(entry) if each.kind in MOVES), None)
        if made is None or (made.release, made.manifest_sha256) != (entry.release, entry.manifest_sha256):
            raise IntegrityError(
                f"Entry {entry.sequence} of the channel {self.channel} ({entry.kind}) names {entry.release}, which was "
                f"not promoted there with the signatures that the channel demands{FORGED}."
            )

    def _from(self, entry: ChannelEntry) -> Iterator[ChannelEntry]:
        """Where an entry that promotes nothing has its release from; each has been checked itself."""
        told = entry.details.get("to") if entry.kind in MOVES else entry.since
        if type(told) is int and 0 < told < entry.sequence:
            yield self.at(told)
        elif entry.kind in MOVES:  # a rollback that an older gate5 has made does not say
            earlier = (self.at(number) for number in range(entry.sequence - 1, 0, -1))
            yield from (each for each in earlier if each.release == entry.release)


def next_entry(log: Log, before: ChannelEntry | None, **fields: Any) -> ChannelEntry:
    """The entry that follows ``before``, not yet signed; what is not given is carried on from it."""
    sequence = before.sequence + 1 if before else 1
    start = before or ChannelEntry(log.channel, 0, "", "", "", None, "", "", None, "")
    moves = fields["kind"] in MOVES
    entry = replace(
        start,
        sequence=sequence,
        since=sequence if moves else start.since,
        back=None if moves else start.back,
        previous=before.sha256 if before else None,
        at=now(),
        keys=log.ring.version if log.ring else 0,
        approvals=(),
        details={},
        signed_by=(),
    )
    return replace(entry, **{"reason": None, "request": secrets.token_hex(8), **fields})
