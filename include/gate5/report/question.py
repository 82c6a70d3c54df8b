"""What an approver is asked: one line that names the candidate, and a short table with what may speak against it."""

from __future__ import annotations

from gate5.evaluation import ScenarioComparison
from gate5.gate.report import FINE, GateReport, RuleResult, escape_markdown, markdown
from gate5.report.artifacts import Artifacts
from gate5.report.html import figure
from gate5.workspace.artifacts import Workspace

_MOST = 12


def subject(workspace: Workspace, channel: str) -> str:
    """``Promote good (719062fbc446) to production? In charge now: sco2-...; started by ada``."""
    artifacts = Artifacts(workspace)
    about, begun = artifacts.checkpoint or {}, artifacts.origin
    source = str(about.get("source") or about.get("uri") or "the candidate").rstrip("/")
    name = "/".join(source.split("/")[-2:]) if source.endswith(".zip") else source.rsplit("/", 1)[-1]
    now = (artifacts.current or {}).get("release") or _current(artifacts.scenarios)
    first = (artifacts.current or {}).get("state") == "first"
    by = begun.started_by if begun and begun.started_by else "a schedule or an announcement"
    return (
        f"Promote {name} ({str(about.get('policy_sha256'))[:12]}) to {channel}? "
        f"In charge now: {now or ('nothing' if first else 'no release that was compared with')}; started by {by}"
    )


def body(workspace: Workspace, hours: float, url: str | None) -> str:
    """Markdown: what failed or is close, the candidate beside the current release and the baseline, all checks last.

    Args:
        hours: how long is waited for the answer.
        url: of the report; ``None``: not known.
    """
    artifacts = Artifacts(workspace)
    gate = artifacts.gate
    report = f"[The report]({url})" if url else "The report is on the tab Gate 5 of this run"
    parts = [f"{report}. Without an answer within {hours:g} hours the policy is rejected."]
    if gate is not None:
        parts.append(_against(gate))
    if artifacts.scenarios:
        parts.append(_scenarios(artifacts.scenarios))
    if gate is not None:
        parts.append(f"### All {len(gate.rules)} checks\n\n{markdown(gate)}")
    return "\n\n".join(parts)


def close(rule: RuleResult) -> bool:
    """Whether a rule passed with less than 10 % of its threshold to spare."""
    if rule.outcome != "pass" or rule.margin is None or not rule.threshold or rule.op == "==":
        return False
    return 0.0 <= rule.margin < 0.1 * abs(rule.threshold)


def _against(gate: GateReport) -> str:
    found = [rule for rule in gate.rules if rule.outcome not in FINE or close(rule)]
    if not found:
        return f"**Gate 5: {gate.verdict.upper()}**. Every check passed with 10 % of its threshold and more to spare."
    shown = GateReport(gate.verdict, tuple(found[:_MOST]), gate.reasons)
    more = f"\n\n… and {len(found) - _MOST} more, among all checks below." if len(found) > _MOST else ""
    return f"### Not met, or with less than 10 % to spare\n\n{markdown(shown)}{more}"


def _scenarios(rows: list[ScenarioComparison]) -> str:
    other = next((row.baseline_name for row in rows if row.baseline is not None), "baseline")
    compared = any(row.current is not None and row.current.difference is not None for row in rows)
    head = ["scenario", "violations", f"return against the {other}", *(["against the current release"] * compared)]
    lines = [f"| {' | '.join(head)} |", f"|---|---:|{'---:|' * (len(head) - 2)}"]
    for row in rows:
        cells = [escape_markdown(row.title), str(row.rl.violations), _share(row.difference, row.baseline)]
        if compared:
            cells.append(_share(row.current.difference, row.baseline) if row.current else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "### The candidate beside the others\n\n" + "\n".join(lines)


def _share(difference: object, scale: object) -> str:
    mean, base = getattr(difference, "mean", None), getattr(scale, "return_mean", None)
    if mean is None or not base:
        return "–"
    low, high = (getattr(difference, name, None) for name in ("low", "high"))
    interval = "" if low is None or high is None else f" ({_percent(low, base)} … {_percent(high, base)})"
    return f"{_percent(mean, base)} %{interval}"


def _percent(value: float, base: float) -> str:
    return ("+" if value > 0 else "") + figure(100.0 * value / abs(base), 2)


def _current(rows: list[ScenarioComparison]) -> str | None:
    return next((row.current.release for row in rows if row.current is not None and row.current.release), None)
