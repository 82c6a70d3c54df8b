"""One page for the signature: what is claimed, what supports it, what it assumes, where it ends.

The shape is a safety case's (GSN Community Standard 3, 2021: goal, context, strategy, sub-goals with their solutions,
assumptions; ANSI/UL 4600 asks for the same and for what was not tested). Each claim stands on rules of Gate 5, so that
the page cannot say more than the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gate5.config.verdicts import AWAITING
from gate5.gate.report import FINE, RuleResult
from gate5.report.artifacts import Artifacts
from gate5.report.html import Markup, figure, fold, table, tag

_GOAL = {
    "supported": "✓ Supported:",
    "partly": "✗ Not supported:",
    "awaiting": "… Awaiting proof:",
    "open": "? Not judged:",
}
#: What each verdict says of the goal; of another one it says nothing.
_OF_VERDICT = {"pass": "supported", AWAITING: "awaiting", "fail": "partly"}
_STATE = {
    "supported": "✓ supported",
    "partly": "✗ not supported everywhere",
    "awaiting": "… awaiting proof",
    "open": "? not judged",
}


@dataclass(frozen=True)
class Claim:
    """A sub-goal: the rules whose metric begins with one of ``metrics`` decide whether it is supported."""

    number: str
    text: str
    metrics: tuple[str, ...]
    evidence: Callable[[Artifacts], str]


def section(artifacts: Artifacts) -> Markup:
    """The page; before the gate has spoken it says so."""
    gate = artifacts.gate
    claims = [_row(claim, artifacts) for claim in CLAIMS]
    checkpoint, engine = artifacts.checkpoint or {}, artifacts.engine or {}
    goal = (
        f"The policy {str(checkpoint.get('policy_sha256') or 'of this run')[:12]}, as the engine of this release, "
        f"may drive the plant {artifacts.plant_name() or 'of this run'} in place of its baseline."
    )
    context = (
        f"C0. Scenarios: {len(artifacts.scenarios)}; engine: {engine.get('backend', 'not built')} "
        f"{engine.get('precision', '')} on {engine.get('device', 'no device')}; channel "
        f"{artifacts.config.release.channel if artifacts.config else 'unknown'}."
    )
    state = "open" if gate is None else _OF_VERDICT.get(gate.verdict, "open")
    verdict = "Gate 5 has not judged yet." if gate is None else f"Gate 5's verdict: {gate.verdict.upper()}."
    return tag(
        "section",
        tag("h2", "Assessment"),
        tag("p", tag("span", _GOAL[state], class_=f"state {state}"), " G0. ", goal, " ", verdict),
        fold("Claims, evidence, limits and assumptions: the page for the signature",
             tag("p", context, class_="soft"),
             tag("p", "S0. Argument over the function (G1), its time (G2), the declared scenarios (G3), their worst "
                 "case (G4), the disturbed plant (G5) and the baseline (G6).", class_="soft"),
             table(("", "claim", "state", "evidence"), claims),
             tag("div", _list("Limits of the evidence", limits(artifacts)),
                 _list("Assumptions", assumptions(artifacts)), _list("Not tested", untested(artifacts)),
                 class_="grid3"),
             tag("p", "Accepted by ______________________   Function ______________________   Date ____________",
                 class_="sign"), kind="paper"),
        id="assessment", class_="assessment",
    )  # fmt: skip


def _row(claim: Claim, artifacts: Artifacts) -> tuple[object, ...]:
    rules = [rule for rule in artifacts.gate.rules if _is_about(rule, claim)] if artifacts.gate else []
    state = _state({rule.outcome for rule in rules})
    failed = sorted({rule.name + (f" ({rule.scenario})" if rule.scenario else "") for rule in rules
                     if rule.outcome not in (*FINE, "awaiting")})  # fmt: skip
    advisory = bool(rules) and not any(rule.veto for rule in rules)
    remark = (
        f" Not met: {', '.join(failed[:3])}{f' and {len(failed) - 3} more' if len(failed) > 3 else ''}."
        if failed
        else ""
    )
    note = " Advisory: no say in the verdict." if advisory else ""
    return (
        claim.number,
        claim.text,
        tag("span", _STATE[state], class_=f"state {state}"),
        claim.evidence(artifacts) + remark + note,
    )


def _state(outcomes: set[str]) -> str:
    """Of a claim, from what its rules came to; one that only the engine's own device can judge is not broken."""
    if outcomes <= {"missing", "awaiting", "not_applicable"}:
        return "open"
    if outcomes <= set(FINE):
        return "supported"
    return "awaiting" if outcomes <= {*FINE, "awaiting"} else "partly"


def _is_about(rule: RuleResult, claim: Claim) -> bool:
    metric = rule.metric if rule.scenario is None else rule.metric.replace(f".{rule.scenario}.", ".*.", 1)
    return any(metric.startswith(prefix) for prefix in claim.metrics)


def _list(name: str, items: Iterable[str]) -> Markup:
    return tag("div", tag("h3", name), tag("ul", [tag("li", item) for item in items]))


