"""One entry of a channel's log: its fields, its bytes, and what a reader may take for one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store.signing import Opened, PublicKey, open_envelope

PAYLOAD_TYPE = "application/vnd.gate5.channel-entry+json"
FORMAT = 2
LAST = 10**12
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NAME = re.compile(r"channels/[a-z0-9][a-z0-9_-]{0,62}/([0-9]{12})\.json")
_KIND = re.compile(r"[a-z][a-z_]{0,31}")
_FIRST_FIELDS = ("sequence", "release", "manifest_sha256", "kind", "previous", "by", "at", "reason", "request")
_FIELDS = (*_FIRST_FIELDS, "since", "back", "made", "keys", "approvals", "state", "details")
_TYPES = {
    "sequence": int,
    "release": str,
    "manifest_sha256": str,
    "kind": str,
    "previous": str | None,
    "by": str,
    "at": str,
    "reason": str | None,
    "request": str,
    "since": int,
    "back": int | None,
    "made": str | None,
    "keys": int,
    "approvals": list,
    "state": str | None,
    "details": dict,
}


@dataclass(frozen=True)
class ChannelEntry:
    """One line of a channel's log.

    Attributes:
        channel: the channel's name.
        sequence: 1 for the first entry, and so on without a gap.
        release: the release that is the current one from this entry on; empty where none is yet. An entry of a kind
            that moves no release repeats what the one before it says, so that the newest entry is always enough.
        manifest_sha256: of that release's manifest.
        kind: ``promote``, ``rollback``, ``keys`` (the keyring changed); further kinds may follow, and a reader that
            does not know one takes it as one that moves no release.
        previous: SHA-256 of the entry before; ``None`` in the first.
        by: who.
        at: when, UTC, ISO 8601.
        reason: why, or ``None``.
        request: unique to the call that made the entry.
        sha256: the entry's identity: of its signed payload.
        signed_by: ids of the keys that say to have signed it.
        since: number of the entry that made the current release the current one; 0: none did.
        back: number of the entry that a rollback goes back to; ``None``: none, or not recorded (format 1).
        made: when the candidate was made, so that of two runs the older never replaces the newer; ``None``: not known.
        keys: version of the store's keyring that the signer went by; 0: there was none.
        approvals: further signatures of the promotion, each a DSSE envelope.
        state: SHA-256 of a blob with what earlier entries left in force; carried on by every entry.
        details: what belongs to the entry's kind.
        format: of the entry; 1 is what was written before there were ``back`` and the fields after it.
        bytes_sha256: of the entry's bytes, by which an entry of format 1 names the one before it.
    """

    channel: str
    sequence: int
    release: str
    manifest_sha256: str
    kind: str
    previous: str | None
    by: str
    at: str
    reason: str | None
    request: str
    sha256: str = ""
    signed_by: tuple[str, ...] = ()
    since: int = 0
    back: int | None = None
    made: str | None = None
    keys: int = 0
    approvals: tuple[Mapping[str, Any], ...] = ()
    state: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    bytes_sha256: str = ""

    @property
    def hashes(self) -> tuple[str, ...]:
        """What a plant or a following entry may have kept of this entry."""
        return (self.sha256, self.bytes_sha256)

    def to_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in ("channel", *_FIELDS, "sha256", "format", "bytes_sha256")}
        approvals, details = [dict(approval) for approval in self.approvals], dict(self.details)
        return {**data, "signed_by": list(self.signed_by), "approvals": approvals, "details": details}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChannelEntry:
        """The inverse of ``to_dict``."""
        return cls(**{**data, "signed_by": tuple(data["signed_by"]), "approvals": tuple(data.get("approvals", ()))})

    def payload(self) -> bytes:
        """What is signed."""
        data = {"format": FORMAT, "channel": self.channel, **{name: getattr(self, name) for name in _FIELDS}}
        return canonical.dumps({**data, "approvals": list(self.approvals), "details": dict(self.details)})


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


def entry_name(channel: str, sequence: int) -> str:
    """Where an entry lies: the names' order is newest first, so that a listing begins with the current one."""
    return f"channels/{channel}/{LAST - sequence:012}.json"


def is_entry_name(name: str) -> bool:
    """Whether a name can be an entry's; all else that lies in a channel's folder is no part of the log."""
    found = _NAME.fullmatch(name)
    return found is not None and int(found.group(1)) < LAST


def parse_entry(data: bytes, channel: str, name: str, keys: Sequence[PublicKey] | None) -> tuple[ChannelEntry, Opened]:
    """An entry from its bytes, and whose signatures on it hold.

    Raises:
        IntegrityError: it is damaged, in a wrong place, or not signed by one of ``keys``.
    """
    what = f"The channel entry {name}"
    opened = open_envelope(data, PAYLOAD_TYPE, keys, what, hint=FORGED)
    payload = opened.payload
    old = isinstance(payload, dict) and set(payload) == {"channel", *_FIRST_FIELDS}
    new = isinstance(payload, dict) and set(payload) == {"format", "channel", *_FIELDS}
    if not (old or new) or payload.get("format", 1) not in (1, FORMAT):
        raise IntegrityError(f"{what} is damaged: it has not the fields of an entry.")
    for name_, kind in _TYPES.items():
        if name_ in payload and (not isinstance(payload[name_], kind) or payload[name_] is True):
            raise IntegrityError(f"{what} is damaged: {name_} is {payload[name_]!r}.")
    if not _KIND.fullmatch(payload["kind"]):
        raise IntegrityError(f"{what} is damaged: kind is {payload['kind']!r}.")
    if payload["channel"] != channel or entry_name(channel, payload["sequence"]) != name:
        raise IntegrityError(
            f"{what} is entry {payload['sequence']} of the channel {payload['channel']!r}, in a wrong place."
        )
    fields = {key: value for key, value in payload.items() if key != "format"}
    entry = ChannelEntry.from_dict({**fields, "signed_by": opened.claimed_by})
    if old:
        entry = replace(entry, since=entry.sequence)
    identity: dict[str, Any] = {
        "sha256": opened.payload_sha256,
        "bytes_sha256": sha256(data),
        "format": 1 if old else FORMAT,
    }
    return replace(entry, **identity), opened


FORGED = "; see `A forged or damaged entry` in docs/store.md"
