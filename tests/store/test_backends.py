"""The three verbs, the same in a directory and on an S3 server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate5.config.channel import StoreConfig
from gate5.errors import StoreError, StoreInputError
from gate5.store import ArtifactStore, open_store
from gate5.store.backend import Backend, checked_name
from gate5.store.directory import DirectoryBackend


@pytest.fixture
def backend(make_store: Callable[[], Callable[[], ArtifactStore]]) -> Backend:
    return make_store()().backend


def test_create_keeps_the_first(backend: Backend) -> None:
    assert backend.read("a/b.json") is None
    assert backend.create("a/b.json", b"first")
    assert not backend.create("a/b.json", b"second")
    assert not backend.create("a/b.json", b"first")
    assert backend.read("a/b.json") == b"first"
    assert backend.read("a") is None
    assert backend.read("a/b.json/c") is None


def test_empty_and_large_objects(backend: Backend) -> None:
    large = os.urandom(9_000_000)
    assert backend.create("empty", b"")
    assert backend.create("large", large)
    assert backend.read("empty") == b""
    assert backend.read("large") == large


def test_list_is_sorted_and_limited(backend: Backend) -> None:
    assert backend.list("c/") == []
    for name in ("c/2", "c/10", "c/1", "d/0", "c-", "c/sub/3"):
        backend.create(name, b"")
    assert backend.list("c/") == ["c/1", "c/10", "c/2", "c/sub/3"]
    assert backend.list("c/", 1) == ["c/1"]
    assert backend.list("c/1") == ["c/1", "c/10"]
    assert backend.list("") == ["c-", "c/1", "c/10", "c/2", "c/sub/3", "d/0"]


def test_a_listing_of_several_pages(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 gives at most 1000 names a page; with pages of ten the eleventh name is there too."""
    monkeypatch.setattr("gate5.store.s3._PAGE", 10)
    for number in range(23):
        backend.create(f"many/{number:02}", b"")
    assert backend.list("many/") == [f"many/{number:02}" for number in range(23)]
    assert backend.list("many/", 21) == [f"many/{number:02}" for number in range(21)]


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/../b", "a//b", "a/", ".hidden", "a/.b", "a\\b", "a\0", "a b", "ä", "a\n"]
)
def test_names_that_climb_out_or_hide(backend: Backend, name: str) -> None:
    for call in (lambda: backend.create(name, b""), lambda: backend.read(name)):
        with pytest.raises(StoreInputError, match="not the name of an object"):
            call()


@given(st.text(max_size=30))
def test_a_name_that_is_taken_stays_inside(name: str) -> None:
    try:
        checked_name(name)
    except StoreInputError:
        return
    root = Path("/root/of/store")
    assert Path(os.path.normpath(root / name)).is_relative_to(root)
    assert Path(os.path.normpath(root / name)) != root


def test_of_many_writers_one_wins(backend: Backend) -> None:
    for number in range(5):
        barrier, won = threading.Barrier(8), list[int]()

        def write(mark: int, name: str, barrier: threading.Barrier = barrier, won: list[int] = won) -> None:
            barrier.wait()
            if backend.create(name, b"%d" % mark):
                won.append(mark)

        threads = [threading.Thread(target=write, args=(mark, f"n{number}")) for mark in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert backend.read(f"n{number}") == b"%d" % won[0]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000))
def test_bytes_come_back(data: bytes, backend: Backend) -> None:
    name = f"blob-{os.urandom(8).hex()}"
    assert backend.create(name, data)
    assert backend.read(name) == data


def test_a_directory_shows_no_file_that_is_being_written(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "s")
    backend.create("a/b", b"1")
    (tmp_path / "s" / ".incoming" / "half").write_bytes(b"ha")
    (tmp_path / "s" / "a" / ".hidden").write_bytes(b"x")
    assert backend.list("") == ["a/b"]


def test_leftovers_of_a_kill_are_swept_a_day_later(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "s")
    backend.create("a", b"1")
    old, new = tmp_path / "s" / ".incoming" / "old", tmp_path / "s" / ".incoming" / "new"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert backend.unsafe() is None
    assert (old.exists(), new.exists(), backend.read("a")) == (False, True, b"1")


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the way stands for it: the tests may run as root, whom no permission stops."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreInputError, match="is a file; give a directory"):
        open_store(StoreConfig(uri=str(tmp_path / "file")))
    store = open_store(StoreConfig(uri=str(tmp_path / "file" / "below")))
    with pytest.raises(StoreError, match=r"cannot be used \(File exists: .*/file\)"):
        store.backend.create("a", b"")


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such file system can be mounted here, so ``link`` is made to fail as it does there (EPERM)."""

    def link(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted", source)

    monkeypatch.setattr(os, "link", link)
    backend = DirectoryBackend(tmp_path / "s")
    with pytest.raises(StoreError, match="has hard links"):
        backend.create("a", b"1")
    assert backend.list("") == []
    assert list((tmp_path / "s" / ".incoming").iterdir()) == []


def test_a_link_whose_answer_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS sends a link again when its answer is lost and then reports EEXIST for its own work; simulated."""
    real = os.link

    def link(source: str, target: str) -> None:
        real(source, target)
        raise FileExistsError(17, "File exists", source)

    monkeypatch.setattr(os, "link", link)
    assert DirectoryBackend(tmp_path / "s").create("a", b"1")


@pytest.mark.parametrize("uri", ["http://x/y", "s3://", "s3:///prefix", "gs://b/p", "s3://b/p?x=1", " "])
def test_an_address_that_is_none(uri: str) -> None:
    with pytest.raises(StoreInputError, match=r"give a directory or s3|neither a directory nor s3"):
        open_store(StoreConfig(uri=uri))
