"""A held policy is let in again, by whom its channel lets approve."""

from __future__ import annotations

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.errors import StoreInputError
from gate5.pipeline.between_channels import demands_on


def lift(config: ReleaseConfig, channel: str, name: str, *, by: str, reason: str) -> store.HoldChange:
    """Lift a hold; on a channel that names approvers they alone can, because a hold is a person's no.

    Args:
        name: a release's id, or an identity or its first digits.
        by, reason: who and why; both are kept in the log.

    Raises:
        StoreInputError: ``by`` is no approver of the channel, or as ``store.lift``.
        IntegrityError, StoreError: as ``store.lift``.
    """
    opened = store.open_store(config.store)
    for demands in demands_on(config, opened, channel):
        if demands.approvers and by.strip() not in demands.approvers:
            raise StoreInputError(
                f"On the channel {channel} a hold is lifted by {' or '.join(demands.approvers)}, and {by!r} is none of "
                "them: ask one of them."
            )
    return store.lift(opened, channel, name, by=by, reason=reason)
