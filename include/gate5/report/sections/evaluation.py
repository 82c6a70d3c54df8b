"""The policy against the baseline (the PID, or another policy): paired differences, and one table per scenario."""

from __future__ import annotations

import numpy as np

from gate5.evaluation import ConstraintResult, ControllerResult, ScenarioComparison, TrackingResult
from gate5.io.excerpt import counted
from gate5.report.artifacts import Artifacts
from gate5.report.forest import Row, forest
from gate5.report.html import Markup, figure, fold, table, tag, title, unit
from gate5.report.sections.current import against_current, looks
from gate5.report.sections.engine_effect import engine_effect
from gate5.report.sections.objective import objective, overview
from gate5.report.sections.trajectories import trajectories


def section(artifacts: Artifacts) -> Markup:
    """Overview of all scenarios, then each with its numbers and one episode."""
    rows = artifacts.scenarios
    parts: list[object] = [tag("h2", f"Policy against {_other(rows)}")]
    if not rows:
        parts.append(tag("p", "Missing: no scenario has been evaluated yet.", class_="soft"))
    else:
        terms = overview(rows)
        parts += [_introduction(rows), _overview(rows), _forest(rows), against_current(rows), looks(rows)]
        parts.append(fold("The terms of the objective, in every scenario", terms) if terms else None)
    absent = _absent(artifacts)
    if rows and absent:
        parts.append(tag("p", f"Missing so far: {', '.join(absent)}.", class_="note"))
    worst = _worst_of(rows)
    if worst is not None:
        parts.append(tag("p", tag("a", f"Open the worst: {worst.title}", href=f"#scenario-{worst.scenario}")))
    parts += [_scenario(artifacts, row, row is worst) for row in rows]
    return tag("section", parts, id="evaluation")


def _other(rows: list[ScenarioComparison]) -> str:
    """What the baseline is called; without one the columns for it stay empty."""
    return next((row.baseline_name for row in rows if row.baseline is not None), "PID")


def _introduction(rows: list[ScenarioComparison]) -> Markup:
    row, most = rows[0], max(row.episodes for row in rows)
    driver = f"the built engine ({row.rl.driver})" if row.rl.driver else "the policy (not a built engine)"
    if row.rl.driver and not row.rl.engine_episodes:
        driver = f"{row.rl.driver} (not the built engine, which cannot run here)"
    last, least = row.seed + most - 1, min(row.episodes for row in rows)
    seeds = f"seed ({row.seed})" if last == row.seed else f"seeds ({row.seed} to {last})"
    number = counted(most, "episode") if least == most else f"{least} to {most} episodes"
    levels = sorted({look.confidence for each in rows for look in each.looks[-1:]})
    spent = ", ".join(f"{100 * level:.4g} %" for level in levels)
    told = f", those of the differences of returns at {spent} (shared out over the looks)" if spent else ""
    return tag(
        "p",
        f"Plant {row.plant}; {driver} and the baseline each drive {number} per scenario on "
        f"the same {seeds}, so that differences are paired. "
        f"Intervals and bounds are at {100 * row.confidence:.4g} % confidence{told}.",
        class_="soft",
    )


def _overview(rows: list[ScenarioComparison]) -> Markup:
    body = []
    for row in rows:
        pid, difference = row.baseline, row.difference
        interval = "–"
        if difference and difference.low is not None and difference.high is not None:
            interval = f"{figure(difference.low, 3)} … {figure(difference.high, 3)}"
        body.append(
            [
                tag("a", row.title, href=f"#scenario-{row.scenario}"),
                figure(row.rl.return_mean, 5),
                figure(pid.return_mean if pid else None, 5),
                figure(difference.mean if difference else None, 3),
                interval,
                _counted(row.rl),
                _counted(pid) if pid else "–",
                f"{row.rl.violation_probability_upper:.2%}",
            ]
        )
    other = _other(rows)
    header = ("scenario", "return, policy", f"return, {other}", "difference", "interval", "violations, policy",
              f"violations, {other}", "P(violation) at most")  # fmt: skip
    return table(header, body, numeric=range(1, 8), caption="Mean return per episode; violating steps (episodes)")


def _counted(result: ControllerResult) -> str:
    return f"{result.violations} ({result.violating_episodes} of {result.episodes})"


def _forest(rows: list[ScenarioComparison]) -> Markup | None:
    points = []
    for row in rows:
        pid = row.baseline.return_mean if row.baseline else None
        d = row.difference
        if d is None or d.mean is None or not pid:
            continue
        scale = 100.0 / abs(pid)
        low, high = (d.mean if value is None else value for value in (d.low, d.high))
        text = f"{row.title}\n{figure(d.mean, 3)} [{figure(low, 3)}, {figure(high, 3)}] of {figure(pid, 4)}"
        points.append(Row(row.title, d.mean * scale, low * scale, high * scale, text))
    if not points:
        return None
    return forest(
        f"Difference of the return, policy − {_other(rows)}",
        f"% of the mean return of the {_other(rows)}",
        points,
        "Point and interval of each scenario; right of zero the policy is better. The table above has the numbers.",
    )


