"""A Gate 5 report as text: a table for a terminal and one in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gate5.gate import GateReport, RuleResult

SYMBOLS: Mapping[str, str] = {"pass": "✓", "fail": "✗", "missing": "?"}

_HEADER = ("", "rule", "scenario", "measured", "must be", "margin", "")
_NUMERIC = (3, 5)


def table(report: GateReport) -> str:
    """Aligned columns, one line per rule (and scenario); notes, verdict and reasons below."""
    rows = [_HEADER, *(tuple(_printable(cell) for cell in _cells(rule)) for rule in report.rules)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ["  ".join(_align(row[c], widths[c], c in _NUMERIC) for c in range(len(row))).rstrip() for row in rows]
    lines.insert(1, "─" * (sum(widths[:-1]) + 2 * (len(widths) - 2)))
    lines += ["", f"Gate 5: {report.verdict.upper()}"]
    lines += [f"  - {_printable(reason)}" for reason in report.reasons]
    lines += [f"  - {_printable(line)}" for line in _advice(report)]
    return "\n".join(lines)


def shown(value: float | None, beside: float | None = None) -> str:
    """A number for a reader: four significant digits, more where fewer would make it look equal to ``beside``."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e9:
        return f"{value:.0f}"  # counts
    text = ""
    for digits in range(4, 18):
        text = f"{value:.{digits}g}"
        if beside is None or value == beside or text != f"{beside:.{digits}g}":
            break
    return text


def markdown(report: GateReport) -> str:
    """A heading with the verdict, the reasons, and the rules as a Markdown table."""
    lines = [f"**Gate 5: {report.verdict.upper()}**", ""]
    lines += [f"- {_escape(reason)}" for reason in report.reasons]
    lines += [f"- {_escape(line)}" for line in _advice(report)]
    lines += [""] if report.reasons or report.advice else []
    lines += ["| | rule | scenario | measured | must be | margin | |", "|---|---|---|---:|---|---:|---|"]
    lines += ["| " + " | ".join(_escape(cell) for cell in _cells(rule)) + " |" for rule in report.rules]
    return "\n".join(lines) + "\n"


def _cells(rule: RuleResult) -> tuple[str, ...]:
    remarks = [] if rule.veto else ["advisory"]
    told = rule.veto and rule.outcome == "fail" and rule.measured is not None  # the reasons have it
    remarks += [rule.note] if rule.note and not told else []
    return (
        SYMBOLS[rule.outcome],
        rule.name,
        rule.scenario or "",
        shown(rule.measured, rule.threshold),
        f"{rule.op} {shown(rule.threshold, rule.measured)}",
        _margin(rule.margin),
        "; ".join(remarks),
    )


def _margin(value: float | None) -> str:
    if value is None:
        return "–"
    text = shown(value) if value == int(value) else f"{value:.3g}"
    return f"+{text}" if value > 0 else text


def _advice(report: GateReport) -> list[str]:
    """One line per advisory rule that did not pass everywhere; the table has the details."""
    lines = []
    for name in dict.fromkeys(rule.name for rule in report.rules if not rule.veto):
        results = [rule for rule in report.rules if rule.name == name and not rule.veto]
        missed = [rule for rule in results if rule.outcome != "pass"]
        if missed and missed[0].scenario is None:
            lines.append(f"advisory, no veto: {missed[0].sentence()}")
        elif missed:
            where = ", ".join(str(rule.scenario) for rule in missed)
            lines.append(f"advisory, no veto: {name}: not met in {len(missed)} of {len(results)} scenarios ({where})")
    return lines


def _align(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _printable(text: str) -> str:
    """Without line breaks and terminal escape sequences, which a configuration could bring along."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _escape(text: str) -> str:
    """Text that Markdown, and HTML inside Markdown, shows as it is."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(_printable(text), quote=False))
