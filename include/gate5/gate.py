"""Gate 5: declarative rules over measured metrics give a verdict.

A rule passes only where a finite number was measured and satisfies the comparison. A metric that nobody measured is
*missing*: with a veto rule that makes the verdict ``error``, never ``pass``. A measurement that is not finite fails.
This module knows names and numbers, and nothing of engines, plants or stages.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, cast

from gate5 import _gate_text
from gate5._gate_text import shown
from gate5._json import number
from gate5.config import Operator, RuleConfig
from gate5.errors import WorkspaceError

Outcome = Literal["pass", "fail", "missing"]
Verdict = Literal["pass", "fail", "error"]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


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
        outcome: ``pass``, ``fail`` or ``missing``.
        veto: whether the rule has a say in the verdict.
        why: what the rule is for, from the configuration.
        note: what the reader has to know beside the numbers; empty where they say it all.
    """

    name: str
    metric: str
    scenario: str | None
    op: Operator
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
    def advice(self) -> tuple[str, ...]:
        """Sentences of the advisory rules that did not pass; they had no say."""
        return tuple(rule.sentence() for rule in self.rules if not rule.veto and rule.outcome != "pass")

    def judged_by(self, rules: Sequence[RuleConfig], scenarios: Sequence[str], sla_p99_ms: float) -> bool:
        """Whether exactly these rules were judged, for these scenarios: a verdict is worth no more than its rules."""
        return [_question(rule) for rule in self.rules] == [
            _question(rule) for rule in judge(rules, {}, scenarios, sla_p99_ms).rules
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"verdict": self.verdict, "rules": [asdict(rule) for rule in self.rules], "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GateReport:
        """The report that ``to_dict`` was called on.

        Raises:
            WorkspaceError: ``data`` is not such a report.
        """
        names = {field.name for field in fields(RuleResult)}
        try:
            rules = tuple(RuleResult(**{name: rule[name] for name in names}) for rule in data["rules"])
            verdict, reasons = data["verdict"], tuple(str(reason) for reason in data["reasons"])
        except (KeyError, TypeError) as error:
            raise WorkspaceError(f"This is no Gate 5 report ({error!r}): run the stage `gate` again.") from None
        if verdict not in ("pass", "fail", "error"):
            raise WorkspaceError(f"A Gate 5 report has the verdict {verdict!r}: run the stage `gate` again.")
        return cls(cast("Verdict", verdict), rules, reasons)

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
        return _gate_text.table(self)

    def markdown(self) -> str:
        """The rules as a Markdown table, the verdict above; all that came from a configuration is escaped."""
        return _gate_text.markdown(self)


def judge(
    rules: Sequence[RuleConfig],
    metrics: Mapping[str, float | None],
    scenarios: Sequence[str],
    sla_p99_ms: float,
    notes: Mapping[str, str] | None = None,
) -> GateReport:
    """Apply every rule.

    Args:
        rules: the rules; a ``*`` in a metric stands for each of ``scenarios``.
        metrics: flat names to measured numbers; ``None`` means that the measurement was not made.
        scenarios: every scenario that the release has to cover.
        sla_p99_ms: what a threshold of ``"sla_p99_ms"`` stands for, in milliseconds.
        notes: metric to what explains its number; goes to the rules that fail on it.

    Returns:
        ``fail`` where a veto rule failed; else ``error`` where a veto rule's measurement is missing, or no rule has a
        veto; else ``pass``.
    """
    judged = (result for rule in rules for result in _expand(rule, metrics, scenarios, sla_p99_ms))
    results = tuple(_explained(result, notes or {}) for result in judged)
    vetoes = [result for result in results if result.veto]
    broken = tuple(result.sentence() for result in vetoes if result.outcome == "fail")
    missing = tuple(result.sentence() for result in vetoes if result.outcome == "missing")
    if broken:
        return GateReport("fail", results, broken + missing)
    if missing:
        return GateReport("error", results, missing)
    if not vetoes:
        return GateReport("error", results, ("No rule with a veto was judged, so that nothing could have failed.",))
    return GateReport("pass", results, ())


def _question(rule: RuleResult) -> tuple[object, ...]:
    return rule.name, rule.metric, rule.scenario, rule.op, rule.threshold, rule.veto


def _explained(result: RuleResult, notes: Mapping[str, str]) -> RuleResult:
    if result.outcome != "fail" or result.metric not in notes:
        return result
    return replace(result, note="; ".join(part for part in (result.note, notes[result.metric]) if part))


def _expand(
    rule: RuleConfig, metrics: Mapping[str, float | None], scenarios: Sequence[str], sla_p99_ms: float
) -> Iterator[RuleResult]:
    threshold = float(sla_p99_ms if isinstance(rule.threshold, str) else rule.threshold)
    if "*" not in rule.metric:
        yield _apply(rule, rule.metric, None, threshold, metrics)
    elif not scenarios:
        yield _result(rule, rule.metric, None, threshold, "missing", note="there is no scenario to stand for the *")
    for scenario in scenarios if "*" in rule.metric else ():
        yield _apply(rule, rule.metric.replace("*", scenario), scenario, threshold, metrics)


def _apply(
    rule: RuleConfig, metric: str, scenario: str | None, threshold: float, metrics: Mapping[str, float | None]
) -> RuleResult:
    value = metrics.get(metric)
    if value is None:
        return _result(rule, metric, scenario, threshold, "missing", note=_absence(metric, metrics))
    measured = float(value)
    if not math.isfinite(threshold):
        note = f"the rule's threshold is {threshold}, which sets no limit"
        return _result(rule, metric, scenario, threshold, "missing", measured, note)
    if not math.isfinite(measured):
        return _result(rule, metric, scenario, threshold, "fail", measured, f"measured {measured}, which is not finite")
    passes = _COMPARISONS[rule.op](measured, threshold)
    return _result(rule, metric, scenario, threshold, "pass" if passes else "fail", measured)


def _result(
    rule: RuleConfig,
    metric: str,
    scenario: str | None,
    threshold: float,
    outcome: Outcome,
    measured: float | None = None,
    note: str = "",
) -> RuleResult:
    value, limit = number(measured), number(threshold)
    return RuleResult(
        name=rule.name,
        metric=metric,
        scenario=scenario,
        op=rule.op,
        threshold=limit,
        measured=value,
        margin=None if value is None or limit is None else number(_margin(rule.op, value, limit)),
        outcome=outcome,
        veto=rule.veto,
        why=rule.why,
        note=note,
    )


def _margin(op: Operator, measured: float, threshold: float) -> float:
    # 0.0 - x and not -x, so that no report shows "-0".
    if op == "==":
        return 0.0 - abs(measured - threshold)
    return threshold - measured if op in ("<", "<=") else measured - threshold


def _absence(metric: str, metrics: Mapping[str, float | None]) -> str:
    if metric in metrics:
        return "the measurement was not made"
    close = difflib.get_close_matches(metric, list(metrics), n=3, cutoff=0.75)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return f"no stage reports a metric of this name{hint}"
