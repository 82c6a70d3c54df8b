"""A short race that a store has to survive before it is trusted with a channel.

Most servers that speak S3 get conditional writes wrong somewhere: some ignore ``If-None-Match``, some check first and
write afterwards, so that two writers at once both succeed. What a store promises in its documents is not asked.
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

from gate5.errors import StoreError
from gate5.io import canonical
from gate5.io.together import together
from gate5.store.backend import Backend

ROUNDS = 24
_WAIT_SECONDS = 60


def ensure_safe(backend: Backend) -> None:
    """Refuse a store that cannot keep a channel; the race is run once per place, ``probe/<identity>.json`` says so.

    Raises:
        StoreError: the store is versioned, lets two writers win, or does not keep what it was given.
    """
    marker = f"probe/{backend.identity}.json"
    sentence, survived = together((backend.unsafe, lambda: backend.read(marker)))
    if sentence is not None:
        raise StoreError(sentence)
    if survived is not None:
        return
    folder = f"probe/race-{secrets.token_hex(8)}"
    written: list[str] = []
    try:
        _one_after_the_other(backend, folder, written)
        _both_at_once(backend, folder, written)
    finally:
        for name in written:
            backend.discard(name)
    backend.create(marker, canonical.dumps({"rounds": ROUNDS, "store": backend.uri}))


def _one_after_the_other(backend: Backend, folder: str, written: list[str]) -> None:
    later, sooner = f"{folder}/b.json", f"{folder}/a.json"
    written += [later, sooner]
    backend.create(later, b"first")
    if backend.create(later, b"second") or backend.read(later) != b"first":
        raise _refusal(backend, "it overwrote an object that it had been told to create only if absent")
    backend.create(sooner, b"first")
    if backend.list(f"{folder}/", 1) != [sooner] or backend.list(f"{folder}/") != [sooner, later]:
        raise _refusal(backend, "it does not list names in byte order, at once and completely")


def _both_at_once(backend: Backend, folder: str, written: list[str]) -> None:
    barrier = threading.Barrier(2, timeout=_WAIT_SECONDS)

    def writer(mark: bytes, name: str) -> bool:
        barrier.wait()
        return backend.create(name, mark)

    marks = (b"one", b"two")
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            name = f"{folder}/{number:03}.json"
            written.append(name)
            runs = [pool.submit(writer, mark, name) for mark in marks]
            won = [mark for mark, run in zip(marks, runs, strict=True) if run.result()]
            if len(won) > 1:
                raise _refusal(backend, f"two writers at once both created one object (round {number + 1})")
            if won and backend.read(name) != won[0]:
                raise _refusal(backend, f"it kept the loser's bytes of two writers at once (round {number + 1})")


def _refusal(backend: Backend, why: str) -> StoreError:
    return StoreError(
        f"The artifact store {backend.uri} is not safe for channels: {why}, so that two promotions could both win; use "
        "another server (docs/store.md lists what was tried)."
    )