def _absent(artifacts: Artifacts) -> list[str]:
    wanted = (artifacts.config.evaluation.scenarios if artifacts.config else None) or ()
    there = {row.scenario for row in artifacts.scenarios}
    judged = artifacts.gate.rules if artifacts.gate else ()
    expected = dict.fromkeys([*wanted, *(rule.scenario for rule in judged if rule.scenario)])
    return [name for name in expected if name not in there]


def _scenario(artifacts: Artifacts, row: ScenarioComparison, worst: bool) -> Markup:
    clean = row.rl.violations == 0
    mark = tag("span", "✓ no violation" if clean else f"✗ {row.rl.violations} violating steps",
               class_=f"tag {'pass' if clean else 'fail'}")  # fmt: skip
    return tag(
        "details",
        tag("summary", f"{row.phase}. {row.title} ", mark, tag("span", _line(row), class_="soft line"),
            tag("b", " the worst of these", class_="tag" if clean else "tag fail") if worst else None),
        tag("p", row.description, class_="soft"),
        tag("div", _numbers(row), class_="narrow"),
        objective(row),
        engine_effect(row),
        _constraints(row),
        trajectories(row, artifacts.trajectories(row.scenario), artifacts.worst_seed(row.scenario)),
        class_="scenario worst" if worst else "scenario",
        id=f"scenario-{row.scenario}",
    )  # fmt: skip


def _line(row: ScenarioComparison) -> str:
    """What the summary of a folded scenario says: return against the baseline, the closest limit, tracking."""
    parts = []
    difference, pid = row.difference, row.baseline
    if pid is not None and difference is not None and difference.mean is not None and pid.return_mean:
        share = 100.0 * difference.mean / abs(pid.return_mean)
        parts.append(f"return {share:+.2g} % against the {_other([row])}".replace("-", "−"))
    closest = min((c for c in row.rl.constraints if c.smallest_margin is not None), key=_room, default=None)
    if closest is not None:
        margin = figure(closest.smallest_margin, 3, unit(closest.unit))
        parts.append(f"closest limit {closest.name.replace('_', ' ')}, {margin}")
    behind = [t.variable.replace("_", " ") for t in worse_tracking(row)]
    if behind:
        parts.append(f"tracks worse: {', '.join(behind)}")
    return "; ".join(parts)


def _room(constraint: ConstraintResult) -> float:
    """A margin as a share of the limit, so that constraints of different units can be put in an order."""
    limit = constraint.high if constraint.high is not None else constraint.low
    return (constraint.smallest_margin or 0.0) / (abs(limit) if limit else 1.0)


def _worst_of(rows: list[ScenarioComparison]) -> ScenarioComparison | None:
    """The scenario that a reader should open first: most violations, then most behind the baseline, then closest."""

    def order(row: ScenarioComparison) -> tuple[float, float, float]:
        share = 0.0
        if row.baseline is not None and row.difference is not None and row.baseline.return_mean:
            share = (row.difference.mean or 0.0) / abs(row.baseline.return_mean)
        room = min((_room(c) for c in row.rl.constraints if c.smallest_margin is not None), default=0.0)
        return (-float(row.rl.violations), min(share, 0.0), room)

    return min(rows, key=order, default=None)


def _numbers(row: ScenarioComparison) -> Markup:
    now = row.current.result if row.current else None
    both = (row.rl, row.baseline, *((now,) if now else ()))

    def line(name: str, *values: object) -> list[object]:
        return [name, *values]

    lines = [
        line(
            "return, mean ± std",
            *(_spread(r) if r else "–" for r in both),
        ),
        line("return, worst episode", *(figure(_worst(r), 5) if r else "–" for r in both)),
        line("efficiency, mean", *(figure(r.efficiency_mean, 4) if r else "–" for r in both)),
    ]
    for index, tracking in enumerate(row.rl.tracking):
        pair = [r.tracking[index] if r and index < len(r.tracking) else None for r in both]
        name = f"{title(_title(row, tracking.variable))}, RMSE to set-point"
        shown = [figure(t.rmse, 3, unit(t.unit)) if t else "–" for t in pair]
        lines.append(line(name, _marked(shown[0], tracking in worse_tracking(row), _other([row])), shown[1]))
        shown = [figure(t.worst, 3, unit(t.unit)) if t else "–" for t in pair]
        beyond = tracking.worst is not None and any(t and (t.worst or 0.0) < tracking.worst for t in pair[1:])
        lines.append(line("… largest error", _marked(shown[0], beyond, _other([row])), shown[1]))
        if any(t and t.response for t in pair):  # no lines where no set-point changes and holds
            lines.append(line("… overshoot, mean (worst)", *(_overshoot(t) for t in pair)))
            lines.append(line("… settling time to 2 %, mean (worst)", *(_settling(t) for t in pair)))
    lines += [
        line("violating steps (episodes)", *(_counted(r) if r else "–" for r in both)),
        line("P(an episode violates), at most", *(f"{r.violation_probability_upper:.2%}" if r else "–" for r in both)),
        line("solver failures; actions not finite",
             *(f"{r.solver_failures}; {r.nonfinite_actions}" if r else "–" for r in both)),
        line("episodes ended by", *(_ends(r) if r else "–" for r in both)),
    ]  # fmt: skip
    heads = (
        "",
        f"policy ({row.rl.driver or 'PyTorch'})",
        row.baseline_name or "PID",
        *(("current release",) * bool(now)),
    )
    return table(heads, lines, numeric=range(1, len(heads)))


