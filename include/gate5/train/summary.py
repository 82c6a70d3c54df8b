"""``python -m gate5.train.summary CHECKPOINT OUT.md``: a trained policy against the PID, and how it got there.

Writes OUT.md and its learning curve, OUT-curve.svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.candidate import PlantConfig
from gate5.config.evaluation import BaselineConfig, EvaluationConfig
from gate5.control.baseline import open_baseline
from gate5.evaluation import EvaluationReport, EvaluationReporter
from gate5.evaluation.terms import TermResult
from gate5.io import canonical
from gate5.io.files import write_atomically
from gate5.plant.registry import open_plant
from gate5.report.chart import Chart, Series
from gate5.report.standalone import sheet
from gate5.train.run import HALF
from gate5.train.settings import REPORT_SEED


def table(report: EvaluationReport) -> list[str]:
    """One row per scenario: returns, paired difference, violations, turbine inlet tracking, smallest margins."""
    lines = [
        "| scenario | policy | PID | difference | 95 % interval | better in | violations "
        "| upper bound of P(violation) | turbine inlet RMSE (C), policy / PID |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report.scenarios:
        other, difference = row.baseline, row.difference
        if other is None or difference is None:
            continue
        hot = [
            next((_text(t.rmse, ".1f") for t in who.tracking if t.variable == "turbine_inlet_temperature"), "-")
            for who in (row.rl, other)
        ]
        lines.append(
            f"| {row.scenario} | {_text(row.rl.return_mean, '.2f')} | {_text(other.return_mean, '.2f')} "
            f"| {_text(difference.mean, '+.3f')} | {_text(difference.low, '+.3f')} to {_text(difference.high, '+.3f')} "
            f"| {difference.policy_better}/{difference.pairs} | {row.rl.violations} "
            f"| {row.rl.violation_probability_upper:.4f} | {hot[0]} / {hot[1]} |"
        )
    return lines


def terms(report: EvaluationReport) -> list[str]:
    """In what the policy is better and worse: policy less PID of each term, in its unit; marked where it is worse."""
    names = list(dict.fromkeys(term.name for row in report.scenarios for term in row.terms))
    lines = ["| scenario | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for row in report.scenarios:
        found = {term.name: term for term in row.terms}
        lines.append(f"| {row.scenario} | " + " | ".join(_term(found.get(name)) for name in names) + " |")
    return lines


def _term(term: TermResult | None) -> str:
    if term is None or term.difference is None:
        return "-"
    text = f"{term.difference:+.3g}"
    if term.excess is not None and term.excess > 0.0:
        return f"**{text}**"
    return f"{text} (worse)" if term.worse else text


def margins(report: EvaluationReport) -> list[str]:
    """The smallest margin of each constraint over all scenarios, and where it was."""
    found: dict[str, tuple[float, str, str, int | None, float | None]] = {}
    for row in report.scenarios:
        for c in row.rl.constraints:
            if c.smallest_margin is not None and c.smallest_margin < found.get(c.name, (float("inf"),))[0]:
                found[c.name] = (c.smallest_margin, c.unit, row.scenario, c.seed, c.time_s)
    lines = ["| constraint | smallest margin | scenario | seed | time (s) |", "|---|---:|---|---:|---:|"]
    return lines + [
        f"| {name} | {m:.3g} {'' if unit == '1' else unit} | {scenario} | {seed} | {time:.0f} |"
        for name, (m, unit, scenario, seed, time) in found.items()
        if time is not None
    ]


def curve(record: dict[str, Any]) -> list[str]:
    """The validation after each chunk of training."""
    lines = ["| step | by | violations | gain (%) | kept |", "|---:|---|---:|---:|---|"]
    return lines + [
        f"| {row['steps']} | {by} | {row['violations']} | {100 * row['gain']:+.3f} | {'yes' if row['kept'] else 'no'} |"
        for row, by in zip(record["log"], _makers(record), strict=True)
    ]


def _makers(record: dict[str, Any]) -> list[str]:
    """What made each policy of the log; earlier records say it only by their order."""
    log = record["log"]
    usual = ["PPO"] * len(log)
    if record["polish"]:
        usual[-1] = "search"
    made = [str(row.get("by", other)) for row, other in zip(log, usual, strict=True)]
    return ["start", *made[1:]]


def curve_picture(record: dict[str, Any]) -> str:
    """The same as an SVG file: gain and violations, a dot per validation.

    Against environment steps where PPO made some; else against the number of the validation.
    """
    log, makers = record["log"], _makers(record)
    stepped = record["steps"] > 0
    at = np.array([row["steps"] / 1000.0 if stepped else i for i, row in enumerate(log)], dtype=np.float64)
    if stepped:
        for i in range(1, len(log)):  # what begins at the best policy kept is drawn beside the curve of PPO
            if makers[i] != "PPO":
                at[i] = at[i - 1] + 0.01 * at.max()
    charts = []
    for title, unit, values in (
        ("Gain over the PID", "%", [100.0 * row["gain"] for row in log]),
        ("Violations", "violating steps", [row["violations"] for row in log]),
    ):
        y = np.array(values, dtype=np.float64)
        series = []
        for maker, colour in (("PPO", "rl"), ("gradient", "c4"), (HALF, "c5"), ("ascent", "c2"), ("search", "c3")):
            rows = np.array([m in (maker, "start") if maker == _first(makers) else m == maker for m in makers])
            if rows.any():
                series.append(Series(_NAMES[maker], colour, at[rows], y[rows], dots=True))
        axis = "environment steps, thousands" if stepped else "validation"
        charts.append(Chart(title, unit, series, axis, summary=f"{len(log)} validations during training."))
    return sheet(charts)


_NAMES = {
    "PPO": "PPO",
    "gradient": "gradient through the plant",
    HALF: "made to bear half precision",
    "ascent": "ascent on the output layer",
    "search": "search over the output layer",
}


def _first(makers: Sequence[str]) -> str:
    return next((m for m in makers if m != "start"), "PPO")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m gate5.train.summary", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=REPORT_SEED)
    options = parser.parse_args(arguments)
    record = canonical.loads((options.checkpoint / "train.json").read_bytes())
    plant = open_plant(PlantConfig(id=record["plant"]))
    policy = TorchController(read(fetch(str(options.checkpoint))).module)
    config = EvaluationConfig(episodes=options.episodes, seed=options.seed)
    report = EvaluationReporter(plant, config).run(policy, open_baseline(BaselineConfig(), plant))
    picture = options.out.with_name(f"{options.out.stem}-curve.svg")
    asked = "".join(
        f" --{name} {value}"
        for name, value, usual in (("episodes", options.episodes, 200), ("seed", options.seed, REPORT_SEED))
        if value != usual
    )
    lines = [
        f"# {options.checkpoint.name} against the tuned PID", "",
        "Made by "
        f"`python -m gate5.train.summary {options.checkpoint.as_posix()} {options.out.as_posix()}{asked}`; "
        f"{options.episodes} episodes of each scenario, seeds from {options.seed}, "
        "which neither training nor tuning draws.",
        f"The policy was made by `{record['command']}`.", "", *table(report), "",
        "Policy less PID, term by term (units: docs/plant.md; less is better, but for `specification`). Bold: not",
        "shown to be no worse than the term's margin; (worse): all of the interval on the bad side, within the margin.",
        "", *terms(report), "",
        "Smallest margins of the policy:", "", *margins(report), "",
        "Training, judged on validation episodes; the gain over the PID is the mean over scenarios plus the worst one:",
        "", f"![Learning curve]({picture.name})", "", *curve(record), "", *_search(record),
    ]  # fmt: skip
    write_atomically(picture, curve_picture(record).encode())
    write_atomically(options.out, "\n".join(lines).encode())


def _search(record: dict[str, Any]) -> list[str]:
    made = ["`gradient`: all weights, by gradients through the plant."] if record.get("gradient") else []
    if record.get("half"):
        before, after = (
            " / ".join(f"{2.0**-11 * v:.2g}" for v in record["half"][name]) for name in ("before", "after")
        )
        made.append(f"`{HALF}`: what rounding to it does to the actions at most, {before} before and {after} after.")
    if record["polish"] or record.get("ascent"):
        made.append("`ascent` and `search`: over the output layer, from the best policy kept before.")
    return [" ".join(made), ""] if made else []


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    main()
