"""A channel: an append-only log of signed entries, each of which names the release that is current from then on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gate5.errors import IntegrityError, StoreError, StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store.artifact_store import ArtifactStore
from gate5.store.signing import PublicKey, Signer, open_envelope, sign

PAYLOAD_TYPE = "application/vnd.gate5.channel-entry+json"
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LAST = 10**12
_ENTRY_FIELDS = ("sequence", "release", "manifest_sha256", "kind", "previous", "by", "at", "reason", "request")


@dataclass(frozen=True)
class ChannelEntry:
    """One line of a channel's log.

    Attributes:
        channel: the channel's name.
        sequence: 1 for the first entry, and so on without a gap.
        release: the release that this entry made the current one.
        manifest_sha256: of that release's manifest.
        kind: ``promote`` or ``rollback``.
        previous: SHA-256 of the entry before; ``None`` in the first.
        by: who.
        at: when, UTC, ISO 8601.
        reason: why, or ``None``.
        request: unique to the call that made the entry.
        sha256: of this entry's own bytes.
        signed_by: ids of the keys that say to have signed it.
    """

    channel: str
    sequence: int
    release: str
    manifest_sha256: str
    kind: Literal["promote", "rollback"]
    previous: str | None
    by: str
    at: str
    reason: str | None
    request: str
    sha256: str
    signed_by: tuple[str, ...]

    @property
    def hashes(self) -> tuple[str, ...]:
        """What a plant may have remembered of this entry."""
        return (self.sha256,)

    def to_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in ("channel", *_ENTRY_FIELDS, "sha256")}
        return {**data, "signed_by": list(self.signed_by)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChannelEntry:
        """The inverse of ``to_dict``."""
        return cls(**{**data, "signed_by": tuple(data["signed_by"])})


def checked_channel(channel: str) -> str:
    """``channel`` if it can be a channel's name.

    Raises:
        StoreInputError: it cannot.
    """
    if not _CHANNEL.fullmatch(channel):
        raise StoreInputError(
            f"{channel!r} is not a channel's name: use up to 63 small letters, digits, '-' and '_', such as production."
        )
    return channel


def current(store: ArtifactStore, channel: str, trusted_keys: Sequence[PublicKey] | None = None) -> ChannelEntry | None:
    """The newest entry of a channel, found with one listing of one name; ``None`` where nothing was promoted yet.

    Args:
        trusted_keys: one of these must have signed it; ``None``: the signature is not verified.

    Raises:
        IntegrityError: the entry is damaged or not signed by a trusted key.
    """
    names = store.backend.list(f"channels/{checked_channel(channel)}/", 1)
    return _read(store, channel, names[0], trusted_keys) if names else None


def history(store: ArtifactStore, channel: str, trusted_keys: Sequence[PublicKey] | None = None) -> list[ChannelEntry]:
    """All entries of a channel, newest first; the chain of hashes is verified.

    Raises:
        IntegrityError: an entry is missing, damaged, or not signed by a trusted key.
    """
    return Log(store, channel, trusted_keys).entries()


class Log:
    """A channel's log as one caller sees it; entries are immutable, so each is read once."""

    def __init__(self, store: ArtifactStore, channel: str, trusted_keys: Sequence[PublicKey] | None = None) -> None:
        self.store, self.channel, self.trusted_keys = store, checked_channel(channel), trusted_keys
        self._seen: dict[int, ChannelEntry] = {}

    def entries(self) -> list[ChannelEntry]:
        """All entries now, newest first."""
        newest = current(self.store, self.channel, self.trusted_keys)
        if newest is None:
            return []
        # The other names follow from the newest one's number. A listing of them all would be one snapshot on no file
        # system: an entry that appears while the folder is read may be missing from it where a later one is not.
        self._seen[newest.sequence] = newest
        for sequence in range(newest.sequence - 1, 0, -1):
            if sequence not in self._seen:
                name = entry_name(self.channel, sequence)
                self._seen[sequence] = _read(self.store, self.channel, name, self.trusted_keys)
        found = [self._seen[sequence] for sequence in range(newest.sequence, 0, -1)]
        for index, newer in enumerate(found):
            older = found[index + 1] if index + 1 < len(found) else None
            before = (older.sequence, older.sha256) if older else (0, None)
            if (newer.sequence - 1, newer.previous) != before:
                raise IntegrityError(
                    f"The log of the channel {self.channel} in {self.store.uri} is broken: entry {newer.sequence} does "
                    f"not follow from the one before it; restore channels/{self.channel}/ from a backup."
                )
        return found

    def append(self, entry: ChannelEntry, signer: Signer) -> ChannelEntry | None:
        """Create an entry; ``None`` where another one has its number.

        Args:
            entry: with every field but ``sha256`` and ``signed_by``, which follow from the others.

        Raises:
            StoreError: the store said yes and kept something else.
        """
        data = sign(canonical.dumps(_payload(entry)), PAYLOAD_TYPE, signer)
        name = entry_name(self.channel, entry.sequence)
        created = self.store.backend.create(name, data)
        # A create whose answer was lost is sent again and finds its own work; ``request`` makes the bytes unique.
        kept = self.store.backend.read(name) == data
        if created and not kept:
            raise StoreError(
                f"The artifact store {self.store.uri} said that it created {name} and keeps something else there: it "
                "is not safe for channels; look at the channel's history and use another server (docs/store.md)."
            )
        return _parse(data, self.channel, name, None) if kept else None