def _overshoot(tracking: TrackingResult | None) -> str:
    if tracking is None or tracking.response is None:
        return "–"
    r, of = tracking.response, unit(tracking.unit)
    mean = f"{figure(r.overshoot_mean, 3, of)}, {figure(r.overshoot_percent_mean, 3, '%')}"
    return f"{mean} ({figure(r.overshoot_worst, 3, of)}, {figure(r.overshoot_percent_worst, 3, '%')})"


def _settling(tracking: TrackingResult | None) -> str:
    """Where not every episode settled there is no worst time; it says how many did."""
    if tracking is None or tracking.response is None:
        return "–"
    r = tracking.response
    if r.settled_episodes == r.episodes:
        return f"{figure(r.settling_mean_s, 4, 's')} ({figure(r.settling_worst_s, 4, 's')})"
    return f"{figure(r.settling_mean_s, 4, 's')} (settled in {r.settled_episodes} of {r.episodes} episodes)"


def _constraints(row: ScenarioComparison) -> Markup:
    theirs = {c.name: c for c in row.baseline.constraints} if row.baseline else {}
    lines = []
    for ours in row.rl.constraints:
        pid = theirs.get(ours.name)
        state = "missing" if ours.checked == 0 else "pass" if ours.violations == 0 else "fail"
        word = "did not apply" if ours.checked == 0 else "kept" if ours.violations == 0 else f"{ours.violations} steps"
        worst = "–" if ours.seed is None else f"seed {ours.seed}, {figure(ours.time_s, 5)} s"
        lines.append(
            [
                ours.name + (" (catastrophic)" if ours.catastrophic else ""),
                _bounds(ours.low, ours.high, unit(ours.unit)),
                tag("span", word, class_="tag pass" if state == "pass" else "tag fail" if state == "fail" else "soft"),
                figure(ours.smallest_margin, 3, unit(ours.unit)),
                worst,
                figure(pid.smallest_margin, 3, unit(pid.unit)) if pid else "–",
                f"{pid.violations} steps" if pid else "–",
            ]
        )
    other = row.baseline_name or "PID"
    header = ("constraint", "limits", "policy", "smallest margin", "there", f"margin, {other}", f"violations, {other}")
    return table(header, lines, numeric=(3, 5, 6))


def _bounds(low: float | None, high: float | None, of: str) -> str:
    if low is not None and high is not None:
        return f"{figure(low, 5)} … {figure(high, 5)} {of}".rstrip()
    if low is None and high is None:
        return "–"
    return f"≥ {figure(low, 5)} {of}".rstrip() if high is None else f"≤ {figure(high, 5)} {of}".rstrip()


def worse_tracking(row: ScenarioComparison) -> list[TrackingResult]:
    """The set-points that the policy follows worse than the baseline does, by RMSE over the same episodes."""
    theirs = {t.variable: t.rmse for t in row.baseline.tracking} if row.baseline else {}
    return [
        t for t in row.rl.tracking
        if (other := theirs.get(t.variable)) is not None and t.rmse is not None and t.rmse > other
    ]  # fmt: skip


def _marked(text: str, worse: bool, other: str) -> object:
    return tag("span", f"✗ {text}", class_="tag fail", title=f"worse than the {other}") if worse else text


def _worst(result: ControllerResult) -> float | None:
    finite = [value for value in result.returns if value is not None]
    return float(np.min(finite)) if len(finite) == len(result.returns) and finite else None


def _spread(result: ControllerResult) -> str:
    return f"{figure(result.return_mean, 5)} ± {figure(result.return_std, 3)}"


def _ends(result: ControllerResult) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in result.end_reasons.items()) or "–"


def _title(row: ScenarioComparison, variable: str) -> str:
    return next((v["title"] for v in row.variables if v["name"] == variable), variable)