def limits(artifacts: Artifacts) -> list[str]:
    """What the evidence does not say."""
    found = artifacts.robustness
    items = []
    if found and found.chances:
        worst = max(chance.violation_probability_upper for chance in found.chances)
        items.append(
            f"The chance of a violation is below {figure(worst, 3)} per episode and scenario at "
            f"{100 * found.chances[0].confidence:g} % confidence, if episodes are as the plant draws them."
        )
    else:
        items.append("No bound on rare violations beyond the few episodes that were compared.")
    items.append("A search that finds no violation proves none absent; it says how hard it looked.")
    if found and any(matrix.applicable for matrix in found.matrices):
        each = max((cell.episodes for matrix in found.matrices for cell in matrix.cells), default=0)
        items.append(
            f"The matrix has {each} episodes in each cell: it shows what breaks often, not what breaks rarely."
        )
    if artifacts.quick():
        items.append("QUICK RUN: budgets were cut; this page proves less than a full run's.")
    return items


def assumptions(artifacts: Artifacts) -> list[str]:
    """What has to be true for the evidence to count."""
    about = artifacts.robustness.about if artifacts.robustness else {}
    sensors = artifacts.config is not None and artifacts.config.evaluation.sensors
    items = [
        "The simulated plant is the real one within the declared ranges; its validation is a document of its own.",
        "Exact and immediate sensors." if not sensors else "Instruments as declared: lag, noise, a bias within class.",
        "Limits, ranges and expected levels are the plant owner's and complete.",
    ]
    errors = about.get("integration_error") or {}
    if errors:
        shown = ", ".join(f"{name} {value:.2g}" for name, value in sorted(errors.items()))
        items.append(f"The plant's step is exact to: {shown}. Worst-case margins count only beyond it.")
    else:
        items.append("The plant declares no integration error: its step counts as exact.")
    return items


def untested(artifacts: Artifacts) -> list[str]:
    """What nobody has driven."""
    about = artifacts.robustness.about if artifacts.robustness else {}
    items = ["The real plant, its wiring, and faults outside the declared classes."]
    hidden = about.get("unmeasurable") or []
    if hidden:
        items.append(f"Operation without {', '.join(hidden)}: observed here, but no instrument gives it.")
    if artifacts.robustness is not None and not about.get("declared", False):
        items.append("Disturbed operation: the plant declares no instruments or disturbances (not applicable).")
    items.append("Two independent faults at once, except where a class combines them; faults that come and go.")
    items.append("Operators who act on the plant while the policy drives.")
    return items


def _function(artifacts: Artifacts) -> str:
    export, parity = artifacts.export, artifacts.parity
    return (
        f"Largest error ONNX {figure(export.max_abs_error if export else None, 2)}, engine "
        f"{figure(parity.max_abs_error if parity else None, 2)}."
    )


def _time(artifacts: Artifacts) -> str:
    return f"p99 bound {figure(artifacts.latency.p99_upper_ms if artifacts.latency else None, 3)} ms, host to host."


def _nominal(artifacts: Artifacts) -> str:
    found = artifacts.robustness
    paired = sum(row.rl.episodes for row in artifacts.scenarios)
    more = sum(chance.episodes for chance in found.chances) if found else 0
    bad = sum(row.rl.violating_episodes for row in artifacts.scenarios)
    bad += sum(chance.violating_episodes for chance in found.chances) if found else 0
    return f"{bad} violating of {paired + more:,} episodes."


def _worst(artifacts: Artifacts) -> str:
    if artifacts.robustness is None:
        return "Not measured yet."
    searches = [s for s in artifacts.robustness.searches if s.case is not None]
    if not searches:
        return "Not applicable."
    broken = [s.scenario for s in searches if s.case is not None and s.case.violates]
    total = sum(search.evaluations for search in searches)
    return f"{total:,} episodes searched; " + (f"broken in {', '.join(broken)}." if broken else "no violation found.")


def _disturbed(artifacts: Artifacts) -> str:
    if artifacts.robustness is None:
        return "Not measured yet."
    cells = [c for m in artifacts.robustness.matrices for c in m.of("policy")]
    if not cells:
        return "Not applicable."
    parts = []
    for word, expected in (("expected", True), ("beyond", False)):
        own = [c for c in cells if c.expected == expected]
        parts.append(f"{word}: {sum(c.violating for c in own)} of {sum(c.episodes for c in own)} episodes violate")
    return "; ".join(parts) + "."


def _compared(artifacts: Artifacts) -> str:
    rows = [row for row in artifacts.scenarios if row.difference is not None]
    better = sum(1 for row in rows if row.difference and row.difference.low is not None and row.difference.low > 0)
    return f"Better in return in {better} of {len(rows)} scenarios, paired." if rows else "Not compared."


CLAIMS = (
    Claim("G1", "The engine is the trained policy.", ("parity.",), _function),
    Claim("G2", "It answers in time.", ("latency.",), _time),
    Claim("G3", "It keeps every limit in the declared scenarios.",
          ("evaluation.*.rl.viol", "evaluation.emergency_trip"), _nominal),
    Claim("G4", "So does the worst case within the declared ranges.", ("worst_case.",), _worst),
    Claim("G5", "It stands what the plant has to expect.", ("stress.*.expected",), _disturbed),
    Claim("G6", "It is no worse than the baseline.", ("evaluation.*.difference", "evaluation.*.term",
          "evaluation.*.baseline", "stress.*.beyond"), _compared),
)  # fmt: skip
