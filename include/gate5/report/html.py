"""HTML that cannot be injected: ``tag`` escapes every text that is not itself the result of ``tag`` or ``raw``."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from gate5.io.excerpt import upright


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def raw(text: str) -> Markup:
    """Mark ``text`` as HTML; for gate5's own constants only, never for anything that was read."""
    return Markup(text)


def escape(value: object) -> Markup:
    """``value`` as HTML: a ``Markup`` as it is, ``None`` as nothing, a list item by item, all else escaped."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("")
    if isinstance(value, (list, tuple)):
        return Markup("".join(escape(item) for item in value))
    return Markup(html.escape(upright(str(value)), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element; ``class_`` gives ``class``, ``aria_label`` ``aria-label``, and a value of ``None`` no attribute."""
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(str(value))}"')
    opening = " ".join(parts)
    if name in ("meta", "line", "rect", "circle", "path", "polyline", "use", "br"):
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{escape(list(children))}</{name}>")


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], *, numeric: Iterable[int] = (), caption: object = None
) -> Markup:
    """A table; the columns in ``numeric`` are aligned right. A wide one scrolls inside its own box."""
    right = set(numeric)

    def kind(column: int) -> str | None:
        return "n" if column in right else None

    head = tag("tr", [tag("th", cell, scope="col", class_=kind(i)) for i, cell in enumerate(header)])
    body = [tag("tr", [tag("td", cell, class_=kind(i)) for i, cell in enumerate(row)]) for row in rows]
    inner = tag("table", tag("caption", caption) if caption else None, tag("thead", head), tag("tbody", body))
    return tag("div", inner, class_="scroll", tabindex=0)


def facts(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Names and values, side by side; a value of ``None`` or ``""`` shows a dash."""
    items = [tag("div", tag("dt", name), tag("dd", "–" if value in (None, "") else value)) for name, value in pairs]
    return tag("dl", items, class_="facts")


def fold(summary: object, *content: object, kind: str = "data") -> Markup:
    """Content that is there when the reader asks for it, and on paper."""
    return tag("details", tag("summary", summary), list(content), class_=kind)


def unit(text: str) -> str:
    """A unit for a reader: ``C`` is degrees Celsius, and ``1`` (no unit) is not shown."""
    if text == "1":
        return ""
    return f"°{text}" if text == "C" or text.startswith("C/") else text


def title(text: str) -> str:
    """With a capital letter at the beginning."""
    return text[:1].upper() + text[1:]


def code(value: object) -> Markup | None:
    """A hash, path or identifier in a fixed-width face."""
    return None if value is None else tag("code", value)


def figure(value: float | None, digits: int = 4, unit: str = "") -> str:
    """A number for a reader, a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e6:
        text = f"{value:,.0f}"
    return f"{text.replace('-', '−', 1) if text.startswith('-') else text} {unit}".rstrip()


def allowed(sla_ms: float | None, digits: int = 3) -> str:
    """What an SLA allows, in ms; ``None``: no run has said its SLA yet."""
    return "its SLA is not known yet" if sla_ms is None else f"the SLA allows < {figure(sla_ms, digits, 'ms')}"
