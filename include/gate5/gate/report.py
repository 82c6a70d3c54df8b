"""Gate 5's verdict with every rule's result, and the same as text: a table for a terminal and one in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gate5.config.verdicts import RELEASED, Verdict
from gate5.errors import DocumentError, WorkspaceError
from gate5.io.plain import from_plain, to_plain

Outcome = Literal["pass", "fail", "missing", "awaiting", "not_applicable"]

SYMBOLS: Mapping[str, str] = {"pass": "✓", "fail": "✗", "missing": "?", "awaiting": "…", "not_applicable": "–"}
#: Outcomes that speak against nothing.
FINE = ("pass", "not_applicable")

_HEADER = ("", "rule", "scenario", "measured", "must be", "margin", "")
_NUMERIC = (3, 5)


@dataclass(frozen=True)
class RuleResult:
    """What one rule (for one scenario, where its metric has a ``*``) said.

    Attributes:
        name: the rule's name in the configuration.
        metric: the metric's full name; the ``*`` is replaced by the scenario.
        scenario: which scenario the ``*`` stood for, or ``None``.
        op, threshold: the comparison; ``None`` where the configured threshold is not a finite number.
        measured: the measured number, or ``None`` where it is missing or not finite (``note`` says which).
        margin: how far the measurement is on the good side of the threshold, in the metric's unit: positive where
            there is room, negative where it is broken, at most 0 for ``==``. ``None`` without a measurement.
        outcome: ``pass``, ``fail``, ``missing``, ``awaiting`` what only the engine's own device can measure, or
            ``not_applicable``: there is nothing to measure, ``note`` says why.
        veto: whether the rule has a say in this run's verdict.
        why: what the rule is for, from the configuration.
        note: what the reader has to know beside the numbers; empty where they say it all.
    """

    name: str
    metric: str
    scenario: str | None
    op: str
    threshold: float | None
    measured: float | None
    margin: float | None
    outcome: Outcome
    veto: bool
    why: str
    note: str

    def sentence(self) -> str:
        """The outcome as one sentence, ``latency_p99: latency.p99_upper_ms is 1.2, must be < 1``."""
        must = f"must be {self.op} {shown(self.threshold, self.measured)}"
        if self.measured is None:
            return f"{self.name}: {self.metric}: {self.note or 'not measured'}; it {must}"
        told = f": {self.note}" if self.note else ""
        return f"{self.name}: {self.metric} is {shown(self.measured, self.threshold)}, {must}{told}"


@dataclass(frozen=True)
class GateReport:
    """The verdict, every rule's result, and the reasons where the verdict is not ``pass``."""

    verdict: Verdict
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def releasable(self) -> bool:
        """Whether the candidate may be released: it passed, or all that can be judged here did."""
        return self.verdict in RELEASED

    @property
    def advice(self) -> tuple[str, ...]:
        """Sentences of the advisory rules that did not pass; they had no say."""
        return tuple(rule.sentence() for rule in self.rules if not rule.veto and rule.outcome not in FINE)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GateReport:
        """The report that ``to_dict`` was called on.

        Raises:
            WorkspaceError: ``data`` is not such a report.
        """
        try:
            return from_plain(cls, data, newer=True)
        except DocumentError as error:
            raise WorkspaceError(f"{str(error).partition(': the document')[0]}: run the stage `gate` again.") from None

    def metrics(self) -> dict[str, float | None]:
        """Counts of rules: all, vetoes that failed, vetoes that are missing, advisories that did not pass."""
        vetoes = [rule.outcome for rule in self.rules if rule.veto]
        return {
            "gate.rules": float(len(self.rules)),
            "gate.vetoes_failed": float(vetoes.count("fail")),
            "gate.vetoes_missing": float(vetoes.count("missing")),
            "gate.advisories_not_passed": float(len(self.advice)),
        }

    def table(self) -> str:
        """The rules as aligned text for a terminal, the verdict and its reasons below."""
        return table(self)

    def markdown(self) -> str:
        """The rules as a Markdown table, the verdict above; all that came from a configuration is escaped."""
        return markdown(self)


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
    lines += [f"- {escape_markdown(reason)}" for reason in report.reasons]
    lines += [f"- {escape_markdown(line)}" for line in _advice(report)]
    lines += [""] if report.reasons or report.advice else []
    lines += ["| | rule | scenario | measured | must be | margin | |", "|---|---|---|---:|---|---:|---|"]
    lines += ["| " + " | ".join(escape_markdown(cell) for cell in _cells(rule)) + " |" for rule in report.rules]
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
        missed = [rule for rule in results if rule.outcome not in FINE]
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


def escape_markdown(text: str) -> str:
    """Text that Markdown, and HTML inside Markdown, shows as it is."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(_printable(text), quote=False))
