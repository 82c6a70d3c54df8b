"""Dataclasses as plain JSON types: what is written is read back the same, and anything else is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.errors import DocumentError
from gate5.io import canonical
from gate5.io.plain import from_plain, to_plain


@dataclass(frozen=True)
class Part:
    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Whole:
    verdict: Literal["pass", "fail"]
    count: int
    parts: tuple[Part, ...]
    worst: Part | None
    by_kind: dict[str, dict[str, float | int | None]]
    later: tuple[int, ...] = ()


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
PARTS = st.builds(Part, st.text(), st.lists(NUMBERS).map(tuple))
WHOLES = st.builds(
    Whole,
    st.sampled_from(["pass", "fail"]),
    st.integers(),
    st.lists(PARTS, max_size=3).map(tuple),
    st.none() | PARTS,
    st.dictionaries(st.text(), st.dictionaries(st.text(), NUMBERS | st.integers(), max_size=3), max_size=3),
    st.lists(st.integers(), max_size=3).map(tuple),
)
GOOD: dict[str, Any] = to_plain(Whole("pass", 1, (Part("a", (1.0, None)),), None, {"far": {"compared": 0}}))


@given(WHOLES)
def test_what_is_read_is_what_was_written_and_writes_the_same_bytes(value: Whole) -> None:
    data = canonical.dumps(to_plain(value))
    read = from_plain(Whole, canonical.loads(data))
    assert read == value
    assert canonical.dumps(to_plain(read)) == data


def test_what_a_document_from_before_lacks_has_its_default() -> None:
    assert from_plain(Whole, {name: value for name, value in GOOD.items() if name != "later"}).later == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"verdict": "fine"}, "verdict: "),
        ({"count": "many"}, "count: "),
        ({"count": None}, "count: "),
        ({"parts": [{"name": "a"}]}, r"parts\.0\.values: Field required"),
        ({"parts": [{"name": "a", "values": ["x"]}]}, r"parts\.0\.values\.0: "),
        ({"parts": [{"name": "a", "values": [], "unit": "C"}]}, r"parts\.0\.unit is not a part of it"),
        ({"worst": []}, "worst: "),
        ({"newer": 1}, "newer is not a part of it"),
    ],
)
def test_a_damaged_document_is_refused_with_the_place(change: dict[str, Any], text: str) -> None:
    with pytest.raises(DocumentError, match=f"This is no Whole .{text}"):
        from_plain(Whole, GOOD | change)


@pytest.mark.parametrize("data", [None, [], "pass", 3, {}])
def test_something_else_altogether_is_refused(data: Any) -> None:
    with pytest.raises(DocumentError, match="This is no Whole"):
        from_plain(Whole, data)


def test_keys_of_a_newer_version_are_passed_over_where_that_is_asked_for() -> None:
    assert from_plain(Whole, GOOD | {"newer": 1}, newer=True) == from_plain(Whole, GOOD)
