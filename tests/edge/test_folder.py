"""A plant's folder: nothing is removed that gate5 did not put there, and what was seen is never forgotten."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gate5.edge import folder, pull
from gate5.errors import EngineError, IntegrityError, StoreError, StoreInputError
from gate5.io import canonical
from gate5.store.channel import entry_name

Factory = Any
"""The class of the fixture ``factory``, which a test module cannot import."""


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["the store", "in the store", "around the store", "through a link"])
def test_a_pull_into_the_store_or_around_it_is_refused(factory: Factory, tmp_path: Path, place: str) -> None:
    factory.release(1)
    before = snapshot(factory.root)
    link = tmp_path / "link"
    link.symlink_to(factory.root)
    factory.dest = {
        "the store": factory.root,
        "in the store": factory.root / "releases",
        "around the store": factory.root.parent,
        "through a link": link / "plant",
    }[place]
    with pytest.raises(StoreInputError, match="lie in one another"):
        factory.pull()
    assert snapshot(factory.root) == before


@pytest.mark.parametrize(
    "theirs", ["releases/2024.1/app", "current/x", "notes.txt", "state.json", "releases/test-0123456789ab.012345/x"]
)
def test_a_folder_of_somebody_else_is_left_alone(factory: Factory, theirs: str) -> None:
    factory.release(1)
    path = factory.dest / theirs
    path.parent.mkdir(parents=True)
    path.write_text("theirs")
    with pytest.raises(StoreInputError, match="not a folder of `gate5 pull`"):
        factory.pull()
    assert snapshot(factory.dest) == {theirs: b"theirs"}


def test_two_plants_whose_releases_are_links_to_one_folder_are_refused(factory: Factory, tmp_path: Path) -> None:
    """Each would remove what the other runs, for it has a release folder's name."""
    factory.release(1)
    factory.pull()
    shared, releases = tmp_path / "shared", factory.dest / "releases"
    theirs = shared / "test-0123456789ab.012345"
    theirs.mkdir(parents=True)
    for installed in releases.iterdir():
        installed.rename(shared / installed.name)
    releases.rmdir()
    releases.symlink_to(shared)
    factory.release(2)
    with pytest.raises(StoreInputError, match=r"releases is a link, and old releases are removed there"):
        factory.pull()
    assert theirs.is_dir()
    assert factory.running() is not None


def test_a_link_to_the_whole_folder_is_fine(factory: Factory, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    factory.dest.symlink_to(tmp_path / "large disk")
    release = factory.release(1)
    assert factory.pull().release == release.id
    assert factory.running() == release.id


def test_a_name_that_no_folder_can_have_is_one_sentence(factory: Factory) -> None:
    factory.release(1)
    factory.dest = factory.dest / ("x" * 300)
    with pytest.raises(StoreInputError, match=r"cannot be used .*; give a folder that can be written") as told:
        factory.pull()
    assert "\n" not in str(told.value)


def test_what_lies_in_a_plants_folder_beside_releases_stays(factory: Factory) -> None:
    factory.release(1)
    factory.pull()
    theirs = factory.dest / "releases" / "2024.1"
    theirs.mkdir()
    for mark in (2, 3):
        factory.release(mark)
        factory.pull()
    assert theirs.is_dir()


def test_a_refused_pull_removes_nothing(factory: Factory) -> None:
    """Killed pulls leave folders; they are swept only after a release has been proved."""
    factory.release(1)
    factory.pull()
    left = factory.dest / "releases" / "test-0123456789ab.abcdef"
    left.mkdir()
    factory.release(2)
    with pytest.raises(EngineError):
        factory.pull(backends=["tensorrt"])
    assert left.is_dir()
    factory.pull()
    assert not left.exists()


def test_a_folder_made_before_there_was_a_mark_goes_on(factory: Factory) -> None:
    factory.release(1)
    factory.pull()
    (factory.dest / folder.MARK).unlink()
    second = factory.release(2)
    assert factory.pull().release == second.id
    assert (factory.dest / folder.MARK).is_file()


def played_back(factory: Factory) -> str:
    (factory.root / entry_name("production", 2)).unlink()
    with pytest.raises(IntegrityError) as refused:
        factory.pull()
    return str(refused.value)


@pytest.mark.parametrize("state", ["deleted", "of an older entry"])
def test_the_number_is_remembered_with_the_release_too(factory: Factory, state: str) -> None:
    factory.release(1)
    factory.pull()
    path = factory.dest / "state.json"
    old = path.read_bytes()
    factory.release(2)
    factory.pull()
    path.unlink()
    if state == "of an older entry":
        path.write_bytes(old)
    assert "went back in time: entry 2" in played_back(factory)


def test_a_disk_that_is_full_at_any_write_forgets_no_number(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the switch or after it: what runs is never newer than what is remembered."""
    factory.release(1)
    factory.pull()
    factory.release(2)
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == "state.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StoreError, match="No space left"):
            factory.pull()
    entry = canonical.loads((factory.dest / "current" / "entry.json").read_bytes())
    assert entry["sequence"] == 1, "not switched, because it could not be remembered"
    factory.pull()
    assert "went back in time: entry 2" in played_back(factory)


def test_a_switch_that_fails_has_been_remembered(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    factory.release(1)
    factory.pull()
    factory.release(2)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pull, "switch", fail)
        with pytest.raises(StoreError, match="No space left"):
            factory.pull()
    assert "went back in time: entry 2" in played_back(factory)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"channels": {"production": {"sequence": "9"}}}'])
def test_a_damaged_state_is_said_and_deleting_it_forgets_nothing(factory: Factory, damage: bytes) -> None:
    factory.release(1)
    factory.release(2)
    factory.pull()
    (factory.dest / "state.json").write_bytes(damage)
    with pytest.raises(StoreInputError, match="is damaged: delete it"):
        factory.pull()
    (factory.dest / "state.json").unlink()
    assert "went back in time: entry 2" in played_back(factory)
