#!/usr/bin/env python3
"""What is possible: a model-predictive controller, the PID and the policy on the same episodes, term by term.

python -m benchmarks.possible [--checkpoint examples/checkpoints/good] [--episodes 3] [--scenarios NAME ...]

The controller (``benchmarks.predictive``) knows the plant and its state perfectly and nothing of what is to come.
Writes docs/results/possible.{json,md,svg}. Ten minutes of one core.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.predictive import Predictive, Shooting
from benchmarks.results import RESULTS, ROOT, description, table, write
from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.evaluation import BaselineConfig
from gate5.control import open_baseline
from gate5.control.closed_loop import QuickScore, quick
from gate5.control.gains import parse_gains
from gate5.control.memoryless import memoryless
from gate5.control.pid import PIDBaseline
from gate5.plant.base import Controller, objective
from gate5.plant.sco2 import SCO2Plant
from gate5.report.chart import Chart, Series
from gate5.report.standalone import sheet
from gate5.seeds import seeds_of

#: An upper mark less far above the PID than this, in hundredths of the reward per step, is no measure of a share.
LEAST = 0.02


def loops(plant: SCO2Plant) -> PIDBaseline:
    """The PID's loops without memory, which the predictive controller corrects."""
    gains = plant.baseline_gains()
    assert gains is not None
    space, actions = plant.observation_space, plant.action_space
    static = memoryless(parse_gains(gains), plant.integrals, space)
    return PIDBaseline.from_gains(static, space.names, actions.low, actions.high, actions.names)


def scores(plant: SCO2Plant, policy: Controller, scenario: str, episodes: int) -> dict[str, QuickScore]:
    """Each controller on the same episodes of a scenario; two at least, so that they run in arrays."""
    pid = open_baseline(BaselineConfig(), plant)
    assert pid is not None
    names, seeds = [scenario] * episodes, list(seeds_of("report", 1)[:episodes])
    drivers: Mapping[str, Controller] = {
        "PID": pid, "policy": policy, "loops without memory": loops(plant),
        "MPC": Predictive(plant, lambda: loops(plant)),
    }  # fmt: skip
    return {name: quick(plant, driver, names, seeds) for name, driver in drivers.items()}


def measured(plant: SCO2Plant, found: Mapping[str, QuickScore], steps: int) -> dict[str, Any]:
    """Plain numbers: reward per step in hundredths, violating episodes, and every term."""
    rows: dict[str, Any] = {}
    for name, score in found.items():
        terms = {t.name: float(v) for t, v in zip(objective(plant), score.terms.mean(axis=1), strict=True)}
        rows[name] = {
            "reward_percent": 100.0 * float(score.returns.mean()) / steps,
            "violating_episodes": int((score.violations > 0).sum()),
            "terms": terms,
        }
    possible, own = (rows[name]["reward_percent"] - rows["PID"]["reward_percent"] for name in ("MPC", "policy"))
    lawful = not rows["MPC"]["violating_episodes"]
    return {"controllers": rows, "share_won": share(possible, own) if lawful else None}


def share(possible: float, own: float) -> float | None:
    """Of what the MPC gains over the PID, the part that the policy gains; ``None`` where the mark says too little."""
    return own / possible if possible > LEAST else None


def picture(result: Mapping[str, Any]) -> str:
    """What MPC and policy gain over the PID, scenario by scenario, as an SVG file."""
    names = list(result["scenarios"])
    at = np.arange(1.0, len(names) + 1.0)
    series = [
        Series(who, kind, at, np.array([_gain(result["scenarios"][name], who) for name in names]), dots=True)
        for who, kind in (("MPC", "c1"), ("policy", "rl"))
    ]
    axis = "scenario: " + ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
    title = "Gain over the PID"
    return sheet([Chart(title, "% of rated revenue", series, axis, summary=f"{title} in {len(names)} scenarios.")], 1)


def _gain(found: Mapping[str, Any], who: str) -> float:
    rows = found["controllers"]
    return float(rows[who]["reward_percent"] - rows["PID"]["reward_percent"])


def text(plant: SCO2Plant, result: Mapping[str, Any]) -> list[str]:
    """The page."""
    head = ("scenario", "controller", "reward, % of rated revenue", "violating", *(t.name for t in objective(plant)))
    rows, shares = [], []
    gains = ("scenario", "MPC less PID", "policy less PID", "share won")
    for scenario, found in result["scenarios"].items():
        for name, row in found["controllers"].items():
            terms = tuple(f"{row['terms'][t.name]:.4g}" for t in objective(plant))
            rows.append((scenario, name, f"{row['reward_percent']:.3f}", str(row["violating_episodes"]), *terms))
        won = found["share_won"]
        both = (f"{_gain(found, who):+.3f}" for who in ("MPC", "policy"))
        shares.append((scenario, *both, "-" if won is None else f"{100 * won:.0f} %"))
    return [
        f"{result['episodes']} episodes of each scenario, the plant as it is. MPC: cross-entropy shooting over "
        f"{result['shooting']['horizon']} control steps with a perfect model, the true state and no preview, as "
        "corrections of tuned loops without memory. It searches with few samples and a short horizon: a mark of "
        "what is possible, not a bound.",
        "", "Gains in % of rated revenue, and the share of (MPC - PID) that the policy has won; - where the MPC itself "
        f"gains less than {LEAST:g} % or breaks a limit, a negative share where the policy is behind the PID:", "",
        *table(gains, shares), "", "![Gain over the PID](possible.svg)", "",
        "Terms in their units (docs/plant.md), mean over an episode:", "", *table(head, rows),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=str(Path("examples/checkpoints/good")))
    parser.add_argument("--episodes", type=int, default=3, help="of each scenario, two at least")
    parser.add_argument("--scenarios", nargs="*", help="default: all")
    options = parser.parse_args()
    if options.episodes < 2:
        parser.error(f"--episodes is {options.episodes}: give 2 or more")
    plant = SCO2Plant(observation="measured")
    policy = TorchController(read(fetch(options.checkpoint)).module)
    rows: dict[str, Any] = {}
    for name in options.scenarios or plant.scenarios:
        rows[name] = measured(plant, scores(plant, policy, name, options.episodes), plant.scenarios[name].steps)
        print(f"{name}: share won {rows[name]['share_won']}", flush=True)
    result: dict[str, Any] = {
        "machine": description(("numpy", "torch")), "episodes": options.episodes, "checkpoint": options.checkpoint,
        "shooting": asdict(Shooting()), "scenarios": rows,
    }  # fmt: skip
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "possible.svg").write_text(picture(result), encoding="utf-8")
    asked = " ".join(["python -m benchmarks.possible", *sys.argv[1:]])
    page = write("possible", "What is possible", asked, result, text(plant, result))
    print(f"written: {page.relative_to(ROOT)} and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
