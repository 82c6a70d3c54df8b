"""What a store can do without: old releases that no channel's window names, and files that no release names."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gate5.errors import StoreError, StoreInputError
from gate5.io import canonical
from gate5.provenance import now
from gate5.store import intents
from gate5.store.artifact_store import ArtifactStore, blob_name, is_blob_name
from gate5.store.channel import Log, known_channels
from gate5.store.entry import ChannelEntry
from gate5.store.held import state_of
from gate5.store.keyring import keyring
from gate5.store.legacy import backs_of
from gate5.store.manifest import manifest_name
from gate5.store.releases import find_release, list_releases
from gate5.store.rollbacks import known_as
from gate5.store.signing import PublicKey

#: Nothing is removed later than this after the mark; what is left is the next clean-up's.
LIMIT_S = 600.0
LEAST_GRACE_HOURS = 2.0


@dataclass(frozen=True)
class Cleanup:
    """What a clean-up would remove, or has removed.

    Attributes:
        deleted: ``False``: nothing was removed, this is what would be.
        releases: ids of releases that go.
        objects: names of everything that goes, the releases' manifests first.
        size: bytes of these objects.
        kept: releases that stay.
    """

    store: str
    deleted: bool
    releases: tuple[str, ...]
    objects: tuple[str, ...]
    size: int
    kept: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            **asdict(self),
            "releases": list(self.releases),
            "objects": list(self.objects),
            "text": self.line(),
        }

    def line(self) -> str:
        """For a person."""
        verb = "removed" if self.deleted else "would remove (--delete does)"
        lines = [
            f"{self.store}: {verb} {len(self.releases)} releases, {len(self.objects)} objects, {self.size:,} bytes; "
            f"{self.kept} releases stay."
        ]
        return "\n".join([*lines, *(f"  {release}" for release in self.releases)])


def clean(store: ArtifactStore, *, keep: int = 20, grace_hours: float = 24.0, delete: bool = False) -> Cleanup:
    """Find, and with ``delete`` remove, what no channel's window names and is older than the grace time.

    A channel's window is its newest ``keep`` entries, the entry that made the current release current, and as many
    steps of what a rollback goes back to. Entries, holds, keys, claims and proofs are never removed.

    Raises:
        StoreInputError: a number is out of range, or this machine has no key to verify the logs with.
        IntegrityError: a log or a manifest is damaged: nothing is removed then.
        StoreError: the store failed, another clean-up is running, or removing took too long.
    """
    if keep < 1 or not grace_hours >= LEAST_GRACE_HOURS:
        raise StoreInputError(
            f"A clean-up keeps 1 entry at least and waits {LEAST_GRACE_HOURS:g} hours at least; asked were {keep} and "
            f"{grace_hours:g}."
        )
    keys = [store.signer.public_key, *store.trusted_keys]
    if not delete:
        return _found(store, keys, keep, grace_hours * 3600)
    store.ensure_safe()
    if intents.running(store):
        raise StoreError(f"Another clean-up of {store.uri} is running, or was killed less than half an hour ago.")
    begun, name = time.monotonic(), intents.mark()
    store.backend.create(f"{name}-begun.json", canonical.dumps({"at": now()}))
    try:
        found = _found(store, keys, keep, grace_hours * 3600)
        for each in found.objects:
            if time.monotonic() - begun > LIMIT_S:
                raise StoreError(f"The clean-up of {store.uri} took more than {LIMIT_S:g} s and stopped; run it again.")
            store.backend.remove(each)
    finally:
        store.backend.create(f"{name}-done.json", canonical.dumps({"at": now()}))
    return Cleanup(found.store, True, found.releases, found.objects, found.size, found.kept)


def _found(store: ArtifactStore, keys: Sequence[PublicKey], keep: int, grace_s: float) -> Cleanup:
    ring, newest_allowed = keyring(store, keys), store.backend.now() - grace_s
    wanted, blobs = _windows(store, keys, keep)
    # Intents are looked at after the mark was written, and before anything else is decided.
    announced, files, old_intents = intents.said(store, newest_allowed)
    wanted, blobs = wanted | announced, blobs | files
    manifests = {name: (modified, size) for name, modified, size in store.backend.stat("releases/")}
    gone, kept, size = [], 0, 0
    for release in list_releases(store):
        modified, bytes_ = manifests.get(manifest_name(release), (math.inf, 0))
        if release in wanted or modified > newest_allowed:
            read = find_release(store, release, ring)
            blobs |= set() if read is None else set(read.files.values())
            kept += 1
        else:
            gone.append(release)
            size += bytes_
    objects = [manifest_name(release) for release in gone]
    needed = {blob_name(digest) for digest in blobs}
    for name, modified, bytes_ in store.backend.stat("blobs/"):
        if is_blob_name(name) and name not in needed and modified <= newest_allowed:
            objects.append(name)
            size += bytes_
    objects += old_intents
    return Cleanup(store.uri, False, tuple(gone), tuple(objects), size, kept)


def _windows(store: ArtifactStore, keys: Sequence[PublicKey], keep: int) -> tuple[set[str], set[str]]:
    """Releases that the channels' windows name, and blobs with what their entries left in force."""
    wanted: set[str] = set()
    states: set[str] = set()
    for channel in known_channels(store):
        log = Log(store, channel, keys)
        newest = log.newest()
        if newest is None:
            continue
        window = [log.at(number) for number in range(max(1, newest.sequence - keep + 1), newest.sequence + 1)]
        window += _backs(log, newest, keep)
        wanted |= {each.release for each in window if each.release}
        states |= {each.state for each in window if each.state}
    return wanted, states


def _backs(log: Log, newest: ChannelEntry, steps: int) -> Iterator[ChannelEntry]:
    """What made the current release current, and the entries that so many rollbacks would go back to one after the
    other; what they would pass, because it is held now or is of the same policy, is no step."""
    entry = log.at(newest.since) if newest.since else None
    if entry is None:
        return
    yield entry
    state, taken = state_of(log.store, newest), set(known_as(log, newest).names)
    while steps and (back := backs_of(log, entry)) is not None:
        entry = log.at(back)
        yield entry
        names = set(known_as(log, entry).names)
        steps -= state.on(names) is None and not names & taken
