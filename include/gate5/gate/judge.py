"""Gate 5: declarative rules over measured metrics give a verdict.

A rule passes only where a finite number was measured and satisfies the comparison. A metric that nobody measured is
*missing*: with a veto rule that makes the verdict ``error``, never ``pass``. A measurement that is not finite fails.
This module knows names and numbers, and nothing of engines, plants or stages.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from gate5.config.gate import RuleConfig
from gate5.config.operators import OPERATORS
from gate5.config.verdicts import AWAITING
from gate5.gate.report import GateReport, Outcome, RuleResult
from gate5.io.canonical import number


def judge(
    rules: Sequence[RuleConfig],
    metrics: Mapping[str, float | None],
    scenarios: Sequence[str],
    sla_p99_ms: float,
    notes: Mapping[str, str] | None = None,
    *,
    unattended: bool = False,
    inapplicable: Mapping[str, str] | None = None,
    awaits: Callable[[str], str | None] | None = None,
) -> GateReport:
    """Apply every rule.

    Args:
        rules: the rules; a ``*`` in a metric stands for each of ``scenarios``.
        metrics: flat names to measured numbers; ``None`` means that the measurement was not made.
        scenarios: every scenario that the release has to cover.
        sla_p99_ms: what a threshold of ``"sla_p99_ms"`` stands for, in milliseconds.
        notes: metric to what explains its number, or why there is none; goes to the rules that do not pass on it.
        unattended: nobody started the run by hand, which makes vetoes of some rules.
        inapplicable: metric to why there is nothing to measure, which is neither a pass nor missing; only where
            ``metrics`` knows the metric and has no number of it.
        awaits: gives a sentence for a metric that is not measured because only the engine's own device can; ``None``:
            nothing is excused.

    Returns:
        ``fail`` where a veto rule failed; else ``error`` where a veto rule's measurement is missing, or no rule has a
        veto; else ``awaiting proof`` where a veto rule's measurement has to be made on the engine's device; else
        ``pass``.
    """
    asked = [(rule, rule.vetoes(unattended)) for rule in rules]
    judged = (result for rule, veto in asked for result in _expand(rule, veto, metrics, scenarios, sla_p99_ms))
    known = (_awaiting(_applicable(result, metrics, inapplicable or {}), awaits) for result in judged)
    results = tuple(_explained(result, notes or {}) for result in known)
    vetoes = [result for result in results if result.veto and result.outcome != "not_applicable"]
    broken = tuple(result.sentence() for result in vetoes if result.outcome == "fail")
    missing = tuple(result.sentence() for result in vetoes if result.outcome == "missing")
    if broken:
        return GateReport("fail", results, broken + missing)
    if missing:
        return GateReport("error", results, missing)
    if not vetoes:
        return GateReport("error", results, ("No rule with a veto was judged, so that nothing could have failed.",))
    awaiting = tuple(result.sentence() for result in vetoes if result.outcome == "awaiting")
    if len(awaiting) == len(vetoes):
        return GateReport("error", results, ("No rule with a veto could be judged here: all await the proof.",))
    return GateReport(AWAITING if awaiting else "pass", results, awaiting)


def judged_by(
    report: GateReport,
    rules: Sequence[RuleConfig],
    scenarios: Sequence[str],
    sla_p99_ms: float,
    *,
    unattended: bool = False,
) -> bool:
    """Whether exactly these rules were judged, for these scenarios: a verdict is worth no more than its rules."""
    asked = judge(rules, {}, scenarios, sla_p99_ms, unattended=unattended).rules
    return [_question(rule) for rule in report.rules] == [_question(rule) for rule in asked]


def _question(rule: RuleResult) -> tuple[object, ...]:
    return rule.name, rule.metric, rule.scenario, rule.op, rule.threshold, rule.veto


def _applicable(result: RuleResult, metrics: Mapping[str, float | None], inapplicable: Mapping[str, str]) -> RuleResult:
    """The result where nothing could be measured; a metric that nobody knows stays missing."""
    unmeasured = result.metric in metrics and metrics[result.metric] is None
    if result.metric not in inapplicable or not unmeasured:
        return result
    return replace(result, outcome="not_applicable", note=f"not applicable, {inapplicable[result.metric]}")


def _awaiting(result: RuleResult, awaits: Callable[[str], str | None] | None) -> RuleResult:
    """A rule whose measurement was not made, and could not be made here."""
    why = awaits(result.metric) if awaits is not None and result.outcome == "missing" else None
    return result if why is None or result.measured is not None else replace(result, outcome="awaiting", note=why)


def _explained(result: RuleResult, notes: Mapping[str, str]) -> RuleResult:
    if result.outcome not in ("fail", "missing") or result.metric not in notes:
        return result
    return replace(result, note="; ".join(part for part in (result.note, notes[result.metric]) if part))


def _expand(
    rule: RuleConfig, veto: bool, metrics: Mapping[str, float | None], scenarios: Sequence[str], sla_p99_ms: float
) -> Iterator[RuleResult]:
    said = float(sla_p99_ms if isinstance(rule.threshold, str) else rule.threshold)
    if "*" not in rule.metric:
        found = [_apply(rule, rule.metric, None, said, metrics)]
    elif not scenarios:
        found = [_result(rule, rule.metric, None, said, "missing", note="there is no scenario to stand for the *")]
    else:
        found = [
            _apply(rule, rule.metric.replace("*", name), name, rule.by_scenario.get(name, said), metrics)
            for name in scenarios
        ]
    yield from (replace(result, veto=veto) for result in found)


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
    passes = OPERATORS[rule.op].holds(measured, threshold)
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
        margin=None if value is None or limit is None else number(OPERATORS[rule.op].margin(value, limit)),
        outcome=outcome,
        veto=bool(rule.veto),
        why=rule.why,
        note=note,
    )


def _absence(metric: str, metrics: Mapping[str, float | None]) -> str:
    if metric in metrics:
        return "the measurement was not made"
    close = difflib.get_close_matches(metric, list(metrics), n=3, cutoff=0.75)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return f"no stage reports a metric of this name{hint}"
