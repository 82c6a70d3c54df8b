"""The banner: verdict, reasons, the numbers that decide; then every rule with its margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from gate5.config.verdicts import AWAITING
from gate5.gate.report import FINE, GateReport, RuleResult, shown
from gate5.io.excerpt import counted
from gate5.report.artifacts import Artifacts
from gate5.report.html import Markup, allowed, code, figure, fold, table, tag
from gate5.report.outcome import Outcome, day, outcome, several
from gate5.report.question import close
from gate5.report.sections.evaluation import worse_tracking
from gate5.workspace import contents

_NOT_YET = "whether it is released is not decided yet."
#: So many reasons, of which a refusal can have one for each check, are shown before one opens anything.
_REASONS = 4
#: So many checks are shown before one opens anything.
_FRONT = 8
_NUMERIC = ("measured", "margin")
_SYMBOLS = {"pass": "✓ pass", "fail": "✗ fail", "missing": "? missing", "awaiting": "… awaiting proof",
            "not_applicable": "– not applicable"}  # fmt: skip
_AWAITING = "AWAITING PROOF"


def banner(artifacts: Artifacts) -> Markup:
    """What became of the run, its reasons, the deciding numbers; while it goes on, what is done and what is missing."""
    gate, found = artifacts.gate, outcome(artifacts.gate, artifacts.release, artifacts.rejection)
    kind, word, text = _said(gate, found)
    parts: list[object] = [tag("h1", tag("span", word, class_="verdict"), text)]
    reasons = _reasons(gate, artifacts.rejection)
    if gate:
        parts += _listed(reasons)
        parts.append(_advice(gate))
    else:
        parts.append(progress(artifacts))
    parts.append(_origin(artifacts))
    parts.append(_tiles(artifacts))
    parts += [tag("p", problem, class_="note") for problem in artifacts.problems]
    return tag("section", parts, class_=f"banner {kind}", id="verdict")


def _said(gate: GateReport | None, found: Outcome | None) -> tuple[str, str, object]:
    """Colour, word and sentence; amber where all that had a say passed and advice did not."""
    if found is not None:
        if found.kind == "promoted" and gate is not None and gate.verdict == AWAITING:
            return "warn", f"{found.word}, {_AWAITING}", _linked(found)
        amber = found.kind == "promoted" and gate is not None and gate.advice
        return ("warn" if amber else found.colour), found.word, _linked(found)
    if gate is None:
        return "wait", "IN PROGRESS", "Gate 5 has not judged yet."
    if gate.verdict == AWAITING:
        return "warn", _AWAITING, f"All that can be judged without the engine's own device is good; {_NOT_YET}"
    if gate.advice:
        return "warn", "PASSED WITH ADVICE", f"This candidate passed Gate 5, {_count(gate)}; {_NOT_YET}"
    return "pass", "PASSED", f"This candidate passed Gate 5; {_NOT_YET}"


def _linked(found: Outcome) -> object:
    """The sentence, the release's id in it as an id."""
    if found.release is None or found.release not in found.sentence:
        return found.sentence
    before, _, after = found.sentence.partition(found.release)
    return [before, code(found.release), after]


def _reasons(gate: GateReport | None, rejection: Mapping[str, Any] | None) -> list[str]:
    theirs = several((rejection or {}).get("reasons"))
    return list(dict.fromkeys([*theirs, *(gate.reasons if gate else ())]))


def _listed(reasons: Sequence[str]) -> list[Markup]:
    """The first reasons, and the others when the reader asks for them."""
    first, rest = reasons[:_REASONS], reasons[_REASONS:]
    if len(rest) == 1:
        first, rest = reasons, rest[:0]
    shown_ = [tag("ul", [tag("li", reason) for reason in first], class_="reasons")] if first else []
    if rest:
        more = tag("ul", [tag("li", reason) for reason in rest], class_="reasons")
        shown_.append(fold(f"{len(rest)} more reasons", more, kind="paper"))
    return shown_


def _advice(gate: GateReport) -> Markup | None:
    """The advisory rules that did not pass: they had no say, and somebody has to have read them."""
    if not gate.advice:
        return None
    listed = tag("ul", [tag("li", text) for text in gate.advice], class_="reasons")
    return fold(f"{_count(gate)[0].upper()}{_count(gate)[1:]}", listed, kind="advice paper")


def _count(gate: GateReport) -> str:
    number = len(gate.advice)
    return f"{counted(number, 'advisory check')} not met ({'it has' if number == 1 else 'they have'} no say)"


def _origin(artifacts: Artifacts) -> Markup | None:
    """Who started the run, and its page."""
    begun = artifacts.origin
    if begun is None:
        return None
    name = f"{begun.dag_id} / {begun.run_id}"
    page = tag("a", name, href=begun.url, target="_blank", rel="noopener") if _is_page(begun.url) else code(name)
    by = ["Started by ", tag("b", begun.started_by)] if begun.started_by else "Started by a schedule or an event"
    when = day(begun.started_on) if begun.started_on else "an unknown day"
    return tag("p", by, f" on {when}, run ", page, ".", class_="soft origin")


def _is_page(url: str | None) -> bool:
    return bool(url) and str(url).startswith(("http://", "https://"))


def progress(artifacts: Artifacts) -> Markup:
    """Which stages are done and which are missing."""
    done = artifacts.done()
    rows = []
    for stage in contents.STAGES:
        if stage.per_scenario:
            seen = [name.removeprefix(f"{stage.name}-") for name in done if name.startswith(f"{stage.name}-")]
            rows.append((stage.name, stage.title, f"done for {', '.join(seen)}" if seen else "missing"))
        elif stage.command and stage.name != "report":
            there = stage.name in done or (stage.writes[0].name in artifacts.names and not stage.recorded)
            rows.append((stage.name, stage.title, "done" if there else "missing"))
    return table(("stage", "what it does", "state"), rows, caption="Stages of this run so far")


