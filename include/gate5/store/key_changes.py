"""Changes of the keyring: each is a new version, signed by the root keys; nothing is taken away, only closed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gate5.errors import StoreError, StoreInputError
from gate5.io import canonical
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.channel import Log, checked_channel, known_channels, next_entry
from gate5.store.claims import adopt
from gate5.store.keyring import PAYLOAD_TYPE, KeyRing, all_names, checked_time, keyring, parse_time, version_name
from gate5.store.legacy import backs_of
from gate5.store.signing import PublicKey, Signer, sign_by_all

Document = dict[str, Any]
_ATTEMPTS = 20


def begin(store: ArtifactStore, signer: Signer, others: Iterable[PublicKey] = ()) -> Document:
    """The first version's content: every key that was trusted until now, for everything; the signer is the root."""
    keys = {key.keyid: _record(key, None, (), None, None) for key in (signer.public_key, *others)}
    return {"root": {"keys": [signer.public_key.keyid], "threshold": 1}, "keys": keys, "channels": {}, "seals": {}}


def add_key(
    store: ArtifactStore,
    key: PublicKey,
    *,
    name: str,
    by: str,
    reason: str,
    channels: Sequence[str] = (),
    start: str | None = None,
    until: str | None = None,
    root: bool = False,
    threshold: int | None = None,
    signers: Sequence[Signer] = (),
) -> KeyRing:
    """Let a key sign.

    Args:
        channels: where; none: everywhere.
        start, until: from when until when, ISO 8601; ``None``: from now on, without an end.
        root: it may also change the keyring; ``threshold``: how many root keys a change needs from now on.

    Raises:
        StoreInputError: the key was there before, or a value is none.
    """
    scope = [checked_channel(channel) for channel in channels]
    _refuse_empty_time(checked_time(start), checked_time(until))

    def change(document: Document) -> None:
        if key.keyid in document["keys"]:
            raise StoreInputError(f"The key {key.keyid[:12]} is in the keyring already; a key is added once.")
        document["keys"][key.keyid] = _record(key, name, scope, start, until)
        if root:
            document["root"]["keys"].append(key.keyid)
        if threshold is not None:
            if not 1 <= threshold <= len(document["root"]["keys"]):
                have = len(document["root"]["keys"])
                raise StoreInputError(f"A threshold of {threshold} needs as many root keys, and there are {have}.")
            document["root"]["threshold"] = threshold

    return _write(store, change, by, reason, signers)


def close_key(
    store: ArtifactStore, key_id: str, *, by: str, reason: str, revoked: bool, signers: Sequence[Signer] = ()
) -> KeyRing:
    """End or revoke a key, now: what it signed until here stays valid, nothing after this is.

    Raises:
        StoreInputError: no such key, or it is the last root key.
    """
    found: list[str] = []

    def check(document: Document) -> None:
        found[:] = [each for each in document["keys"] if each.startswith(key_id) and len(key_id) >= 8]
        if len(found) != 1:
            raise StoreInputError(
                f"{key_id!r} is not one key of the keyring; these are: {', '.join(all_names(document['keys']))}."
            )
        root = document["root"]
        if found[0] in root["keys"] and len(root["keys"]) <= root["threshold"]:
            raise StoreInputError(f"The key {found[0][:12]} is needed to change the keyring: add a root key first.")
        if found[0] in root["keys"]:
            _enough_without(document, found[0], signers or [store.signer])
        # From here on nobody signs with it, so that no entry can slip in behind the place where it ends.
        document["keys"][found[0]]["closing"] = True

    ring = _write(store, check, by, reason, signers)
    if ring.document["keys"][found[0]]["closed"]:
        return ring

    def change(document: Document) -> None:
        last = {name: seal[:2] for name, seal in document["seals"].items()}
        closed = {"at": now(), "by": by, "reason": reason, "revoked": revoked, "last": last}
        document["keys"][found[0]]["closed"] = document["keys"][found[0]]["closed"] or closed
        if found[0] in document["root"]["keys"]:
            document["root"]["keys"].remove(found[0])

    return _write(store, change, by, reason, signers, seals=_seal(store, ring, by, reason, signers))


def demand(
    store: ArtifactStore,
    channel: str,
    demands: Mapping[str, Any],
    *,
    by: str,
    reason: str,
    signers: Sequence[Signer] = (),
) -> KeyRing:
    """Write down, signed, what a channel demands from now on (a section ``channels.NAME``)."""

    def change(document: Document) -> None:
        document["channels"][checked_channel(channel)] = dict(demands)

    ring = _write(store, change, by, reason, signers)
    return _write(store, lambda document: None, by, reason, signers, seals=_seal(store, ring, by, reason, signers))