def entry_name(channel: str, sequence: int) -> str:
    """Where an entry lies: the names' order is newest first, so that a listing begins with the current one."""
    return f"channels/{channel}/{_LAST - sequence:012}.json"


def new_entry(
    channel: str,
    before: ChannelEntry | None,
    *,
    release: str,
    manifest_sha256: str,
    kind: Literal["promote", "rollback"],
    by: str,
    at: str,
    reason: str | None,
    request: str,
) -> ChannelEntry:
    """The entry that follows ``before``, not yet signed."""
    return ChannelEntry(
        channel=channel,
        sequence=before.sequence + 1 if before else 1,
        release=release,
        manifest_sha256=manifest_sha256,
        kind=kind,
        previous=before.sha256 if before else None,
        by=by,
        at=at,
        reason=reason,
        request=request,
        sha256="",
        signed_by=(),
    )


def _payload(entry: ChannelEntry) -> dict[str, Any]:
    return {"channel": entry.channel, **{name: getattr(entry, name) for name in _ENTRY_FIELDS}}


def _read(store: ArtifactStore, channel: str, name: str, keys: Sequence[PublicKey] | None) -> ChannelEntry:
    data = store.backend.read(name)
    if data is None:
        raise IntegrityError(
            f"The channel {channel} in {store.uri} has lost its entry {name}; restore it from a backup."
        )
    return _parse(data, channel, name, keys)


def _parse(data: bytes, channel: str, name: str, keys: Sequence[PublicKey] | None) -> ChannelEntry:
    what = f"The channel entry {name}"
    opened = open_envelope(data, PAYLOAD_TYPE, keys, what)
    payload = opened.payload
    if not isinstance(payload, dict) or set(payload) != {"channel", *_ENTRY_FIELDS}:
        raise IntegrityError(f"{what} is damaged: it has not the fields of an entry.")
    for field, kind in (("sequence", int), ("release", str), ("manifest_sha256", str), ("by", str), ("at", str)):
        if not isinstance(payload[field], kind):
            raise IntegrityError(f"{what} is damaged: {field} is {payload[field]!r}.")
    if payload["channel"] != channel or entry_name(channel, payload["sequence"]) != name:
        raise IntegrityError(
            f"{what} is entry {payload['sequence']} of the channel {payload['channel']!r}, in a wrong place."
        )
    return ChannelEntry(**payload, sha256=sha256(data), signed_by=opened.claimed_by)
