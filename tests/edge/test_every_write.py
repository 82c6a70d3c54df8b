"""An error at each single write of a pull, a fall-back and a promotion, one write after the other."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate5.edge.folder import running
from gate5.edge.pull import fall_back
from gate5.errors import Gate5Error, IntegrityError
from gate5.io import canonical
from gate5.store import history, promote, publish
from gate5.store.channel import entry_name

Factory = Any
"""The class of the fixture ``factory``, which a test module cannot import."""
#: Everything by which a file, a name or a link gets onto a disk.
WRITES = ("fsync", "replace", "rename", "link", "symlink", "mkdir", "open")


class Disk:
    """Counts writes, and fails the one that is asked for: full from then on, or once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int, for_ever: bool) -> None:
        self.count, self._fails, self._for_ever, self._lock = 0, fails, for_ever, threading.Lock()
        for name in WRITES:
            monkeypatch.setattr(os, name, self._write(name, getattr(os, name)))

    def _write(self, name: str, real: Any) -> Any:
        def write(*arguments: Any, **named: Any) -> Any:
            if name == "open" and not (len(arguments) > 1 and arguments[1] & os.O_CREAT):
                return real(*arguments, **named)
            with self._lock:
                self.count += 1
                fail = self.count == self._fails or (self._for_ever and self.count > self._fails)
            if fail:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **named)

        return write


@contextlib.contextmanager
def failing(fails: int, for_ever: bool) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        yield Disk(patch, fails, for_ever)


def copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


@pytest.mark.parametrize("for_ever", [True, False], ids=["full from then on", "one error"])
def test_a_pull(factory: Factory, tmp_path: Path, for_ever: bool) -> None:
    """What ran before runs on, or the new one does; and once entry 2 was acted upon, entry 1 is refused for ever."""
    first = factory.release(1)
    factory.pull()
    second = factory.release(2)
    kept, old_store = tmp_path / "kept", tmp_path / "old store"
    copied(factory.dest, kept)
    copied(factory.root, old_store)
    (old_store / entry_name("production", 2)).unlink()
    switched = set()
    for number in range(1, 60):
        copied(kept, factory.dest)
        with failing(number, for_ever) as disk, contextlib.suppress(Gate5Error):
            factory.pull()
        if disk.count < number:
            break
        assert factory.running() in (first.id, second.id), number
        switched.add(factory.running())
        if factory.running() == second.id:
            seen = canonical.loads((factory.dest / "state.json").read_bytes())["channels"]["production"]["sequence"]
            assert seen == 2, f"write {number}: it runs and is not remembered"
            path, factory.store.backend.path = factory.store.backend.path, old_store
            with pytest.raises(IntegrityError, match="went back in time"):
                factory.pull()
            factory.store.backend.path = path
        assert factory.pull().release == second.id
        assert factory.running() == second.id
    assert disk.count >= 12, "each write was tried"
    assert first.id in switched, "an early error switches nothing"


def test_a_fall_back(factory: Factory, tmp_path: Path) -> None:
    """The bad release is held before anything else runs, or still runs."""
    first = factory.release(1)
    factory.pull()
    second = factory.release(2)
    factory.pull()
    kept = tmp_path / "kept"
    copied(factory.dest, kept)
    for number in range(1, 30):
        copied(kept, factory.dest)
        with failing(number, True) as disk, contextlib.suppress(Gate5Error):
            fall_back(factory.dest, "oscillates")
        if disk.count < number:
            break
        assert factory.running() in (first.id, second.id)
        if factory.running() == first.id:
            assert factory.pull().outcome == "held", f"write {number}: it fell back and holds nothing"
    assert disk.count >= 4, "each write was tried"
    found = running(factory.dest)
    assert found is not None
    assert found[0] == first.id


@pytest.mark.parametrize("for_ever", [True, False], ids=["full from then on", "one error"])
def test_a_promotion(factory: Factory, tmp_path: Path, for_ever: bool) -> None:
    """No entry, or a whole one; the same again ends well and promotes once."""
    factory.release(1)
    files = {"engine/policy.engine": b"engine", "engine/engine.json": b"{}"}
    given = {"plant": "test", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    kept, keys = tmp_path / "kept", factory.keys
    copied(factory.root, kept)
    for number in range(1, 90):
        copied(kept, factory.root)
        with failing(number, for_ever) as disk, contextlib.suppress(Gate5Error):
            promote(factory.store, "production", publish(factory.store, files, given), approved_by="me")
        if disk.count < number:
            break
        assert len(history(factory.store, "production", keys)) in (1, 2)
        promote(factory.store, "production", publish(factory.store, files, given), approved_by="me")
        assert len(history(factory.store, "production", keys)) == 2
    assert disk.count >= 25, "each write was tried"
