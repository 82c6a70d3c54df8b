"""``hold`` and ``lift``: a person's no to a policy, and taking it back; each is one entry of the channel's log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gate5.errors import StoreInputError
from gate5.provenance import now
from gate5.store import claims
from gate5.store.artifact_store import ArtifactStore
from gate5.store.candidate import Candidate, candidates_of
from gate5.store.channel import Log, checked_channel, next_entry
from gate5.store.entry import ChannelEntry
from gate5.store.held import Hold, State, kept, state_of
from gate5.store.keyring import signer_may
from gate5.store.legacy import backs_of
from gate5.store.promotion import ATTEMPTS, too_contended, wait
from gate5.store.releases import find_release
from gate5.store.rollbacks import known_as
from gate5.store.signing import PublicKey, Signer

Outcome = Literal["held", "already_held", "lifted"]
_SHORTEST = 8


@dataclass(frozen=True)
class HoldChange:
    """What a hold or a lift did.

    Attributes:
        outcome: ``held`` or ``lifted``: a new entry; ``already_held``: nothing was to do.
        holds: those that it is about.
        sequence: number of the new entry; of the newest one where there is none.
        sentence: the same for a reader.
    """

    outcome: Outcome
    channel: str
    holds: tuple[Hold, ...]
    sequence: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        holds = [hold.to_dict() for hold in self.holds]
        return {
            "outcome": self.outcome,
            "channel": self.channel,
            "holds": holds,
            "sequence": self.sequence,
            "text": self.sentence,
        }

    def line(self) -> str:
        """For a person."""
        return self.sentence


def holds(store: ArtifactStore, channel: str, trusted_keys: Sequence[PublicKey] | None = None) -> tuple[Hold, ...]:
    """The holds in force on a channel, oldest first; as many requests for a long log as for a short one.

    Args:
        trusted_keys: as for ``current``.

    Raises:
        IntegrityError: the newest entry or what it names is damaged, or not signed by a trusted key.
    """
    return state_of(store, Log(store, channel, trusted_keys).newest()).holds


def hold(
    store: ArtifactStore,
    channel: str,
    subject: Candidate | str,
    *,
    by: str,
    reason: str,
    kind: Literal["hold", "reject"] = "hold",
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> HoldChange:
    """Keep a policy off a channel until a person lifts it.

    Args:
        subject: a candidate, a release's id, or an identity (64 hexadecimal digits).
        by, reason: who and why; both are kept in the log.
        kind: what led to it.

    Raises:
        StoreInputError: there is no such release, it is the current one, or ``by`` or ``reason`` is empty.
        IntegrityError: the log or the release is damaged or not signed by a trusted key.
        StoreError: the store failed.
    """
    log, signer = _opened(store, channel, by, reason, signer, trusted_keys)
    known, release = _known(log, subject)
    names = tuple(candidate.identity for candidate in known) or (str(subject),)
    for attempt in range(ATTEMPTS):
        newest = log.newest()
        state = state_of(store, newest)
        there = state.on(names)
        if there is not None:
            sentence = f"{there.name} is held on {channel} already: {there.sentence()}."
            return HoldChange("already_held", channel, (there,), newest.sequence if newest else 0, sentence)
        if newest and newest.release and set(names) & set(known_as(log, newest).names):
            raise StoreInputError(
                f"{newest.release} is the current release of {channel} and is of this policy: `gate5 rollback` takes "
                "it out and holds it."
            )
        facts = known[0].to_dict() if known else {}
        put = Hold(names, release, kind, by, reason, now(), facts)
        details = {"hold": put.to_dict()}
        entry = _append(log, newest, "hold", by, reason, signer, details, state.adding(put))
        if entry is not None:
            sentence = f"{put.name} is held on {channel} (entry {entry.sequence}, by {by}): {reason}."
            return HoldChange("held", channel, (put,), entry.sequence, sentence)
        wait(attempt)
    raise too_contended(store, channel)


def lift(
    store: ArtifactStore,
    channel: str,
    name: str,
    *,
    by: str,
    reason: str,
    signer: Signer | None = None,
    trusted_keys: Sequence[PublicKey] | None = None,
) -> HoldChange:
    """Let a policy in again.

    Args:
        name: a release's id, or an identity or its first digits (8 at least).
        by, reason: who and why; both are kept in the log.

    Raises:
        StoreInputError: nothing of this name is held, more than one is, or ``by`` or ``reason`` is empty.
        IntegrityError: the log is damaged or not signed by a trusted key.
        StoreError: the store failed.
    """
    log, signer = _opened(store, channel, by, reason, signer, trusted_keys)
    for attempt in range(ATTEMPTS):
        newest = log.newest()
        state = state_of(store, newest)
        found = _held_as(log, state, name)
        details = {"lifted": [each.to_dict() for each in found]}
        entry = _append(log, newest, "lift", by, reason, signer, details, state.lifting(found))
        if entry is not None:
            what = " and ".join(each.name for each in found)
            sentence = f"{what} may be promoted on {channel} again (entry {entry.sequence}, by {by}): {reason}."
            return HoldChange("lifted", channel, found, entry.sequence, sentence)
        wait(attempt)
    raise too_contended(store, channel)


def _opened(
    store: ArtifactStore,
    channel: str,
    by: str,
    reason: str,
    signer: Signer | None,
    trusted_keys: Sequence[PublicKey] | None,
) -> tuple[Log, Signer]:
    checked_channel(channel)
    if not by.strip() or not reason.strip():
        raise StoreInputError("A hold needs a name and a reason: give both, they are kept in the channel's history.")
    signer = signer or store.signer
    keys = [signer.public_key, *(store.trusted_keys if trusted_keys is None else trusted_keys)]
    store.ensure_safe()
    return Log(store, channel, keys), signer


def _append(
    log: Log,
    newest: ChannelEntry | None,
    kind: str,
    by: str,
    reason: str,
    signer: Signer,
    details: dict[str, Any],
    state: State,
) -> ChannelEntry | None:
    signer_may(log.keyring, signer, log.channel, now())  # each time: a race may have been lost to the key's end
    if newest and newest.format == 1:
        claims.adopt(log)
    more: dict[str, Any] = {} if newest is None else {"back": backs_of(log, newest)}
    wanted = next_entry(
        log, newest, kind=kind, by=by, reason=reason, details=details, state=kept(log.store, state), **more
    )
    return log.append(wanted, signer)


def _known(log: Log, subject: Candidate | str) -> tuple[tuple[Candidate, ...], str]:
    """What a subject is known by, and the release that it names; nothing where it is an identity."""
    if isinstance(subject, Candidate):
        return (subject,), ""
    if _is_identity(subject):
        return (), ""
    release = find_release(log.store, subject, log.keyring)
    if release is None:
        raise StoreInputError(
            f"There is no release {subject} in the store {log.store.uri}; `gate5 history` lists them, and an identity "
            "has 64 hexadecimal digits."
        )
    return candidates_of(release), release.id


def _is_identity(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _held_as(log: Log, state: State, name: str) -> tuple[Hold, ...]:
    """The holds that keep back what a name names."""
    found = [hold for hold in state.holds if hold.release == name]
    if not found and len(name) >= _SHORTEST and set(name) <= set("0123456789abcdef"):
        found = [hold for hold in state.holds if any(each.startswith(name) for each in hold.identities)]
        if len(found) > 1:
            raise StoreInputError(f"{name!r} is the beginning of more than one held identity: give more digits.")
    elif not found and "-" in name:
        known, _ = _known(log, name)
        names = {candidate.identity for candidate in known}
        found = [hold for hold in state.holds if names & set(hold.identities)]
    if not found:
        held = ", ".join(hold.name for hold in state.holds) or "nothing"
        raise StoreInputError(f"{name!r} is not held on the channel {log.channel}; held are: {held}.")
    return tuple(found)