def _refuse_empty_time(start: str | None, until: str | None) -> None:
    """A key is added once, so that a mistyped year could not be put right any more."""
    if until is None:
        return
    first = max(now(), start or now(), key=parse_time)
    if parse_time(until) <= parse_time(first):
        raise StoreInputError(f"The key could never sign: its time ends at {until}, and begins at {first}.")


def _record(
    key: PublicKey, name: str | None, channels: Sequence[str], start: str | None, until: str | None
) -> dict[str, Any]:
    return {
        "public": key.keyval["public"],
        "name": name or key.keyid[:12],
        "channels": list(channels) or None,
        "from": start,
        "until": until,
        "closing": False,
        "closed": None,
    }


def _write(
    store: ArtifactStore,
    change: Callable[[Document], None],
    by: str,
    reason: str,
    signers: Sequence[Signer],
    seals: Mapping[str, Any] | None = None,
) -> KeyRing:
    if not by.strip() or not reason.strip():
        raise StoreInputError("A change of the keyring needs a name and a reason: give both; they are kept.")
    signers = list(signers) or [store.signer]
    trusted = [*(signer.public_key for signer in signers), *store.trusted_keys]
    store.ensure_safe()
    for _ in range(_ATTEMPTS):
        ring = keyring(store, trusted)
        document = (
            begin(store, signers[0], store.trusted_keys) if ring.version == 0 else copy.deepcopy(dict(ring.document))
        )
        old_root = list(document["root"]["keys"])
        _mark(document["seals"], seals or {})
        change(document)
        document |= {"version": ring.version + 1, "previous": ring.sha256 or None, "at": now(), "by": by}
        document["reason"] = reason
        _enough(ring, document, old_root, signers)
        data = sign_by_all(canonical.dumps(document), PAYLOAD_TYPE, signers)
        name = version_name(ring.version + 1)
        if store.backend.create(name, data) or store.backend.read(name) == data:
            return keyring(store, trusted)
    raise StoreError(f"The keyring of {store.uri} was changed by others {_ATTEMPTS} times in a row; try again later.")


def _mark(there: Document, seals: Mapping[str, Any]) -> None:
    """Another change may have marked a log further on, and may have been written first: no mark ever moves back."""
    for channel, seal in seals.items():
        have = there.get(channel)
        if have is None or (have[0], have[2]) < (seal[0], seal[2]):
            there[channel] = list(seal)


def _enough_without(document: Document, key_id: str, signers: Sequence[Signer]) -> None:
    """Asked before the first step of an end: after it the key alone could not take the last one."""
    left = {each for each in document["root"]["keys"] if each != key_id}
    needed = document["root"]["threshold"]
    if len(left & {signer.public_key.keyid for signer in signers}) < needed:
        names = ", ".join(document["keys"][each]["name"] for each in sorted(left))
        raise StoreInputError(
            f"The end of {document['keys'][key_id]['name']} has to be signed by {needed} of the root keys that stay "
            f"({names}): give the private keys with --key, once for each."
        )


def _enough(ring: KeyRing, document: Document, old_root: Sequence[str], signers: Sequence[Signer]) -> None:
    have = {signer.public_key.keyid for signer in signers}
    before: Document = ring.document["root"] if ring.version else {"keys": old_root, "threshold": 1}
    for root in (before, document["root"]):
        if len(have & set(root["keys"])) < root["threshold"]:
            names = ", ".join(document["keys"][key]["name"] for key in root["keys"])
            raise StoreInputError(
                f"A change of the keyring needs {root['threshold']} of the root keys {names}: give the private keys "
                "with --key, once for each."
            )


def _seal(
    store: ArtifactStore, ring: KeyRing, by: str, reason: str, signers: Sequence[Signer]
) -> dict[str, tuple[int, str, int]]:
    """Put an entry into every channel's log that marks where this version of the keyring begins to count there.

    Of a channel that has no log yet, and of which something is demanded, all of it is of this version or a later one.
    """
    seals: dict[str, tuple[int, str, int]] = {}
    signers = list(signers) or [store.signer]
    signer = next(each for each in signers if each.public_key.keyid in ring.document["root"]["keys"])
    trusted = [*(each.public_key for each in signers), *store.trusted_keys]
    for channel in sorted({*known_channels(store), *ring.document["channels"]}):
        for _ in range(_ATTEMPTS * 20):
            log = Log(store, channel, trusted)
            newest = log.newest()
            if newest is None:
                seals[channel] = (0, "", log.keyring.version)
                break
            if newest.format == 1:
                adopt(log)
            wanted = next_entry(log, newest, kind="keys", by=by, reason=reason, back=backs_of(log, newest))
            done = log.append(wanted, signer)
            if done is not None:
                seals[channel] = (done.sequence, done.sha256, done.keys)
                break
        else:
            raise StoreError(f"The channel {channel} was changed by others all the time; run the same command again.")
    return seals
