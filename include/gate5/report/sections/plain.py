"""Plain JSON as names and values: for descriptions whose fields differ from back end to back end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gate5.report.html import Markup, code, facts, figure, tag

_LONGEST = 400


def flat_facts(data: Mapping[str, Any]) -> Markup:
    """Every leaf of nested plain JSON; a long list is shown by its length."""
    return facts(_leaves(data, ""))


def awaiting(data: Mapping[str, Any]) -> Markup:
    """That something can be measured on the engine's own device alone."""
    return tag("p", f"Awaiting proof, not measured here: {data.get('reason')} `gate5 prove` measures it there.",
               class_="note")  # fmt: skip


def _leaves(value: Any, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path} · {key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        yield path.replace("_", " "), _list(value)
    else:
        yield path.replace("_", " "), _scalar(value)


def _list(value: list[Any] | tuple[Any, ...]) -> str:
    text = ", ".join(str(_scalar(item)) for item in value)
    return text if len(text) <= _LONGEST else f"{len(value)} values"


def _scalar(value: Any) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return figure(value, 5)
    if isinstance(value, str) and len(value) in (40, 64) and all(c in "0123456789abcdef" for c in value):
        return code(value)
    return value
