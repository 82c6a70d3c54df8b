"""``promote`` and ``rollback``: one create-if-absent each; of two racing callers one wins, one decides again."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gate5.errors import IntegrityError, StoreError, StoreInputError
from gate5.provenance import now
from gate5.store import claims
from gate5.store.approvals import approvals_of
from gate5.store.artifact_store import ArtifactStore
from gate5.store.channel import Log, checked_channel, next_entry
from gate5.store.entry import ChannelEntry
from gate5.store.keyring import KeyRing, signer_may
from gate5.store.legacy import backs_of
from gate5.store.manifest import Release
from gate5.store.releases import verify_release
from gate5.store.signing import PublicKey, Signer

ATTEMPTS = 400

Outcome = Literal["promoted", "rolled_back", "already_current", "superseded"]


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback did.

    Attributes:
        outcome: ``promoted`` or ``rolled_back``: a new entry; ``already_current``: nothing to do; ``superseded``: this
            release was promoted before and another one has replaced it since, or a newer candidate is current: nothing
            was done.
        channel: the channel's name.
        release: the release that was asked for.
        sequence: number of the entry that put this release there; of the current one where it never was there.
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
    made: str | None = None,
    by: str | None = None,
    details: Mapping[str, Any] | None = None,
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> Promotion:
    """Make a release the current one of a channel.

    A release is promoted on a channel once; to put an earlier one back there is ``rollback``. That is what makes a
    promotion safe to run again: after a kill it is either already there, or is made now, or was made and has been
    replaced by a newer one, which an old promotion's second run must not undo.

    Args:
        approved_by: who says so: a person's name, or what decided (``gate5``).
        require_backend: refuse a release whose engine is of another back end; the channel may demand one, too.
        made: when the candidate's run began (ISO 8601, UTC): an older one does not replace a newer one's release.
        by: whom the log names (who started the run, where nobody approved); ``None``: ``approved_by``. What the
            channel demands of an approval is asked of ``approved_by`` alone.
        details: of the run, kept in the entry.
        signer: signs the entry; ``None``: the store's own. Its public key is trusted.
        trusted_keys: further keys that may have signed the release and the log's earlier entries; ``None``: those
            that lie beside the store's signing key.

    Raises:
        StoreInputError: there is no such release, it or the approval is not what the channel demands, the key may not
            sign there, or the channel's name is none.
        IntegrityError: the release or the channel's log is damaged or not signed by a trusted key.
        StoreError: the store failed or is not safe to use.
    """
    checked_channel(channel)
    signer = signer or store.signer
    keys = [signer.public_key, *(store.trusted_keys if trusted_keys is None else trusted_keys)]
    if not approved_by:
        raise StoreInputError("Nobody is named as the one who approves: give approved_by.")
    log, request, after = Log(store, channel, keys), secrets.token_hex(8), None
    wanted = _checked_release(store, release, _ring(log), require_backend)
    store.ensure_safe()
    for attempt in range(ATTEMPTS):
        newest = log.newest()
        number = newest.sequence if newest else 0
        if newest and newest.format == 1:
            claims.adopt(log)
        after = claims.claim(log, wanted.id, number) if after is None else after
        done = _promoted_before(log, newest, wanted.id, after) or _newer_is_there(log, newest, wanted.id, made)
        if done is not None:
            return done
        after = number
        approvals = _allowed(log, wanted, signer, approved_by)
        entry = next_entry(
            log,
            newest,
            kind="promote",
            release=wanted.id,
            manifest_sha256=wanted.manifest_sha256,
            by=by or approved_by,
            reason=reason,
            request=request,
            made=made,
            details=dict(details or {}),
            back=newest.since or None if newest else None,
            approvals=approvals,
        )
        if log.append(entry, signer) is not None:
            return _done("promoted", entry, newest)
        _wait(attempt)
    raise _too_contended(store, channel)


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
        to: its id; ``None``: the one before the current one (rolling back twice goes back two). After a rollback to a
            named release, the one before it is what it had replaced when it was promoted.
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
    log, seen, after = Log(store, channel, keys), None, None
    wish = secrets.token_hex(8) if request is None else request
    for attempt in range(ATTEMPTS):
        newest = log.newest()
        if newest is None or not newest.release:
            raise StoreInputError(
                f"Nothing was ever promoted on the channel {channel}; there is nothing to go back to."
            )
        if newest.format == 1:
            claims.adopt(log)
        if request is not None:
            after = claims.claim(log, f"request {request}", newest.sequence) if after is None else after
            made = claims.find(log, after, newest.sequence, lambda entry: entry.request == wish)
            if made is not None:
                return _done("rolled_back", made, log.at(made.sequence - 1))
        if to is None and seen is not None and newest.sha256 != seen:
            raise _channel_changed(newest)
        target = _target(log, newest, to)
        if target.release == newest.release:
            return _already(log, newest)
        signer_may(_ring(log), signer, channel, now())
        _check_promoted(store, target, _ring(log))
        entry = next_entry(
            log,
            newest,
            kind="rollback",
            release=target.release,
            manifest_sha256=target.manifest_sha256,
            by=by,
            reason=reason,
            request=wish,
            made=target.made,
            back=backs_of(log, target),
        )
        if log.append(entry, signer) is not None:
            return _done("rolled_back", entry, newest)
        seen = newest.sha256
        _wait(attempt)
    raise _too_contended(store, channel)


def _ring(log: Log) -> KeyRing:
    assert log.ring is not None, "a log that is written to was opened with keys"
    return log.ring


def _checked_release(
    store: ArtifactStore, release: Release | str, keys: Sequence[PublicKey], require_backend: str | None
) -> Release:
    given = release if isinstance(release, str) else release.id
    found = verify_release(store, given, keys)
    if isinstance(release, Release) and release.manifest_sha256 != found.manifest_sha256:
        raise IntegrityError(
            f"The release {given} in the store {store.uri} is not the one that was given; look at both."
        )
    _check_backend(found, require_backend)
    return found


def _check_backend(release: Release, require_backend: str | None) -> None:
    if require_backend is not None and release.backend != require_backend:
        raise StoreInputError(
            f"The release {release.id} has an engine of {release.backend}, but this channel takes {require_backend} "
            "only: build it there, or change release.require_backend or what the channel demands."
        )


def _allowed(log: Log, release: Release, signer: Signer, approved_by: str) -> tuple[Mapping[str, Any], ...]:
    """Refuse what the channel's signed demands do not admit; the further signatures that it asks for."""
    ring, channel = _ring(log), log.channel
    signer_may(ring, signer, channel, now())
    reasons = [ring.may_sign(key_id, channel, now()) for key_id in release.signed_by]
    if all(reasons):
        raise StoreInputError(f"The release {release.id} cannot be promoted on {channel} any more: {reasons[0]}.")
    demands = ring.demands(channel)
    if demands.get("freeze"):
        raise StoreInputError(f"The channel {channel} is frozen ({demands['freeze']}): nothing is promoted on it.")
    _check_backend(release, demands.get("require_backend"))
    people = demands.get("approvers")
    if (people and approved_by not in people) or (demands.get("approval") == "required" and approved_by == "gate5"):
        raise StoreInputError(
            f"The channel {channel} asks for an approval by {' or '.join(people) if people else 'a person'}, and "
            f"{approved_by!r} is none of them."
        )
    needed = int(demands.get("signatures", 1))
    if needed == 1:
        return ()
    found = approvals_of(log.store, channel, release.manifest_sha256)
    good = ring.approved_by(channel, release.manifest_sha256, found) | {signer.public_key.keyid}
    if len(good) < needed:
        raise StoreInputError(
            f"The channel {channel} asks for {needed} signatures and {release.id} has {len(good)}: let another key "
            f"sign with `gate5 keys approve {release.id} --channel {channel}`, then promote again."
        )
    return tuple(found)


