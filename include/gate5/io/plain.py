"""Dataclasses as plain JSON types and back, by their own annotations, so that no report has to say its fields twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gate5.errors import DocumentError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses and mappings as dictionaries, tuples as lists, all the way down; anything else as it is."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(entry) for name, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(entry) for entry in value]
    return value


def from_plain(kind: type[T], data: Any, *, newer: bool = False) -> T:
    """The value that ``to_plain`` was called on.

    Args:
        kind: its class, a dataclass.
        data: plain JSON types.
        newer: whether keys that ``kind`` does not have, as a newer version may have added, are passed over.

    Raises:
        DocumentError: ``data`` is not one; the text says where and why.
    """
    hashable: Any = kind  # as every class is; mypy does not see it of `type[T]`
    try:
        value: T = _adapter(hashable).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DocumentError(_sentence(kind, f"{where}: {first['msg']}" if where else first["msg"])) from None
    unknown = None if newer else next(_unknown(data, to_plain(value)), None)
    if unknown is not None:
        raise DocumentError(_sentence(kind, f"{unknown} is not a part of it"))
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _sentence(kind: type[Any], why: str) -> str:
    return (
        f"This is no {kind.__name__} ({why}): the document is damaged or of another version of gate5; make it again by "
        "running the stage that writes it."
    )


def _unknown(data: Any, known: Any, where: str = "") -> Iterator[str]:
    """The keys of ``data`` that are not in what was made of it."""
    if isinstance(data, Mapping) and isinstance(known, Mapping):
        for name, entry in data.items():
            if name not in known:
                yield f"{where}{name}"
            else:
                yield from _unknown(entry, known[name], f"{where}{name}.")
    elif isinstance(data, (list, tuple)) and isinstance(known, list):
        for index, (one, other) in enumerate(zip(data, known, strict=False)):
            yield from _unknown(one, other, f"{where}{index}.")
