"""The objective's terms apart, policy and baseline, and where the policy is the worse one."""

from __future__ import annotations

from gate5.evaluation import ScenarioComparison
from gate5.evaluation.terms import TermResult
from gate5.report.html import Markup, figure, table, tag, unit


def overview(rows: list[ScenarioComparison]) -> Markup | None:
    """In which terms and scenarios the policy is better and worse than the baseline."""
    names = list(dict.fromkeys(term.name for row in rows for term in row.terms))
    if not names or all(row.baseline is None for row in rows):
        return None
    body: list[list[object]] = []
    for name in names:
        found = {row.scenario: next((t for t in row.terms if t.name == name), None) for row in rows}
        some = next(t for t in found.values() if t is not None)
        body.append([_called(some), *(_mark(found[row.scenario]) for row in rows)])
    header = ("difference to the baseline", *(row.title for row in rows))
    better, worse = (sum(getattr(t, what) for row in rows for t in row.terms) for what in ("better", "worse"))
    caption = (
        f"Each term of the objective: better in {better} and worse in {worse} of {sum(len(r.terms) for r in rows)} "
        "(the whole interval on that side of zero)"
    )
    return table(header, body, numeric=range(1, len(rows) + 1), caption=caption)


def objective(row: ScenarioComparison) -> Markup | None:
    """One scenario's terms with their costs."""
    if not row.terms:
        return None
    other = row.baseline_name or "PID"
    body = [
        [
            tag("span", t.title, title=t.name),
            figure(t.policy, 4, unit(t.unit)),
            figure(t.baseline, 4, unit(t.unit)),
            figure(t.difference, 3, unit(t.unit)),
            f"{figure(t.low, 3)} … {figure(t.high, 3)}",
            figure(t.margin, 3, unit(t.unit)),
            f"{figure(t.cost(t.difference), 3)} {t.currency}/h" if t.weight else "–",
            _verdict(t),
        ]
        for t in row.terms
    ]
    header = ("term, mean over an episode", "policy", other, "difference", "interval", "margin", "costs", "")
    return table(header, body, numeric=range(1, 7), caption="The objective's terms; less is better, but for rewards")


def _called(t: TermResult) -> str:
    of = unit(t.unit)
    return f"{t.name.replace('_', ' ')}{f', {of}' if of else ''}{'' if t.essential else ' (advisory)'}"


def _mark(t: TermResult | None) -> object:
    if t is None or t.difference is None:
        return "–"
    text = figure(t.difference, 2)
    if t.worse:
        return tag("span", f"✗ {text}", class_="tag fail" if (t.excess or 0.0) > 0.0 else "tag")
    return tag("span", f"✓ {text}", class_="tag pass") if t.better else text


def _verdict(t: TermResult) -> Markup:
    if t.excess is None:
        return tag("span", "not measured", class_="soft")
    if t.excess > 0.0:
        return tag("span", "✗ worse" if t.worse else "✗ not shown to be no worse", class_="tag fail")
    if t.worse:
        return tag("span", "worse, within its margin", class_="tag")
    return tag("span", "✓ better" if t.better else "no worse", class_="tag pass")
