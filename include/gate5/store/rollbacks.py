"""``rollback``: an earlier release back, and what it takes out held until a person lifts the hold."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gate5.errors import IntegrityError, StoreError, StoreInputError
from gate5.provenance import now
from gate5.store import claims, intents
from gate5.store.artifact_store import ArtifactStore
from gate5.store.candidate import candidates_of
from gate5.store.channel import Log, checked_channel, next_entry
from gate5.store.entry import ChannelEntry
from gate5.store.held import Hold, State, kept, refuse_held, state_of
from gate5.store.keyring import signer_may
from gate5.store.legacy import backs_of
from gate5.store.promotion import ATTEMPTS, Promotion, already_there, done, too_contended, wait
from gate5.store.releases import find_release, verify_release
from gate5.store.signing import PublicKey, Signer


def rollback(
    store: ArtifactStore,
    channel: str,
    to: str | None = None,
    *,
    by: str,
    reason: str,
    request: str | None = None,
    hold: bool = True,
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> Promotion:
    """Put an earlier release of a channel back, and hold the policy that is taken out.

    Args:
        to: its id; ``None``: the one before the current one (rolling back twice goes back two) that is not held and not
            another build of the policy that is taken out. After a rollback to a named release, the one before it is
            what it had replaced when it was promoted.
        by, reason: who and why; both are kept in the log.
        request: a name for this wish (a DAG run's id): the same one again does nothing more. ``None``: a new wish.
        hold: ``False``: what is taken out may come back by itself.

    Raises:
        StoreInputError: the channel has no such earlier release, or ``by`` or ``reason`` is empty.
        RefusedError: the wanted release is held.
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
    log = Log(store, channel, keys)
    wish = _Wish(log, to, by, reason, request, hold, signer)
    for attempt in range(ATTEMPTS):
        newest = log.newest()
        if newest is None or not newest.release:
            raise StoreInputError(
                f"Nothing was ever promoted on the channel {channel}; there is nothing to go back to."
            )
        if newest.format == 1:
            claims.adopt(log)
        decided = wish.decide(newest)
        if isinstance(decided, Promotion):
            return decided
        if log.append(decided, signer) is not None:
            return _rolled_back(decided, newest)
        wait(attempt)
    raise too_contended(store, channel)


@dataclass
class _Wish:
    """One wish to go back; after each race that it loses it decides again."""

    log: Log
    to: str | None
    by: str
    reason: str
    request: str | None
    hold: bool
    signer: Signer
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    seen: str | None = None  # the current entry of the race that was lost
    after: int | None = None  # the entries up to this one are known not to hold this wish

    def decide(self, newest: ChannelEntry) -> Promotion | ChannelEntry:
        """What there is to say where nothing is to be done; else the entry to append.

        Raises:
            StoreInputError, RefusedError, StoreError, IntegrityError: as ``rollback``.
        """
        log = self.log
        made = self._made_before(newest)
        if made is not None:
            return _rolled_back(made, log.at(made.sequence - 1))
        if self.to is None and self.seen is not None and newest.sha256 != self.seen:
            raise _channel_changed(newest)
        self.seen = newest.sha256
        state, out = state_of(log.store, newest), known_as(log, newest)
        target = _named(log, newest, self.to) if self.to is not None else _one_before(log, newest, state, out)
        if target.release == newest.release:
            return already_there(log, newest)
        back = known_as(log, target)
        self._check(target, back, state)
        put = _hold_on(newest, out, back, state, self.by, self.reason) if self.hold else None
        held = {} if put is None else {"hold": put.to_dict()}
        return next_entry(
            log,
            newest,
            kind="rollback",
            release=target.release,
            manifest_sha256=target.manifest_sha256,
            by=self.by,
            reason=self.reason,
            request=self.token if self.request is None else self.request,
            made=target.made,
            back=backs_of(log, target),
            details={"identities": list(back.names), "to": target.sequence, **held},
            state=newest.state if put is None else kept(log.store, state.adding(put)),
        )

    def _made_before(self, newest: ChannelEntry) -> ChannelEntry | None:
        """The entry that the same request made when it was asked the first time."""
        request, log = self.request, self.log
        if request is None:
            return None
        if self.after is None:
            self.after = claims.claim(log, f"request {request}", newest.sequence)
        return claims.find(log, self.after, newest.sequence, lambda entry: entry.request == request)

    def _check(self, target: ChannelEntry, back: Known, state: State) -> None:
        """The target is not held, the key may sign here, and the release is whole."""
        log = self.log
        refuse_held(log.channel, state, back.names)
        signer_may(log.keyring, self.signer, log.channel, now())
        wanted = find_release(log.store, target.release, log.keyring) if self.to is not None else None
        if wanted is not None:  # a rollback of one step is never in a clean-up's way
            intents.announce_old(log.store, wanted)
        _check_promoted(log.store, target, log.keyring)


@dataclass(frozen=True)
class Known:
    """What a release is known by: its identities, its own first, and what they are made of, where that can be read."""

    names: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def known_as(log: Log, entry: ChannelEntry) -> Known:
    """What the release that an entry names is known by. Where its manifest is gone or damaged, what the signed entry
    that made it current says: a rollback must work and hold then, too."""
    try:
        release = find_release(log.store, entry.release, log.keyring)
    except IntegrityError:
        release = None
    if release is not None:
        found = candidates_of(release)
        return Known(tuple(candidate.identity for candidate in found), found[0].to_dict())
    made = entry if entry.since in (0, entry.sequence) else log.at(entry.since)
    return Known(tuple(str(name) for name in made.details.get("identities") or ()))


def _hold_on(newest: ChannelEntry, out: Known, back: Known, state: State, by: str, reason: str) -> Hold | None:
    """The hold on what is taken out; none where the same policy is what is put back, or it is held already."""
    if not out.names or set(out.names) & set(back.names) or state.on(out.names) is not None:
        return None
    return Hold(out.names, newest.release, "rollback", by, reason, now(), out.facts)


def _rolled_back(entry: ChannelEntry, before: ChannelEntry) -> Promotion:
    """What a rollback did, and what it holds now."""
    found = done("rolled_back", entry, before)
    held = entry.details.get("hold")
    if not isinstance(held, Mapping):
        return _saying(found, " No hold was put on what was taken out.")
    lift = f"gate5 release-hold {before.release} --channel {entry.channel}"
    return _saying(found, f" {before.release} is held until a person lifts that (`{lift}`).")


def _saying(found: Promotion, more: str) -> Promotion:
    data: dict[str, Any] = found.to_dict()
    return Promotion.from_dict({**data, "sentence": found.sentence + more})


def _named(log: Log, newest: ChannelEntry, to: str) -> ChannelEntry:
    """The entry that made a named release the current one."""
    after = claims.claimed(log, to) if to and "/" not in to and " " not in to else None
    found = None if after is None else claims.find(log, after, newest.sequence, claims.of_release(to))
    if found is None:
        entries = log.entries()
        wanted = claims.of_release(to)
        found = next((entry for entry in reversed(entries) if wanted(entry)), None)  # a claim is unsigned, and a hint
        if found is None:
            known = [release for release in dict.fromkeys(entry.release for entry in entries) if release]
            raise StoreInputError(
                f"{to!r} was never on the channel {log.channel}; these were: {', '.join(known[:10])}."
            )
    return found


def _one_before(log: Log, newest: ChannelEntry, state: State, out: Known) -> ChannelEntry:
    """The entry that a rollback without a target goes back to."""
    now_there, passed = log.at(newest.since), 0
    back, taken = backs_of(log, now_there), set(out.names)
    while back is not None:
        entry = log.at(back)
        names = set(known_as(log, entry).names)
        if state.on(names) is None and not names & taken:
            return entry
        back, passed = backs_of(log, entry), passed + 1
    if passed:
        raise StoreInputError(
            f"There is nothing to go back to on the channel {log.channel}: what ran before {now_there.release} is "
            "held, or another build of the same policy; name one with --to, or lift a hold (`gate5 hold` lists them)."
        )
    raise StoreInputError(
        f"{now_there.release} is the first release of the channel {log.channel}; there is none before it."
    )


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