def rules(artifacts: Artifacts) -> Markup:
    """Every rule: measured, threshold, margin, outcome."""
    gate = artifacts.gate
    if gate is None:
        body: object = tag("p", "Missing: the stage gate has not run yet.", class_="soft")
    else:
        front = [rule for rule in gate.rules if rule.veto and (rule.outcome not in FINE or close(rule))][:_FRONT]
        body = [
            tag("p", "A veto rule must pass; an advisory rule is shown and has no say. "
                "The margin is how far the measurement is on the good side of its threshold.", class_="soft"),
            tag("h3", "Vetoes that failed, or passed with less than 10 % to spare") if front else
            tag("p", "Every veto passed with 10 % of its threshold and more to spare."),
            _table(front) if front else None,
            fold(f"All {len(gate.rules)} checks", _table(gate.rules)),
        ]  # fmt: skip
    return tag("section", tag("h2", "Rules of Gate 5"), body, id="rules")


def _table(rules: Sequence[RuleResult]) -> Markup:
    """One body per rule: its name and purpose once, then a line for each scenario."""
    remarks = any(rule.note for rule in rules)
    titles = ("rule", "outcome", "scenario", "measured", "must be", "margin", *(("remark",) if remarks else ()))
    head = tag("tr", [tag("th", title, scope="col", class_="n" if title in _NUMERIC else None) for title in titles])
    bodies = []
    for _, group in groupby(rules, key=lambda rule: (rule.name, rule.veto, rule.op, rule.why)):
        results = list(group)
        lines = [[_rule(results)] if index == 0 else [] for index in range(len(results))]
        bodies.append(tag("tbody", [tag("tr", a, _cells(b, remarks)) for a, b in zip(lines, results, strict=True)]))
    return tag("div", tag("table", tag("thead", head), bodies, class_="rules"), class_="scroll", tabindex=0)


def _rule(results: list[RuleResult]) -> Markup:
    first = results[0]
    metric = first.metric if first.scenario is None else first.metric.replace(f".{first.scenario}.", ".*.", 1)
    veto = None if first.veto else tag("span", " advisory", class_="soft")
    inner = (tag("b", first.name), veto, tag("div", first.why, class_="soft"), code(metric))
    return tag("th", inner, scope="rowgroup", rowspan=len(results))


def _cells(rule: RuleResult, remarks: bool) -> list[Markup]:
    return [
        tag("td", tag("span", _SYMBOLS[rule.outcome], class_=f"tag {rule.outcome}")),
        tag("td", rule.scenario or "–"),
        tag("td", shown(rule.measured, rule.threshold), class_="n"),
        tag("td", f"{rule.op} {shown(rule.threshold, rule.measured)}", style="white-space:nowrap"),
        tag("td", figure(rule.margin, 3), class_="n"),
        *([tag("td", rule.note, class_="soft")] if remarks else ()),
    ]


def _tiles(artifacts: Artifacts) -> Markup:
    tiles: list[tuple[str, str, str]] = []
    if artifacts.export:
        tiles.append(("ONNX against the policy", figure(artifacts.export.metrics().get("parity.onnx.max_abs_error"), 2),
                      "largest absolute error"))  # fmt: skip
    if artifacts.parity:
        value = artifacts.parity.metrics().get("parity.engine.max_abs_error")
        tiles.append(("engine against ONNX", figure(value, 2), "largest absolute error"))
    if artifacts.latency:
        bound = artifacts.latency.metrics().get("latency.p99_upper_ms")
        limit = artifacts.config.gate.sla_p99_ms if artifacts.config else None
        tiles.append(("p99, upper bound", figure(bound, 3, "ms"), allowed(limit)))
    if artifacts.scenarios:
        tiles += _evaluation_tiles(artifacts)
    return tag("div", [tag("div", tag("small", a), tag("b", b), tag("small", c)) for a, b, c in tiles], class_="tiles")


def _evaluation_tiles(artifacts: Artifacts) -> list[tuple[str, str, str]]:
    rows = artifacts.scenarios
    violations = sum(row.rl.violations for row in rows)
    driven = f"{counted(sum(row.rl.episodes for row in rows), 'episode')} of {counted(len(rows), 'scenario')}"
    intervals = [row.difference for row in rows if row.difference is not None]
    better = sum(d.low is not None and d.low > 0 for d in intervals)
    worse = sum(d.high is not None and d.high < 0 for d in intervals)
    behind = [(row, result) for row in rows for result in worse_tracking(row)]
    tracked = sum(len(row.rl.tracking) for row in rows if row.baseline is not None)
    other = next((row.baseline_name for row in rows if row.baseline is not None), "PID")
    return [
        (
            "violations",
            str(violations),
            f"steps, in {driven}",
        ),
        (
            f"mean return per episode, against the {other}",
            f"{better} better, {worse} worse",
            f"{len(intervals) - better - worse} undecided, of {len(intervals)} scenarios",
        ),
        (
            f"tracking error (RMSE) above the {other}'s",
            f"{len(behind)} of {tracked}",
            "; ".join(f"{row.title}: {result.variable.replace('_', ' ')}" for row, result in behind[:2])
            + ("; …" if len(behind) > 2 else "")
            if behind
            else "set-points, over all scenarios",
        ),
    ]


def verdict_title(gate: GateReport | None) -> str:
    """For the window's title."""
    return "in progress" if gate is None else gate.verdict.upper()
