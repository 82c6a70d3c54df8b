"""What a file or a person brings along cannot act upon the terminal of whoever reads it."""

from __future__ import annotations

import pytest

from gate5.cli.main import main
from gate5.io.excerpt import excerpt, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b31m", r"\x9b31m"),
        ("PASS\rFAIL", r"PASS\rFAIL"),
        ("\u202edessap", r"\u202edessap"),
        ("bell\x07 back\x08 del\x7f", r"bell\x07 back\x08 del\x7f"),
        ("two\nlines\tand 12\u202f000 µs ✓", "two\nlines\tand 12\u202f000 µs ✓"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_an_excerpt_is_one_visible_line() -> None:
    assert excerpt("a\n\x1b[31mb") == r"a \x1b[31mb"


def test_an_error_shows_what_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no\x1b[2Jsuch\u202efile"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"no\x1b[2Jsuch\u202efile" in said
