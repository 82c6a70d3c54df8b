"""What a run has promoted, whether or not it came to say so: found by the run that each entry of a channel names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gate5.store.channel import Log
from gate5.store.entry import ChannelEntry
from gate5.store.promotion import Promotion, done

#: So many of a channel's newest entries are looked at.
NEAR = 40
_RUN = ("dag_id", "run_id")


def promoted_by(log: Log, run: Mapping[str, Any], releases: Sequence[str] | None = None) -> ChannelEntry | None:
    """The newest entry by which a run promoted a release; ``None``: there is none near the log's end.

    Args:
        run: with ``dag_id`` and ``run_id``, as promotions keep it in their entries' ``details``.
        releases: their ids; ``None``: whichever.

    Raises:
        IntegrityError, StoreError: an entry cannot be read or trusted.
    """
    newest = log.newest()
    if newest is None or not all(run.get(name) for name in _RUN):
        return None
    for number in range(newest.sequence, max(0, newest.sequence - NEAR), -1):
        entry = log.at(number)
        mine = all(entry.details.get(name) == run[name] for name in _RUN)
        if entry.kind == "promote" and mine and (releases is None or entry.release in releases):
            return entry
    return None


def in_charge(log: Log, entry: ChannelEntry) -> bool:
    """Whether what an entry promoted is the channel's current release by that entry."""
    newest = log.newest()
    return newest is not None and newest.since == entry.sequence


def as_done(log: Log, entry: ChannelEntry) -> Promotion:
    """An entry in the words of the call that made it."""
    return done("promoted", entry, log.at(entry.sequence - 1) if entry.sequence > 1 else None)
