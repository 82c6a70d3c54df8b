"""The store's keyring: which keys may sign, from when until when, for which channels, and what each channel demands.

After TUF's root role: each version is signed by the root keys of the version before it and by its own, as many as the
threshold says, and is never overwritten. A store without a keyring trusts the keys that a reader was given, for ever.

What a key signed before its end stays valid. An entry's own date proves nothing, for a stolen key can write any; so the
end of a key is a place in each channel's log: an entry of the kind ``keys`` there, whose number and hash the keyring
keeps (``seals``). Up to that place the key's signatures count, after it they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, overload

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.store.artifact_store import ArtifactStore
from gate5.store.entry import FORGED, LAST, ChannelEntry
from gate5.store.signing import Opened, PublicKey, Signer, open_envelope, public_key_of

PAYLOAD_TYPE = "application/vnd.gate5.keys+json"
APPROVAL_TYPE = "application/vnd.gate5.approval+json"
#: Names that are asked for to find the newest version.
_FIRST = 16


@dataclass(frozen=True)
class KeyRing(Sequence[PublicKey]):
    """One version of the keyring; as a sequence, every key it knows, ended ones too.

    Attributes:
        version: 1 for the first; 0: no keyring, the given keys are trusted for everything.
        sha256: of what was signed.
        document: ``root`` (``keys``, ``threshold``), ``keys`` by id, ``channels`` by name, ``seals`` by channel.
        given: the keys of a reader, where the version is 0.
        past: what earlier versions demanded of channels, by version.
    """

    version: int
    sha256: str
    document: Mapping[str, Any]
    given: tuple[PublicKey, ...] = ()
    past: Mapping[int, Mapping[str, Any]] | None = None

    @overload
    def __getitem__(self, index: int) -> PublicKey: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PublicKey]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> list[PublicKey]:
        records = self.document.get("keys", {})
        return [*self.given, *(public_key_of(record["public"]) for record in records.values())]

    def demands(self, channel: str, version: int | None = None) -> Mapping[str, Any]:
        """What a channel demands, as the section ``channels.NAME`` of a configuration; empty: nothing."""
        document = self.document if version in (None, self.version) else (self.past or {}).get(version or 0, {})
        found = document.get("channels", {}).get(channel, {})
        return found if isinstance(found, Mapping) else {}

    def may_sign(self, key_id: str, channel: str, at: str) -> str | None:
        """``None`` if a key may sign something new on a channel at this time; else why not."""
        if self.version == 0:
            return None
        record = self.document["keys"].get(key_id)
        if record is None:
            return f"the key {key_id[:12]} is not in the store's keyring (`gate5 keys add`)"
        closed = record.get("closed")
        if closed is not None:
            verb = "revoked" if closed["revoked"] else "ended"
            return f"the key {record['name']} ({key_id[:12]}) was {verb} at {closed['at']}: {closed['reason']}"
        if record["closing"]:
            return f"the key {record['name']} ({key_id[:12]}) is being ended"
        return _out_of_scope(record, key_id, channel, at)

    def check(self, entry: ChannelEntry, opened: Opened, newest: bool) -> None:
        """Whether those who signed an entry were allowed to, where it stands in its channel's log.

        Args:
            newest: it is the newest one: nothing after it vouches for it.

        Raises:
            IntegrityError: they were not, or the log was cut off before a place that the keyring knows.
        """
        if self.version == 0:
            return
        name = f"Entry {entry.sequence} of the channel {entry.channel}"
        seal = self.document["seals"].get(entry.channel)
        if seal is not None:
            sequence, digest, version = seal
            if newest and entry.sequence < sequence:
                raise IntegrityError(f"{name} is the newest, but the keyring knows entry {sequence}: the log was cut.")
            if entry.sequence == sequence and digest not in entry.hashes:
                raise IntegrityError(f"{name} is not the one that the keyring knows{FORGED}.")
            if entry.sequence > sequence and entry.keys < version:
                raise IntegrityError(f"{name} was not made under the keyring of its time{FORGED}.")
        reasons = [self._allowed(key_id, entry) for key_id in opened.verified_by]
        if all(reason is not None for reason in reasons):
            raise IntegrityError(f"{name} is not signed by a key that may: {reasons[0]}{FORGED}.")
        good = {key for key, reason in zip(opened.verified_by, reasons, strict=True) if reason is None}
        if entry.kind == "promote":
            self._enough(entry, good, name)

    def signatures(self, entry: ChannelEntry) -> int:
        """How many a promotion needed on an entry's channel, when the entry was made."""
        return int(self.demands(entry.channel, entry.keys).get("signatures", 1))

    def _enough(self, entry: ChannelEntry, good: set[str], name: str) -> None:
        needed = self.signatures(entry)
        if needed > 1:
            approved = self.approved_by(entry.channel, entry.manifest_sha256, entry.approvals)
            good |= {key for key in approved if self._allowed(key, entry) is None}
            if len(good) < needed:
                raise IntegrityError(f"{name} has {len(good)} of {needed} signatures that the channel demands{FORGED}.")

    def approved_by(self, channel: str, manifest: str, approvals: Sequence[Mapping[str, Any]]) -> set[str]:
        """Ids of the keys that have signed an approval of this manifest on this channel, whether or not they might."""
        found = set()
        for envelope in approvals:
            try:
                opened = open_envelope(canonical.dumps(dict(envelope)), APPROVAL_TYPE, self, "An approval")
            except (IntegrityError, TypeError, ValueError):
                continue
            said = opened.payload
            if isinstance(said, dict) and (said.get("channel"), said.get("manifest_sha256")) == (channel, manifest):
                found |= set(opened.verified_by)
        return found

    def _allowed(self, key_id: str, entry: ChannelEntry) -> str | None:
        record = self.document["keys"].get(key_id)
        if record is None:
            return f"the key {key_id[:12]} is not in the keyring"
        closed = record.get("closed")
        if closed is not None:
            last = closed["last"].get(entry.channel)
            if last is None or entry.sequence > last[0]:
                return f"the key {record['name']} ({key_id[:12]}) had ended before"
        if entry.kind == "keys" and key_id in self._root_of(entry.keys):
            return None
        return _out_of_scope(record, key_id, entry.channel, entry.at)

    def _root_of(self, version: int) -> Sequence[str]:
        """The root keys of a version: what one of them signed stays good when it is none any more."""
        document = (self.past or {}).get(version)
        return () if document is None else list(document["root"]["keys"])


