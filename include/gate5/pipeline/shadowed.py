"""Whether a release has driven in shadow for as long as a channel demands, by what plants reported of it."""

from __future__ import annotations

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.errors import RefusedError
from gate5.store import evidence
from gate5.store.keyring import keyring


def check_shadow(
    opened: store.ArtifactStore, config: ReleaseConfig, release: str, channel: str, source: str | None = None
) -> None:
    """Hold the reports of plants to what a channel demands (``shadow_hours``), by the configuration or by the keyring.

    Args:
        release: its id.
        channel: that it is to go to.
        source: that it comes from, whose plants count as the channel's own do; ``None``: from none.

    Raises:
        RefusedError: there are not enough hours since the last alarm.
    """
    said = config.channels.get(channel)
    wanted = [store.demands(opened, channel).get("shadow_hours"), None if said is None else said.shadow_hours]
    hours = max((float(each) for each in wanted if each is not None), default=None)
    if hours is None:
        return
    keys = keyring(opened, [opened.signer.public_key, *opened.trusted_keys])
    records = [evidence.record(opened, each, release, keys) for each in {channel: None, source: None} if each]
    driven = evidence.quiet_hours([each for found in records for each in found.found])
    if driven < hours:
        refused = [name for found in records for name in found.refused]
        others = f" ({len(refused)} reports do not count: {refused[0]})" if refused else ""
        raise RefusedError(
            f"{release} has driven {driven:.3g} h in shadow without an alarm{others}, and the channel {channel} "
            f"demands {hours:g}: let plants of another channel run it with `mode: shadow` and `evidence`, and promote "
            "it from there."
        )
