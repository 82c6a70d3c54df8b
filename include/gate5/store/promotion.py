"""``promote`` and ``rollback``: one create-if-absent each; of two racing callers one wins, one decides again."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gate5.errors import IntegrityError, StoreError, StoreInputError
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.channel import ChannelEntry, Log, checked_channel, new_entry
from gate5.store.manifest import Release
from gate5.store.releases import verify_release
from gate5.store.signing import PublicKey, Signer

ATTEMPTS = 200

Outcome = Literal["promoted", "rolled_back", "already_current", "superseded"]


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback did.

    Attributes:
        outcome: ``promoted`` or ``rolled_back``: a new entry; ``already_current``: nothing to do; ``superseded``: this
            release was promoted before and another one has replaced it since, nothing was done.
        channel: the channel's name.
        release: the release that was asked for.
        sequence: number of the entry that put this release there.
        replaced: the release that was current before that entry, or ``None``.
        sentence: the same for a reader.
    """

    outcome: Outcome
    channel: str
    release: str
    sequence: int
    replaced: str | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.sentence}

    def line(self) -> str:
        """For a person."""
        return self.sentence

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Promotion:
        """The inverse of ``to_dict``."""
        return cls(**{name: value for name, value in data.items() if name != "text"})


def promote(
    store: ArtifactStore,
    channel: str,
    release: Release | str,
    *,
    approved_by: str,
    require_backend: str | None = None,
    reason: str | None = None,
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> Promotion:
    """Make a release the current one of a channel.

    A release is promoted on a channel once; to put an earlier one back there is ``rollback``. That is what makes a
    promotion safe to run again: after a kill it is either already there, or is made now, or was made and has been
    replaced by a newer one, which an old promotion's second run must not undo.

    Args:
        approved_by: who says so: a person's name, or what decided (``gate5``).
        require_backend: refuse a release whose engine is of another back end.
        signer: signs the entry; ``None``: the store's own. Its public key is trusted.
        trusted_keys: further keys that may have signed the release and the log's earlier entries; ``None``: those
            that lie beside the store's signing key.

    Raises:
        StoreInputError: there is no such release, it is of another back end, or the channel's name is none.
        IntegrityError: the release or the channel's log is damaged or not signed by a trusted key.
        StoreError: the store failed or is not safe to use.
    """
    checked_channel(channel)
    signer = signer or store.signer
    keys = [signer.public_key, *(store.trusted_keys if trusted_keys is None else trusted_keys)]
    wanted = _checked_release(store, release, keys, require_backend)
    if not approved_by:
        raise StoreInputError("Nobody is named as the one who approves: give approved_by.")
    store.ensure_safe()
    log, request = Log(store, channel, keys), secrets.token_hex(8)
    for attempt in range(ATTEMPTS):
        entries = log.entries()
        done = _promoted_before(entries, wanted.id)
        if done is not None:
            return done
        entry = log.append(_entry(channel, entries, wanted, "promote", approved_by, reason, request), signer)
        if entry is not None:
            return _done("promoted", entry, entries)
        _wait(attempt)
    raise _nothing_promoted(store, channel)


def rollback(
    store: ArtifactStore,
    channel: str,
    to: str | None = None,
    *,
    by: str,
    reason: str,
    request: str | None = None,
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> Promotion:
    """Put an earlier release of a channel back.

    Args:
        to: its id; ``None``: the one before the current one (rolling back twice goes back two).
        by, reason: who and why; both are kept in the log.
        request: a name for this wish (a DAG run's id): the same one again does nothing more. ``None``: a new wish.

    Raises:
        StoreInputError: the channel has no such earlier release, or ``by`` or ``reason`` is empty.
        StoreError: somebody changed the channel at the same time and ``to`` is not given; or the store failed.
        IntegrityError: the release or the log is damaged or not signed by a trusted key.
    """
    checked_channel(channel)
    if not by.strip() or not reason.strip():
        raise StoreInputError(
            "A rollback needs a name and a reason: give both, they are kept in the channel's history."
        )
    signer = signer or store.signer
    keys = [signer.public_key, *(store.trusted_keys if trusted_keys is None else trusted_keys)]
    store.ensure_safe()
    log, request, seen = Log(store, channel, keys), request or secrets.token_hex(8), None
    for attempt in range(ATTEMPTS):
        entries = log.entries()
        made = [entry for entry in entries if entry.request == request]
        if made:
            return _done("rolled_back", made[0], entries[entries.index(made[0]) + 1 :])
        if to is None and seen is not None and entries[0].sha256 != seen:
            raise _channel_changed(entries[0])
        target = _target(channel, entries, to)
        if target == entries[0].release:
            return _already(entries)
        wanted = _promoted_release(store, target, entries, keys)
        entry = log.append(_entry(channel, entries, wanted, "rollback", by, reason, request), signer)
        if entry is not None:
            return _done("rolled_back", entry, entries)
        seen = entries[0].sha256
        _wait(attempt)
    raise _nothing_promoted(store, channel)


def _checked_release(
    store: ArtifactStore, release: Release | str, keys: Sequence[PublicKey], require_backend: str | None
) -> Release:
    given = release if isinstance(release, str) else release.id
    found = verify_release(store, given, keys)
    if isinstance(release, Release) and release.manifest_sha256 != found.manifest_sha256:
        raise IntegrityError(
            f"The release {given} in the store {store.uri} is not the one that was given; look at both."
        )
    if require_backend is not None and found.backend != require_backend:
        raise StoreInputError(
            f"The release {given} has an engine of {found.backend}, but this channel takes {require_backend} only: "
            "build it there, or change release.require_backend."
        )
    return found


def _promoted_before(entries: list[ChannelEntry], release: str) -> Promotion | None:
    if entries and entries[0].release == release:
        return _already(entries)
    for index, entry in enumerate(entries):
        if entry.release == release:
            before = entries[index + 1].release if index + 1 < len(entries) else None
            sentence = (
                f"{release} was promoted on {entry.channel} before (entry {entry.sequence}, {entry.at}) and "
                f"{entries[0].release} has replaced it: nothing was changed; `gate5 rollback --to {release}` puts it "
                "back."
            )
            return Promotion("superseded", entry.channel, release, entry.sequence, before, sentence)
    return None


def _already(entries: list[ChannelEntry]) -> Promotion:
    entry = entries[0]
    before = entries[1].release if len(entries) > 1 else None
    sentence = f"{entry.release} is already in {entry.channel} (entry {entry.sequence}, since {entry.at})."
    return Promotion("already_current", entry.channel, entry.release, entry.sequence, before, sentence)


def _done(outcome: Literal["promoted", "rolled_back"], entry: ChannelEntry, before: list[ChannelEntry]) -> Promotion:
    replaced = before[0].release if before else None
    verb = "is now" if outcome == "promoted" else "is again"
    instead = f" in place of {replaced}" if replaced else ""
    sentence = f"{entry.release} {verb} in {entry.channel}{instead} (entry {entry.sequence}, by {entry.by})."
    return Promotion(outcome, entry.channel, entry.release, entry.sequence, replaced, sentence)


def _entry(
    channel: str,
    entries: list[ChannelEntry],
    release: Release,
    kind: Literal["promote", "rollback"],
    by: str,
    reason: str | None,
    request: str,
) -> ChannelEntry:
    return new_entry(
        channel,
        entries[0] if entries else None,
        release=release.id,
        manifest_sha256=release.manifest_sha256,
        kind=kind,
        by=by,
        at=now(),
        reason=reason,
        request=request,
    )


def _target(channel: str, entries: list[ChannelEntry], to: str | None) -> str:
    if not entries:
        raise StoreInputError(f"Nothing was ever promoted on the channel {channel}; there is nothing to go back to.")
    known = list(dict.fromkeys(entry.release for entry in entries))
    if to is not None:
        if to not in known:
            raise StoreInputError(f"{to!r} was never on the channel {channel}; these were: {', '.join(known[:10])}.")
        return to
    stack: list[str] = []
    for entry in reversed(entries):
        if entry.kind == "rollback" and entry.release in stack:
            del stack[stack.index(entry.release) + 1 :]
        else:
            stack.append(entry.release)
    if len(stack) < 2:
        raise StoreInputError(f"{stack[-1]} is the first release of the channel {channel}; there is none before it.")
    return stack[-2]


def _promoted_release(
    store: ArtifactStore, target: str, entries: list[ChannelEntry], keys: Sequence[PublicKey]
) -> Release:
    """A release of the log, verified, and with the manifest that was promoted then."""
    release = verify_release(store, target, keys)
    if any(entry.release == release.id and entry.manifest_sha256 != release.manifest_sha256 for entry in entries):
        raise IntegrityError(
            f"The manifest of {release.id} is not the one that was promoted; restore it from a backup."
        )
    return release


def _channel_changed(newest: ChannelEntry) -> StoreError:
    return StoreError(
        f"The channel {newest.channel} was changed at the same time: its current release is now {newest.release}; look "
        "at `gate5 history` and say with --to which one you want."
    )


def _wait(attempt: int) -> None:
    time.sleep(random.uniform(0, min(0.25, 0.005 * 2**attempt)))  # noqa: S311 (only spreads the losers of a race)


def _nothing_promoted(store: ArtifactStore, channel: str) -> StoreError:
    return StoreError(
        f"The channel {channel} in {store.uri} was changed by others {ATTEMPTS} times in a row; try again later."
    )
