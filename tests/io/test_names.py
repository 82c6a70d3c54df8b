"""One check of names for workspace, release and store: what it takes leads nowhere else, and is one file's one name."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gate5.io.names import is_plain_path, path_segment

ROOT = "/root/of/run"
TEXT = st.text(st.sampled_from("./\\~ aä\n\0:-"), max_size=8) | st.text(max_size=40)


@given(TEXT)
@example("a/../../b")
def test_what_is_plain_stays_inside_under_its_own_name(name: str) -> None:
    if is_plain_path(name):
        path = os.path.normpath(os.path.join(ROOT, name))
        assert path.startswith(f"{ROOT}/")
        assert os.path.relpath(path, ROOT) == name


@pytest.mark.parametrize("name", ["a", "engine/policy.engine", "a b/ä-_.x", "a" * 255, "a:b"])
def test_what_is_plain(name: str) -> None:
    assert is_plain_path(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/a", "//a", "a/", "a//b", "./a", "a/.", "../a", "a/../b", ".git", "a/.b", "a\\b", "a\0", "a\n",
     "\ud800", "a" * 256, "ä" * 128, "a/" + "b" * 256],
)  # fmt: skip
def test_what_is_not(name: str) -> None:
    assert not is_plain_path(name)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300), min_size=2, max_size=2))
@example(["a/b", "a%2Fb"])
@example([".", "%2E"])
@example(["ä" * 200, "ä" * 201])
def test_a_segment_is_plain_and_different_names_have_different_ones(names: list[str]) -> None:
    first, second = map(path_segment, names)
    assert is_plain_path(first)
    assert "/" not in first
    assert (first == second) == (names[0] == names[1])
