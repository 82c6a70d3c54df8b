"""Entries of format 1 do not say what a rollback goes back to; it follows from all entries before them."""

from __future__ import annotations

from gate5.store.channel import Log
from gate5.store.entry import ChannelEntry


def backs_of(log: Log, entry: ChannelEntry) -> int | None:
    """Number of the entry that a rollback from ``entry`` goes back to; ``None``: it is the first."""
    if entry.format > 1:
        return entry.back
    stack: list[ChannelEntry] = []
    for sequence in range(1, entry.sequence + 1):
        each = log.at(sequence)
        releases = [older.release for older in stack]
        if each.kind == "rollback" and each.release in releases:
            del stack[releases.index(each.release) + 1 :]
        else:
            stack.append(each)
    return stack[-2].sequence if len(stack) > 1 else None
