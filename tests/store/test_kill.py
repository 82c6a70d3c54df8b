"""kill -9 between any two steps of a promotion: nothing half-visible, and the second run makes one release."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from gate5.store import ArtifactStore, current, history, list_releases, promote, publish, verify_release
from tests.support.kill import run_killed

Open = Callable[[], ArtifactStore]
Files = Callable[[object], dict[str, bytes]]


def release(store: ArtifactStore, files: dict[str, bytes], provenance: dict[str, Any]) -> str:
    return promote(store, "production", publish(store, files, provenance), approved_by="A. Person").outcome


def skip_probe(store: ArtifactStore) -> None:
    """Mark a store as probed, to save the time; the probe has tests of its own."""
    assert store.backend.create(f"probe/{store.backend.identity}.json", b"{}")


def visible(store: ArtifactStore) -> tuple[list[str], list[str]]:
    """What a reader sees, every signature and byte of it verified: all releases, and the channel's, newest first."""
    keys = store.trusted_keys
    releases = list_releases(store)
    for name in releases:
        verify_release(store, name, keys)
    newest = current(store, "production", keys)
    entries = history(store, "production", keys)
    if newest:
        verify_release(store, newest.release, keys)
    return releases, [entry.release for entry in entries]


def test_kill_at_every_step(
    make_store: Callable[[], Open],
    files: Files,
    provenance: Callable[[], dict[str, Any]],
) -> None:
    """Killed before each change of a file (directory) or each piece sent (S3: head and body of a PUT apart)."""
    kills = 0
    for step in range(200):
        open_it = make_store()
        store = open_it()
        skip_probe(store)
        before = [publish(store, files("old"), provenance()).id]
        promote(store, "production", before[0], approved_by="A. Person")

        def work(open_it: Open = open_it) -> None:
            release(open_it(), files("new"), provenance())

        killed = run_killed(work, step)

        releases, log = visible(store)
        assert set(before) <= set(releases)
        assert len(releases) <= 2
        assert log[-1:] == before
        assert set(log) <= set(releases)

        outcome = release(open_it(), files("new"), provenance())
        assert outcome == ("already_current" if len(log) > 1 else "promoted")
        again, log_again = visible(store)
        assert len(again) == 2, "one candidate, one release"
        assert len(log_again) == 2, "one promotion, one entry"
        if not killed:
            break
        kills += 1
    else:
        pytest.fail("the promotion never came to its end")
    # Two new files, a manifest and an entry: each is one creation of several steps.
    assert kills >= 8


def opened_and_probed(open_it: Open) -> None:
    """The store opened by the process that is killed: one client in two processes would share a connection."""
    open_it().ensure_safe()


def test_kill_during_the_probe(
    make_store: Callable[[], Open],
    files: Files,
    provenance: Callable[[], dict[str, Any]],
) -> None:
    """A store whose first use was killed in the middle of the race is probed again and then used."""
    for step in (0, 7, 41):
        open_it = make_store()
        assert run_killed(partial(opened_and_probed, open_it), step)
        assert visible(open_it()) == ([], [])
        assert release(open_it(), files("new"), provenance()) == "promoted"


def test_a_reader_never_sees_half_a_release(
    make_store: Callable[[], Open], files: Files, provenance: Callable[[], dict[str, Any]]
) -> None:
    """While another process makes ten releases, a reader verifies whatever is visible, over and over."""
    open_it = make_store()
    store = open_it()
    skip_probe(store)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            writer = open_it()
            for number in range(10):
                release(writer, files(number), provenance())
                time.sleep(0.01)
            code = 0
        finally:
            os._exit(code)
    seen: list[int] = []
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        seen.append(len(visible(store)[1]))
    assert seen == sorted(seen), "a channel's log only grows"
    assert len(set(seen)) > 2, "the reader looked while the releases were being made"
    assert len(visible(store)[1]) == 10
