"""Files that appear whole or not at all; canonical JSON; where relative paths start."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.io import canonical
from gate5.io.files import create_exclusively, write_atomically
from gate5.io.paths import home, resolve_path

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def test_a_full_disk_leaves_the_old_bytes_and_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "state.json"
    write_atomically(target, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_of_two_who_create_one_wins(tmp_path: Path) -> None:
    beside = tmp_path / "tmp"
    beside.mkdir()
    target = tmp_path / "entry.json"
    assert [create_exclusively(target, data, beside) for data in (b"first", b"second")] == [True, False]
    assert target.read_bytes() == b"first"
    assert list(beside.iterdir()) == []


@given(JSON)
def test_canonical_json_comes_back_and_has_one_form(value: Any) -> None:
    data = canonical.dumps(value)
    assert canonical.loads(data) == value
    assert canonical.dumps(canonical.loads(data)) == data


@given(st.dictionaries(st.text(max_size=5), st.integers(), min_size=2, max_size=6))
def test_the_hash_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert canonical.digest(value) == canonical.digest(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {"a": object()}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical.dumps(value)


def test_relative_paths_start_at_gate5_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    assert home() == tmp_path
    assert resolve_path("var/store") == tmp_path / "var" / "store"
    assert resolve_path("/elsewhere") == Path("/elsewhere")
    monkeypatch.delenv("GATE5_HOME")
    monkeypatch.chdir(tmp_path)
    assert resolve_path("a") == tmp_path / "a"
