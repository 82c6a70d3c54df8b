"""Intents and clean-ups: who is about to need a release's files, and who is about to remove some.

Whoever publishes, or puts an old release on a channel, writes an intent first and then looks whether a clean-up is
running; a clean-up writes its mark first and then looks for intents. So one of the two always sees the other: the
clean-up spares what an intent names, or the publication stops and is tried again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from gate5.errors import StoreError
from gate5.io import canonical
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.manifest import Release

_NAME = re.compile(r"intents/[a-z0-9][a-z0-9-]{0,75}-[0-9a-f]{12}\.json")
#: A mark counts for so long by the store's own clock, whatever became of its clean-up: longer than any takes [s].
MARK_S = 1800.0
#: A release that is younger than this is spared by every clean-up (whose grace time is longer), without an intent.
YOUNG = timedelta(hours=1)
#: So far two machines' clocks may be apart.
CLOCKS = timedelta(minutes=5)


def announce(store: ArtifactStore, release: str, digests: Iterable[str]) -> None:
    """Say that a release's files are needed from now on.

    Raises:
        StoreError: a clean-up is running.
    """
    say(store, release, digests)
    refuse_running(store)


def say(store: ArtifactStore, release: str, digests: Iterable[str]) -> None:
    """Write the intent; ``refuse_running`` has to follow before anything relies on the files."""
    said = {"release": release, "digests": sorted(set(digests)), "at": now()}
    store.backend.create(f"intents/{release}-{secrets.token_hex(6)}.json", canonical.dumps(said))


def refuse_running(store: ArtifactStore) -> None:
    """Look whether a clean-up is running.

    Raises:
        StoreError: one is.
    """
    marks = running(store)
    if marks:
        raise StoreError(
            f"The store {store.uri} is being cleaned up ({marks[0]}): nothing is published or promoted meanwhile; try "
            "again in some minutes."
        )


def announce_old(store: ArtifactStore, release: Release) -> bool:
    """The same for a release that a clean-up might take, because it is not a new one; whether it was said.

    Two requests, or none where the release is new.
    """
    finished = (release.provenance.get("run") or {}).get("finished_on")
    try:
        made = datetime.fromisoformat(str(finished).replace("Z", "+00:00"))
        # Made in the future: this machine's clock is behind, nobody knows how far.
        young = -CLOCKS < datetime.now(timezone.utc) - made < YOUNG
    except (ValueError, TypeError):
        young = False
    if not young:
        announce(store, release.id, release.files.values())
    return not young


def running(store: ArtifactStore) -> list[str]:
    """The marks of clean-ups that are not done, or were killed less than half an hour ago."""
    made = {name: modified for name, modified, _ in store.backend.stat("cleanups/")}
    done = {name.removesuffix("-done.json") for name in made if name.endswith("-done.json")}
    begun = [name for name in made if name.endswith("-begun.json") and name.removesuffix("-begun.json") not in done]
    if not begun:
        return []
    now = store.backend.now()  # of the same clock that has dated the marks
    return [name for name in begun if now - made[name] < MARK_S]


def mark() -> str:
    """A new clean-up's name; it begins with the time."""
    return f"cleanups/{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def said(store: ArtifactStore, newest_allowed: float) -> tuple[set[str], set[str], list[str]]:
    """What a clean-up finds: releases and hashes of the intents that count, and names of those that are too old.

    Args:
        newest_allowed: older ones count no more [s since 1970, by the store's clock].
    """
    releases, digests, old = set[str](), set[str](), list[str]()
    for name, modified, _ in store.backend.stat("intents/"):
        if not _NAME.fullmatch(name):
            continue  # whatever it is, nobody announced anything with it
        if modified <= newest_allowed:
            old.append(name)
        elif (data := store.backend.read(name)) is not None:
            found = canonical.loads(data)
            releases.add(found["release"])
            digests |= set(found["digests"])
    return releases, digests, old
