"""Processes that promote on one channel, all at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from gate5.store import ArtifactStore, history, promote, publish

CHANNEL = "race"


def race(open_it: Callable[[], ArtifactStore], racers: int, each: int) -> float:
    """Seconds for so many processes to promote so many releases each, all at once on one channel.

    Raises:
        SystemExit: a promotion is missing from the log, or is there twice.
    """
    open_it().ensure_safe()
    ready, go = os.pipe(), os.pipe()
    children = []
    for racer in range(racers):
        child = os.fork()
        if child == 0:
            _racer(open_it, racer, each, ready[1], go[0])
        children.append(child)
    os.close(ready[1])
    for _ in children:
        if not os.read(ready[0], 1):
            raise SystemExit("a racer ended before the race")
    began = time.perf_counter()
    os.write(go[1], b"x" * racers)
    codes = [os.waitpid(child, 0)[1] for child in children]
    seconds = time.perf_counter() - began
    store = open_it()
    found = [entry.release for entry in history(store, CHANNEL, store.trusted_keys)]
    if any(codes) or len(found) != racers * each or len(set(found)) != len(found):
        raise SystemExit(f"the race lost something: {len(found)} entries, codes {codes}")
    return seconds


def _racer(open_it: Callable[[], ArtifactStore], racer: int, each: int, ready: int, go: int) -> None:
    """One process; it never returns."""
    code = 1
    try:
        store = open_it()
        names = [_small(store, f"{racer} {number}") for number in range(each)]
        os.write(ready, b"x")
        os.read(go, 1)
        for name in names:
            if promote(store, CHANNEL, name, approved_by=f"P{racer}").outcome != "promoted":
                raise SystemExit(f"{name} was not promoted")
        code = 0
    finally:
        os._exit(code)


def _small(store: ArtifactStore, mark: str) -> str:
    given = {"plant": "tank", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    return publish(store, {"engine/policy.engine": mark.encode()}, given).id
