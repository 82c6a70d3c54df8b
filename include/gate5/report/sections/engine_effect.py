"""What the engine's arithmetic changes in closed loop, for one scenario."""

from __future__ import annotations

from gate5.evaluation import EngineEffect, ScenarioComparison
from gate5.report.html import Markup, figure, table, tag, title, unit


def engine_effect(row: ScenarioComparison) -> Markup | None:
    """A line of text and a small table; nothing where no reference was driven."""
    effect = row.reference
    if effect is None:
        return None
    scale = abs(row.rl.return_mean) if row.rl.return_mean else None
    share = None if scale is None or effect.return_abs_max is None else 100.0 * effect.return_abs_max / scale
    lines = [
        ["return, mean difference", figure(effect.return_mean, 3), ""],
        [
            "return, largest difference",
            figure(effect.return_abs_max, 3),
            _joined(f"seed {effect.seed}", "" if share is None else f"{figure(share, 2)} % of the mean return"),
        ],
        ["action, largest difference", figure(effect.action_abs_max, 3), ""],
        ["variable that differs most beside its range", *_variable(row, effect)],
        ["episodes that end at another step", str(effect.lengths_differ), f"of {effect.episodes}"],
        ["violating steps, reference", str(effect.reference_violations), f"engine: {row.rl.violations}"],
    ]
    head = f"The same episodes with the policy in {effect.reference}: the engine less the reference, in closed loop."
    return tag(
        "div",
        tag("p", head, class_="soft"),
        table(("engine against reference", "difference", "where"), lines, numeric=(1,)),
        class_="narrow",
    )


def _variable(row: ScenarioComparison, effect: EngineEffect) -> tuple[str, str]:
    if not effect.variable:
        return "0", "no variable differs"
    name = next((v["title"] for v in row.variables if v["name"] == effect.variable), effect.variable)
    size = figure(effect.variable_abs_max, 3, unit(effect.unit))
    if effect.variable_abs_max is None:
        size = "not finite in one of the two"
    return size, _joined(title(name), f"seed {effect.variable_seed}, {figure(effect.variable_time_s, 5)} s")


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