def _promoted_before(log: Log, newest: ChannelEntry | None, release: str, after: int) -> Promotion | None:
    if newest is None:
        return None
    if newest.release == release:
        return _already(log, newest)
    found = claims.find(log, after, newest.sequence, claims.of_release(release))
    if found is None:
        return None
    sentence = (
        f"{release} was promoted on {log.channel} before (entry {found.sequence}, {found.at}) and {newest.release} has "
        f"replaced it: nothing was changed; `gate5 rollback --to {release}` puts it back."
    )
    return Promotion("superseded", log.channel, release, found.sequence, _before(log, found), sentence)


def _newer_is_there(log: Log, newest: ChannelEntry | None, release: str, made: str | None) -> Promotion | None:
    """Of two runs that finish out of order the older one's candidate does not replace the newer one's."""
    if newest is None or made is None or newest.made is None or newest.made <= made:
        return None
    sentence = (
        f"{release} comes from a run that began at {made}, and {newest.release}, which is in {log.channel} now, from "
        f"one that began later ({newest.made}): nothing was changed."
    )
    return Promotion("superseded", log.channel, release, newest.since, newest.release, sentence)


def _already(log: Log, newest: ChannelEntry) -> Promotion:
    entry = newest if newest.since == newest.sequence else log.at(newest.since)
    sentence = f"{entry.release} is already in {entry.channel} (entry {entry.sequence}, since {entry.at})."
    return Promotion("already_current", entry.channel, entry.release, entry.sequence, _before(log, entry), sentence)