def keyring(store: ArtifactStore, keys: Sequence[PublicKey], known: Mapping[str, Any] | None = None) -> KeyRing:
    """The store's keyring, each version verified from the first one on.

    Args:
        keys: what the reader trusts: one of these has signed the first version; all there is where the store has none.
        known: ``version`` and ``sha256`` of one that was seen before; ``None`` for the hash: it is not known any more.

    Raises:
        IntegrityError: a version is missing, damaged, not signed by enough root keys, or older than what was seen.
    """
    first = store.backend.list("keys/", _FIRST)
    # Whoever can write there could put so many other names before the versions that none of these is among the first.
    full = len(first) == _FIRST and not any(map(_is_version, first))
    names = [name for name in (store.backend.list("keys/") if full else first) if _is_version(name)]
    newest = LAST - int(names[0][5:17]) if names else 0
    ring = KeyRing(0, "", {}, tuple(keys))
    past: dict[int, Mapping[str, Any]] = {}
    for version in range(1, newest + 1):
        ring = _next(store, ring, version, keys, names[0])
        past[version] = ring.document
        if known and known["version"] == version and known["sha256"] not in (None, ring.sha256):
            raise IntegrityError(
                f"Version {version} of the keyring of {store.uri} is not the one that was seen before."
            )
    if known and known["version"] > ring.version:
        raise IntegrityError(
            f"The keyring of {store.uri} went back in time: version {known['version']} was seen here before, and now "
            f"the newest is {ring.version}; the store was restored from a backup or tampered with."
        )
    return ring if ring.version == 0 else KeyRing(ring.version, ring.sha256, ring.document, (), past)


