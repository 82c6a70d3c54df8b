"""``promote``: one create-if-absent; of two racing callers one wins, the other reads again and decides again."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from gate5.errors import IntegrityError, MovedOnError, StoreError, StoreInputError
from gate5.io.together import together
from gate5.store import claims, intents
from gate5.store.artifact_store import ArtifactStore
from gate5.store.candidate import identities
from gate5.store.channel import Log, checked_channel, next_entry
from gate5.store.demanded import allowed, check_backend
from gate5.store.entry import ChannelEntry
from gate5.store.held import kept, refuse_held, state_of
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
    approval: Mapping[str, Any] | None = None,
    against: str | None = None,
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> Promotion:
    """Make a release the current one of a channel.

    A release is promoted on a channel once; to put an earlier one back there is ``rollback``. That is what makes a
    promotion safe to run again: after a kill it is either already there, or is made now, or was made and has been
    replaced by a newer one, which an old promotion's second run must not undo. What a person's lifted hold let in again
    may be promoted once more. A policy that is held is refused, whatever the bytes of its engine.

    Args:
        approved_by: who says so: a person's name, or what decided (``gate5``).
        require_backend: refuse a release whose engine is of another back end; the channel may demand one, too.
        made: when the candidate was announced, else when its run began (ISO 8601, UTC): an older one does not replace
            a newer one's release.
        by: whom the log names (who started the run, where nobody approved); ``None``: ``approved_by``. What the
            channel demands of an approval is asked of ``approved_by`` alone.
        details: of the run, kept in the entry.
        approval: the record of the approval (who started the run, who approved, the comment), kept in the signed entry.
        against: the release that the candidate was judged against, empty where there was none; where another one is
            current by now it is refused. ``None``: whatever is current.
        signer: signs the entry; ``None``: the store's own. Its public key is trusted.
        trusted_keys: further keys that may have signed the release and the log's earlier entries; ``None``: those
            that lie beside the store's signing key.

    Raises:
        StoreInputError: there is no such release, it or the approval is not what the channel demands, the key may not
            sign there, or the channel's name is none.
        RefusedError: the policy is held on the channel, or the channel is frozen; ``MovedOnError``: it has another
            release than the one that the candidate was judged against.
        IntegrityError: the release or the channel's log is damaged or not signed by a trusted key.
        StoreError: the store failed or is not safe to use.
    """
    checked_channel(channel)
    signer = signer or store.signer
    keys = [signer.public_key, *(store.trusted_keys if trusted_keys is None else trusted_keys)]
    if not approved_by:
        raise StoreInputError("Nobody is named as the one who approves: give approved_by.")
    log = Log(store, channel, keys)
    ring = log.keyring
    # What the log says now is only where the decision begins: another entry by then has its number taken.
    wanted, newest = together((lambda: _checked_release(store, release, ring, require_backend), log.newest))
    store.ensure_safe()
    if intents.announce_old(store, wanted):  # until then a clean-up may have taken something
        wanted = _checked_release(store, release, log.keyring, require_backend)
    kept_details = {**(details or {}), "identities": list(identities(wanted))}
    if approval is not None:
        kept_details["approval"] = dict(approval)
    wish = _Wish(log, wanted, signer, approved_by, by or approved_by, reason, made, against, approval, kept_details)
    for attempt in range(ATTEMPTS):
        began = time.monotonic()
        newest = log.newest() if attempt else newest
        if newest and newest.format == 1:
            claims.adopt(log)
        decided = wish.decide(newest)
        if isinstance(decided, Promotion):
            return decided
        if log.append(decided, signer) is not None:
            return done("promoted", decided, newest)
        wait(attempt, time.monotonic() - began)
    raise too_contended(store, channel)


@dataclass
class _Wish:
    """One wish to promote; after each race that it loses it decides again."""

    log: Log
    wanted: Release
    signer: Signer
    approved_by: str
    by: str
    reason: str | None
    made: str | None
    against: str | None
    approval: Mapping[str, Any] | None
    details: Mapping[str, Any]
    request: str = field(default_factory=lambda: secrets.token_hex(8))
    after: int | None = None  # the entries up to this one are known not to hold this release

    def decide(self, newest: ChannelEntry | None) -> Promotion | ChannelEntry:
        """What there is to say where nothing is to be done; else the entry to append.

        Raises:
            RefusedError: as ``promote``.
        """
        log, release = self.log, self.wanted.id
        if newest and newest.release == release:
            return already_there(log, newest)
        names = identities(self.wanted)
        state = state_of(log.store, newest)
        refuse_held(log.channel, state, names)
        returns = state.may_return(names)
        number = newest.sequence if newest else 0
        after = claims.claim(log, release, number) if self.after is None else self.after
        before = None if returns else _promoted_before(log, newest, release, after)
        stop = before or _newer_is_there(log, newest, release, self.made)
        if stop is not None:
            return stop
        _refuse_moved(newest, release, log.channel, self.against)
        self.after = number
        changed: dict[str, Any] = {"state": kept(log.store, state.returned(names))} if returns else {}
        return next_entry(
            log,
            newest,
            kind="promote",
            release=release,
            manifest_sha256=self.wanted.manifest_sha256,
            by=self.by,
            reason=self.reason,
            request=self.request,
            made=self.made,
            details=self.details,
            back=newest.since or None if newest else None,
            approvals=allowed(log, self.wanted, self.signer, self.approved_by, self.approval),
            **changed,
        )


def _refuse_moved(newest: ChannelEntry | None, release: str, channel: str, against: str | None) -> None:
    """Refuse a candidate that was judged against another release than the one that it would replace."""
    now = newest.release if newest else ""
    if against is not None and now != against:
        raise MovedOnError(
            f"{release} was judged against {against or 'no release'}, and {now or 'none'} is in {channel} by now: "
            "release the candidate again, so that it is judged against that one."
        )


def _checked_release(
    store: ArtifactStore, release: Release | str, keys: Sequence[PublicKey], require_backend: str | None
) -> Release:
    given = release if isinstance(release, str) else release.id
    found = verify_release(store, given, keys)
    if isinstance(release, Release) and release.manifest_sha256 != found.manifest_sha256:
        raise IntegrityError(
            f"The release {given} in the store {store.uri} is not the one that was given; look at both."
        )
    check_backend(found, require_backend)
    return found


def _promoted_before(log: Log, newest: ChannelEntry | None, release: str, after: int) -> Promotion | None:
    if newest is None:
        return None
    found = claims.find(log, after, newest.sequence, claims.of_release(release))
    if found is None:
        return None
    sentence = (
        f"{release} was promoted on {log.channel} before (entry {found.sequence}, {found.at}) and {newest.release} has "
        f"replaced it: nothing was changed; `gate5 rollback --to {release}` puts it back."
    )
    return Promotion("superseded", log.channel, release, found.sequence, release_before(log, found), sentence)


def _newer_is_there(log: Log, newest: ChannelEntry | None, release: str, made: str | None) -> Promotion | None:
    """Of two runs that finish out of order the older one's candidate does not replace the newer one's.

    What was made a day ahead of now was made by a clock that was wrong: else nothing would be promoted until then.
    """
    if newest is None or made is None or newest.made is None or newest.made <= made or newest.made > _tomorrow():
        return None
    sentence = (
        f"{release} is the older candidate: it was announced, or its run began, at {made}, and that of "
        f"{newest.release}, which is in {log.channel} now, at {newest.made}: nothing was changed."
    )
    return Promotion("superseded", log.channel, release, newest.since, newest.release, sentence)


def _tomorrow() -> str:
    return (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()


def already_there(log: Log, newest: ChannelEntry) -> Promotion:
    """Nothing to do: the release is the current one."""
    entry = newest if newest.since == newest.sequence else log.at(newest.since)
    sentence = f"{entry.release} is already in {entry.channel} (entry {entry.sequence}, since {entry.at})."
    return Promotion(
        "already_current", entry.channel, entry.release, entry.sequence, release_before(log, entry), sentence
    )


def release_before(log: Log, entry: ChannelEntry) -> str | None:
    """The release that was current before an entry."""
    return log.at(entry.sequence - 1).release or None if entry.sequence > 1 else None


def done(outcome: Literal["promoted", "rolled_back"], entry: ChannelEntry, before: ChannelEntry | None) -> Promotion:
    """What a new entry did."""
    replaced = before.release or None if before else None
    verb = "is now" if outcome == "promoted" else "is again"
    instead = f" in place of {replaced}" if replaced else ""
    sentence = f"{entry.release} {verb} in {entry.channel}{instead} (entry {entry.sequence}, by {entry.by})."
    return Promotion(outcome, entry.channel, entry.release, entry.sequence, replaced, sentence)


def wait(attempt: int, took_s: float = 0.0) -> None:
    """Let the others of a race go first, for a time that is drawn: the longer the longer an attempt takes."""
    most = min(2.0, max(0.01, took_s) * 2 ** min(attempt, 10))
    time.sleep(random.uniform(0, most))  # noqa: S311 (only spreads the losers of a race)


def too_contended(store: ArtifactStore, channel: str) -> StoreError:
    """The error of a caller who lost every time."""
    return StoreError(
        f"The channel {channel} in {store.uri} was changed by others {ATTEMPTS} times in a row; try again later."
    )
