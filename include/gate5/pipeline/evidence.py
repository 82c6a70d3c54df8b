"""The numbers that Gate 5 judges, put together from a run's or a release's files, with what there is to say of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from gate5.evaluation import EvaluationReport
from gate5.evaluation.explain import violation_notes
from gate5.pipeline import awaiting, measurements
from gate5.robustness.report import RobustnessReport

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.pipeline.awaiting import Files

BOUND = "violation_probability_upper"


@dataclass(frozen=True)
class Evidence:
    """What is judged.

    Attributes:
        metrics: flat names to measured numbers; ``None``: not measured.
        notes: metric to what explains its number, or why there is none.
        inapplicable: metric to why there is nothing to measure.
        awaits: gives a sentence for a metric that only the engine's own device can give; ``None``: nothing awaits.
        rows: the comparison by scenario.
    """

    metrics: dict[str, float | None]
    notes: dict[str, str]
    inapplicable: dict[str, str]
    awaits: Callable[[str], str | None] | None
    rows: EvaluationReport


def evidence(files: Files, config: ReleaseConfig) -> Evidence:
    """Read what was measured and what it says.

    Args:
        config: of the run that measured.
    """
    rows = EvaluationReport.from_dict(files.read_json("comparison.json"))
    worst = RobustnessReport.from_dict(files.read_json("robustness.json"))
    metrics = measurements.metrics(files) | rows.metrics() | worst.metrics()
    declared = bool(worst.about.get("declared"))
    metrics["evidence.quick"] = float(config.evaluation.quick)
    metrics["evidence.declared"] = float(declared or config.evaluation.accept_undeclared)
    awaits = awaiting.rule_notes(files)
    if awaits is not None:
        metrics = awaiting.without_episodes(metrics)
    names = [row.scenario for row in rows.scenarios]
    unbounded = _unbounded(metrics, names, config, declared)
    notes = _too_few(metrics, names) | violation_notes(rows) | worst.notes() | measurements.notes(files)
    inapplicable = worst.inapplicable() | rows.inapplicable() | unbounded
    return Evidence(metrics | dict.fromkeys(unbounded), notes, inapplicable, awaits, rows)


def _unbounded(
    metrics: Mapping[str, float | None], scenarios: list[str], config: ReleaseConfig, declared: bool
) -> dict[str, str]:
    """The bounds on a violation's chance that a run was never meant to reach, to what it did show.

    A run with ``--quick`` drives too few episodes to bound the chance, and a plant that declares no disturbances has no
    ranges to draw many from; ``full_evidence`` and ``disturbances_declared`` are the rules about that. An episode that
    violates counts all the same.
    """
    told = {}
    for name in scenarios:
        episodes, bound = _clean(metrics, name)
        if bound is None or (declared and not config.evaluation.quick):
            continue
        why = "the plant declares no disturbances" if not declared else "a quick run drives too few episodes"
        told[f"evaluation.{name}.rl.{BOUND}"] = f"{why}: {episodes:,} without a violation show {bound:.3g} and no less"
    return told


def _too_few(metrics: Mapping[str, float | None], scenarios: list[str]) -> dict[str, str]:
    """What a bound is told that no violation, but the number of episodes keeps up."""
    told = {}
    for name in scenarios:
        episodes, bound = _clean(metrics, name)
        if bound is not None:
            told[f"evaluation.{name}.rl.{BOUND}"] = (
                f"{episodes:,} episodes without a violation show no less: for 0.001 at 95 % it takes "
                f"{_NEEDED:,}, so raise evaluation.monte_carlo, or make the rule advisory (veto: false)"
            )
    return told


#: Episodes without a violation after which Clopper and Pearson's bound at 95 % lies below one in a thousand.
_NEEDED = int(log(0.05) / log(1 - 0.001)) + 1


def _clean(metrics: Mapping[str, float | None], scenario: str) -> tuple[int, float | None]:
    """How many episodes a bound comes from and the bound, where none of them violated; else ``None`` for the bound."""
    start = f"evaluation.{scenario}.rl"
    paired, violating = metrics.get(f"{start}.episodes"), metrics.get(f"{start}.violations")
    many = metrics.get(f"{start}.monte_carlo.episodes")
    also = metrics.get(f"{start}.monte_carlo.violating_episodes") if many else 0.0
    if violating or also or violating is None:
        return 0, None
    return int(many or paired or 0), metrics.get(f"{start}.{BOUND}")