def demands(store: ArtifactStore, channel: str) -> Mapping[str, Any]:
    """What the store's keyring says, signed, that a channel demands; empty: nothing.

    Raises:
        StoreInputError: this machine has no signing key.
        IntegrityError: the keyring is damaged, or does not begin with a key that this machine trusts.
    """
    return keyring(store, [store.signer.public_key, *store.trusted_keys]).demands(channel)


def version_name(version: int) -> str:
    """Where a version of the keyring lies: newest first."""
    return f"keys/{LAST - version:012}.json"


def _is_version(name: str) -> bool:
    return len(name) == 22 and name.endswith(".json") and name[5:17].isdigit() and name[5:17].isascii()


def _next(store: ArtifactStore, before: KeyRing, version: int, keys: Sequence[PublicKey], newest_name: str) -> KeyRing:
    what = f"Version {version} of the keyring of {store.uri}"
    data = store.remembered(version_name(version))
    if data is None:
        raise IntegrityError(
            f"{what} is missing, and {newest_name} is there: restore {version_name(version)} from a backup, or, where "
            f"there never was one, move {newest_name} away{FORGED}."
        )
    opened = open_envelope(data, PAYLOAD_TYPE, None, f"{what}, {version_name(version)},", hint=FORGED)
    document = opened.payload
    try:
        root = document["root"]
        own = {key: public_key_of(document["keys"][key]["public"]) for key in root["keys"]}
        right = (document["version"], document["previous"]) == (version, before.sha256 or None)
        right = right and all(key.keyid == key_id for key_id, key in own.items()) and 1 <= root["threshold"] <= len(own)
        right = right and isinstance(document["channels"], dict) and isinstance(document["seals"], dict)
    except (KeyError, TypeError, ValueError, AttributeError):
        right = False
    if not right:
        raise IntegrityError(
            f"{what} is damaged: it has not the fields of a keyring, or does not follow the one before."
        )
    old_root = before.document.get("root")
    old = (
        {key.keyid: key for key in keys}
        if old_root is None
        else {key: public_key_of(before.document["keys"][key]["public"]) for key in old_root["keys"]}
    )
    for wanted, threshold in ((old, 1 if old_root is None else old_root["threshold"]), (own, root["threshold"])):
        signed = open_envelope(data, PAYLOAD_TYPE, list(wanted.values()), what, hint=FORGED).verified_by
        if len(signed) < threshold:
            raise IntegrityError(f"{what} is signed by {len(signed)} of {threshold} root keys.")
    return KeyRing(version, opened.payload_sha256, document)


def _out_of_scope(record: Mapping[str, Any], key_id: str, channel: str, at: str) -> str | None:
    name = f"the key {record['name']} ({key_id[:12]})"
    if record["channels"] is not None and channel not in record["channels"]:
        return f"{name} may sign on {', '.join(record['channels']) or 'no channel'} only, not on {channel}"
    when = parse_time(at)
    if record["from"] is not None and when < parse_time(record["from"]):
        return f"{name} may sign from {record['from']} on only, not at {at}"
    if record["until"] is not None and when > parse_time(record["until"]):
        return f"{name} might sign until {record['until']} only, not at {at}"
    return None


def parse_time(text: str) -> datetime:
    """A time of ISO 8601 with its zone.

    Raises:
        StoreInputError: it is none.
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise StoreInputError(f"{text!r} is not a time with its zone, such as 2027-01-31T00:00:00+00:00.")
    return found


def checked_time(text: str | None) -> str | None:
    """``text`` if it is a time in ISO 8601 with its zone.

    Raises:
        StoreInputError: it is not.
    """
    if text is not None:
        parse_time(text)
    return text


def signer_may(ring: KeyRing, signer: Signer, channel: str, at: str) -> None:
    """Refuse to sign what nobody would believe.

    Raises:
        StoreInputError: the signer's key may not sign on this channel now.
    """
    why = ring.may_sign(signer.public_key.keyid, channel, at)
    if why is not None:
        raise StoreInputError(f"Nothing can be signed on the channel {channel}: {why}.")


def all_names(records: Mapping[str, Any]) -> Iterator[str]:
    """Ids and names of keys, for a message."""
    for key_id, record in records.items():
        yield f"{record['name']} ({key_id[:12]})"
