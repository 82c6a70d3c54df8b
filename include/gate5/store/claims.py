"""Whether a release, or a caller's wish, was on a channel before: found without reading the log.

Whoever promotes a release for the first time on a channel writes a claim before the entry: the number of the newest
entry then. No claim: never promoted. A claim: the entry, if there is one, comes after that number, and close to it.
A claim is not signed, but carries a hash over its number and its own name: one that was damaged or moved, or written
before there was the hash, counts as "somewhere in the log", and costs a walk through it.
"""

from __future__ import annotations

from collections.abc import Callable

from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store.channel import MOVES, Log
from gate5.store.entry import ChannelEntry


def claim(log: Log, subject: str, newest: int) -> int:
    """Claim ``subject`` (a release's id, or ``request`` and a wish's name); the number after which its entry comes."""
    name = _name(log, subject)
    if log.store.backend.create(name, canonical.dumps({"after": newest, "sha256": _digest(name, newest)})):
        return newest
    return claimed(log, subject) or 0


def claimed(log: Log, subject: str) -> int | None:
    """The number after which the subject's entry comes, if there is one; ``None``: it was never claimed."""
    name = _name(log, subject)
    data = log.store.backend.read(name)
    if data is None:
        return None
    try:
        found = canonical.loads(data)
        after, good = found["after"], found["sha256"] == _digest(name, found["after"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return after if good and type(after) is int and after >= 0 else 0  # a damaged claim costs a walk, no more


def find(log: Log, after: int, newest: int, wanted: Callable[[ChannelEntry], bool]) -> ChannelEntry | None:
    """The first entry after a number that is ``wanted``."""
    return next((entry for n in range(after + 1, newest + 1) if wanted(entry := log.at(n))), None)


def adopt(log: Log) -> list[ChannelEntry]:
    """Claim what was promoted before there were claims; returns the log, all of it verified."""
    entries = log.entries()
    first: dict[str, int] = {}
    for entry in reversed(entries):
        first.setdefault(entry.release, entry.sequence)
    for release, sequence in first.items():
        claim(log, release, sequence - 1)
    return entries


def of_release(release: str) -> Callable[[ChannelEntry], bool]:
    """The entries that made this release the current one."""
    return lambda entry: entry.release == release and entry.kind in MOVES


def _name(log: Log, subject: str) -> str:
    kind, _, rest = subject.partition(" ")
    return f"claims/{log.channel}/{kind}-{sha256(rest.encode())[:32]}.json" if rest else f"claims/{log.channel}/{kind}"


def _digest(name: str, after: object) -> str:
    return canonical.digest([name, after])
