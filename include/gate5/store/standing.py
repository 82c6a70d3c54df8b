"""Whether a release is still the current one of its channel, and if not, what took its place."""

from __future__ import annotations

from dataclasses import dataclass

from gate5.store.channel import MOVES, Log
from gate5.store.entry import ChannelEntry

#: Entries that are looked at after the one that put the release there; beyond, the first that moved away has to do.
NEAR = 40


@dataclass(frozen=True)
class Standing:
    """Where a release stands on a channel.

    Attributes:
        current: whether the channel's current release is this one.
        now: the channel's newest entry.
        since: the entry that made it the current one (the last that is known).
        ended: the entry that put another release in its place; ``None`` while it is current.
    """

    current: bool
    now: ChannelEntry
    since: ChannelEntry | None = None
    ended: ChannelEntry | None = None

    @property
    def rolled_back(self) -> bool:
        """Whether a rollback, and not a newer release, took its place."""
        return self.ended is not None and self.ended.kind == "rollback"


def standing(log: Log, release: str, sequence: int) -> Standing | None:
    """Where a release stands that entry ``sequence`` put on the channel; ``None``: the channel is empty.

    Few entries are read, however long the log is.

    Raises:
        IntegrityError, StoreError: an entry cannot be read or trusted.
    """
    newest = log.newest()
    if newest is None:
        return None
    if newest.release == release:
        return Standing(True, newest, log.at(newest.since) if newest.since else None)
    since: ChannelEntry | None = None
    ended: ChannelEntry | None = None
    for number in range(max(1, sequence), min(newest.sequence, sequence + NEAR) + 1):
        entry = log.at(number)
        if entry.kind not in MOVES:
            continue
        if entry.release == release:
            since, ended = entry, None
        elif since is not None and ended is None:
            ended = entry
    return Standing(False, newest, since, ended)
