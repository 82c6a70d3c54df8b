"""What a message shows of a value that came from a file: its head, on one line, whatever the value is."""

from __future__ import annotations

import unicodedata
from collections.abc import Sized
from typing import Any

_MOST = 120


def excerpt(value: Any, most: int = _MOST) -> str:
    """The head of a value's text, at most ``most`` characters and then three dots.

    Text stays on one line, and characters that a terminal would act upon are written out. A list or a table is named
    by its kind and length alone: its text can be gigabytes where it holds itself or the same part many times.
    """
    try:
        if isinstance(value, str | int | float | bool | BaseException) or value is None:
            text = str(value)
        elif isinstance(value, bytes | bytearray):
            text = repr(bytes(value[:most]))
        elif isinstance(value, type):
            text = value.__name__
        else:
            text = type(value).__name__ + (f" of {len(value)}" if isinstance(value, Sized) else "")
    except Exception:  # noqa: BLE001 - the text of an error about a number of 5,000 digits
        text = type(value).__name__
    head = " ".join(text[: 4 * most].split())  # enough to say whether there is more
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in head[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}..."


def visible(text: str) -> str:
    """Text for a terminal: what one would act upon (escape sequences, other directions of writing) is written out."""
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf")
        else char
        for char in text
    )


_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_UPRIGHT = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x2000, 0x2070))
    if chr(code) not in "\t\n\r"
    and (unicodedata.category(chr(code)) == "Cc" or unicodedata.bidirectional(chr(code)) in _TURNS)
}


def upright(text: str) -> str:
    """Text for a page: what would make the text after it read in another direction, or is no text, is written out.

    What a language needs (joiners, letters that are written from the right) stays.
    """
    return text.translate(_UPRIGHT)


def counted(number: int | None, name: str) -> str:
    """``1 episode``, ``2 episodes``; ``no known number of episodes`` for ``None``."""
    return f"{'no known number of' if number is None else f'{number:,}'} {name}{'' if number == 1 else 's'}"