def _before(log: Log, entry: ChannelEntry) -> str | None:
    return log.at(entry.sequence - 1).release or None if entry.sequence > 1 else None


def _done(outcome: Literal["promoted", "rolled_back"], entry: ChannelEntry, before: ChannelEntry | None) -> Promotion:
    replaced = before.release or None if before else None
    verb = "is now" if outcome == "promoted" else "is again"
    instead = f" in place of {replaced}" if replaced else ""
    sentence = f"{entry.release} {verb} in {entry.channel}{instead} (entry {entry.sequence}, by {entry.by})."
    return Promotion(outcome, entry.channel, entry.release, entry.sequence, replaced, sentence)


def _target(log: Log, newest: ChannelEntry, to: str | None) -> ChannelEntry:
    """The entry that made the wanted release the current one."""
    if to is not None:
        after = claims.claimed(log, to) if to == to.strip("/") and "/" not in to and " " not in to else None
        found = None if after is None else claims.find(log, after, newest.sequence, claims.of_release(to))
        if found is None:
            known = list(dict.fromkeys(entry.release for entry in log.entries()))
            raise StoreInputError(
                f"{to!r} was never on the channel {log.channel}; these were: {', '.join(known[:10])}."
            )
        return found
    now_there = log.at(newest.since)
    back = backs_of(log, now_there)
    if back is None:
        raise StoreInputError(
            f"{now_there.release} is the first release of the channel {log.channel}; there is none before it."
        )
    return log.at(back)


def _check_promoted(store: ArtifactStore, target: ChannelEntry, keys: Sequence[PublicKey]) -> None:
    """The release is whole, and its manifest the one that was promoted then."""
    if verify_release(store, target.release, keys).manifest_sha256 != target.manifest_sha256:
        raise IntegrityError(
            f"The manifest of {target.release} is not the one that was promoted; restore it from a backup."
        )


def _channel_changed(newest: ChannelEntry) -> StoreError:
    return StoreError(
        f"The channel {newest.channel} was changed at the same time: its current release is now {newest.release}; look "
        "at `gate5 history` and say with --to which one you want."
    )


def _wait(attempt: int) -> None:
    time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))  # noqa: S311 (only spreads the losers of a race)


def _too_contended(store: ArtifactStore, channel: str) -> StoreError:
    return StoreError(
        f"The channel {channel} in {store.uri} was changed by others {ATTEMPTS} times in a row; try again later."
    )
