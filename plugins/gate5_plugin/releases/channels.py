"""Channels as the pages show them: their names, what is current, and one page of their history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gate5.config.models import ReleaseConfig
from gate5.errors import Gate5Error, StoreError
from gate5.store.artifact_store import ArtifactStore
from gate5.store.candidate import candidates_of
from gate5.store.channel import MOVES, Log, known_channels
from gate5.store.entry import ChannelEntry
from gate5.store.held import Hold, state_of
from gate5.store.manifest import Release
from gate5_plugin.sources import log_of

#: A store that took so long to fail [s] is not asked for the other channels.
HUNG_S = 1.0
#: Entries on one page of a channel's history.
PAGE = 25


@dataclass(frozen=True)
class Line:
    """A channel in the list: its newest entry, and the entry that made the current release the current one."""

    name: str
    newest: ChannelEntry | None = None
    since: ChannelEntry | None = None
    verified: bool = True
    problem: str | None = None


@dataclass(frozen=True)
class History:
    """One page of a channel's log, newest first; ``older``: the number to ask for the next page with."""

    line: Line
    entries: Sequence[ChannelEntry]
    older: int | None
    newer: int | None
    holds: Sequence[Hold] = ()


def names(store: ArtifactStore, config: ReleaseConfig) -> list[str]:
    """The configuration's own channel, then every other that has an entry or is named there.

    Raises:
        Gate5Error: the store cannot be read.
    """
    first = config.release.channel
    return [first, *sorted({*known_channels(store), *config.channels} - {first})]


def lines(store: ArtifactStore, config: ReleaseConfig) -> list[Line]:
    """All channels; one whose log cannot be read or trusted says so, and the others stand.

    Raises:
        StoreError: the store hangs: the next channel would wait for it as long.
    """
    found = []
    for name in names(store, config):
        begun = time.monotonic()
        try:
            found.append(_line(log_of(store, name), name))
        except Gate5Error as error:
            if isinstance(error, StoreError) and time.monotonic() - begun > HUNG_S:
                raise
            found.append(Line(name, problem=str(error)))
    return found


def _line(log: Log, name: str) -> Line:
    newest = log.newest()
    since = log.at(newest.since) if newest is not None and newest.since else None
    return Line(name, newest, since, log.ring is not None)


def history(store: ArtifactStore, name: str, before: int | None = None) -> History:
    """A page of a channel's history: the newest entries, or those before a number.

    Raises:
        Gate5Error: the log cannot be read or trusted.
    """
    log = log_of(store, name)
    found = _line(log, name)
    if found.newest is None:
        return History(found, (), None, None)
    top = found.newest.sequence if before is None else max(0, min(found.newest.sequence, before - 1))
    bottom = max(1, top - PAGE + 1)
    entries = [log.at(number) for number in range(top, bottom - 1, -1)]
    newer = None if top >= found.newest.sequence else min(found.newest.sequence, top + PAGE) + 1
    holds = state_of(store, found.newest).holds
    return History(found, entries, bottom if bottom > 1 else None, newer, holds)


def hold_on(store: ArtifactStore, name: str, release: Release) -> Hold | None:
    """The hold that keeps a release's policy off a channel, if there is one."""
    known = [candidate.identity for candidate in candidates_of(release)]
    return state_of(store, log_of(store, name).newest()).on(known)


def moves(entries: Sequence[ChannelEntry]) -> list[ChannelEntry]:
    """The entries that put a release there."""
    return [entry for entry in entries if entry.kind in MOVES]


def offered(shown: History, verb: str) -> list[tuple[str, str]]:
    """Releases of a channel that a form may be about, newest first, and since when and by whom each was there.

    A rollback and a hold are about one that is not current and not held; only what is held can be lifted.
    """
    held = {hold.release for hold in shown.holds}
    now = shown.line.newest.release if shown.line.newest else ""
    if verb == "lift":
        return [(hold.name, hold.sentence()) for hold in reversed(shown.holds)]
    there = {
        entry.release: f"{entry.at[:16].replace('T', ' ')}, by {entry.by}" for entry in reversed(moves(shown.entries))
    }
    without = held | {""} | (set() if verb == "promote" else {now})
    return [(name, said) for name, said in reversed(there.items()) if name not in without]


def before(store: ArtifactStore, name: str, entry: ChannelEntry) -> str | None:
    """The release that was current before an entry; ``None``: it was the first."""
    return log_of(store, name).at(entry.sequence - 1).release or None if entry.sequence > 1 else None
