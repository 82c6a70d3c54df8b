"""What a channel's signed demands ask of a promotion: backend, people, signatures, and whether it is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate5.config.channel import frozen, refused_person
from gate5.errors import RefusedError, StoreInputError
from gate5.provenance import now
from gate5.store.approvals import approvals_of
from gate5.store.channel import Log
from gate5.store.keyring import signer_may
from gate5.store.manifest import Release
from gate5.store.signing import Signer


def check_backend(release: Release, require_backend: str | None) -> None:
    """Refuse an engine of another backend.

    Raises:
        StoreInputError: it is of another one.
    """
    if require_backend is not None and release.backend != require_backend:
        raise StoreInputError(
            f"The release {release.id} has an engine of {release.backend}, but this channel takes {require_backend} "
            "only: build it there, or change release.require_backend or what the channel demands."
        )


def allowed(
    log: Log, release: Release, signer: Signer, approved_by: str, approval: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], ...]:
    """Refuse what the channel's signed demands do not admit; the further signatures that it asks for.

    Args:
        approval: who started the run, who approved and what they said (``gate5.pipeline.approval``), where recorded.

    Raises:
        StoreInputError: the release, the approval or the number of signatures is not what is demanded.
        RefusedError: the channel is frozen.
    """
    ring, channel = log.keyring, log.channel
    signer_may(ring, signer, channel, now())
    reasons = [ring.may_sign(key_id, channel, now()) for key_id in release.signed_by]
    if all(reasons):
        raise StoreInputError(f"The release {release.id} cannot be promoted on {channel} any more: {reasons[0]}.")
    demands = ring.demands(channel)
    refuse_frozen(channel, demands.get("freeze"))
    check_backend(release, demands.get("require_backend"))
    why = refused_person(demands, approved_by, approval)
    if why is not None:
        raise StoreInputError(f"The channel {channel} {why}.")
    needed = int(demands.get("signatures", 1))
    if needed == 1:
        return ()
    found = approvals_of(log.store, channel, release.manifest_sha256)
    approved = ring.approved_by(channel, release.manifest_sha256, found)
    # As readers ask: at the time of the entry, whatever the approval's own date is.
    good = {key for key in approved if ring.may_sign(key, channel, now()) is None} | {signer.public_key.keyid}
    if len(good) < needed:
        raise StoreInputError(
            f"The channel {channel} asks for {needed} signatures and {release.id} has {len(good)}: let another key "
            f"sign with `gate5 keys approve {release.id} --channel {channel}`, then promote again."
        )
    return tuple(found)


def refuse_frozen(channel: str, freeze: Any) -> None:
    """Refuse a promotion where the channel is frozen now.

    Args:
        freeze: ``channels.NAME.freeze`` as plain JSON types: ``None``, a reason, or ``reason`` and ``until``.

    Raises:
        RefusedError: it is.
    """
    why = frozen(freeze)
    if why is not None:
        raise RefusedError(f"The channel {channel} is frozen ({why}): nothing is promoted on it; a rollback still is.")
