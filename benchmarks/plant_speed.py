#!/usr/bin/env python3
"""Speed of the sCO2 plant and of a full evaluation, on one core.

python -m benchmarks.plant_speed [--checkpoint examples/checkpoints/good] [--repeats 7]

Medians over repetitions, with the fastest and the slowest beside them: on a shared machine the spread says how much the
others took. Writes docs/results/plant-speed.{json,md}.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.results import ROOT, description, table, write
from gate5 import engine
from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.candidate import ExportConfig
from gate5.config.engine import EngineConfig
from gate5.config.evaluation import BaselineConfig, EvaluationConfig
from gate5.control import open_baseline
from gate5.evaluation import EvaluationReport, EvaluationReporter
from gate5.evaluation.observations import collect_observations
from gate5.export import ONNXExporter
from gate5.plant.sco2 import SCO2Plant

BATCH, EPISODES = 350, 50
TARGETS = {"vectorised": 300_000.0, "single_us": 100.0, "evaluation_s": 10.0}


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": float(np.median(values)), "low": min(values), "high": max(values)}


def vectorised(repeats: int, steps: int = 110) -> list[float]:
    """Environment steps per second: 350 episodes, 50 of each scenario mixed in one batch, constant actions.

    ``steps`` is less than the shortest scenario, so that every episode is alive at every step.
    """
    plant = SCO2Plant()
    names = [name for name in plant.scenarios for _ in range(BATCH // len(plant.scenarios))]
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (BATCH, plant.action_space.size)).astype(np.float32)
    rates = []
    for repeat in range(repeats + 1):  # the first is a warm-up
        plant.reset_mixed(names, range(1000 * repeat, 1000 * repeat + BATCH))
        alive = 0
        begin = time.perf_counter()
        for _ in range(steps):
            step = plant.step(actions)
            alive += BATCH - int(np.count_nonzero(step.terminated))
        rates.append(alive / (time.perf_counter() - begin))
    return rates[1:]


def single(repeats: int, steps: int = 110) -> list[float]:
    """Microseconds of one step of one environment, mean over all scenarios' first steps."""
    plant = SCO2Plant()
    action = np.zeros((1, plant.action_space.size), np.float32)
    times = []
    for repeat in range(repeats + 1):
        spent, taken = 0.0, 0
        for name in plant.scenarios:
            plant.reset(name, [repeat])
            begin = time.perf_counter()
            for _ in range(steps):
                plant.step(action)
            spent, taken = spent + time.perf_counter() - begin, taken + steps
        times.append(1e6 * spent / taken)
    return times[1:]


def gymnasium_env(repeats: int, steps: int = 110) -> list[float]:
    """Microseconds of ``SCO2Env.step``, which adds ``info`` with every variable."""
    from gate5.plant.sco2.env import SCO2Env

    env = SCO2Env("load_following")
    action = np.zeros(4, np.float32)
    times = []
    for repeat in range(repeats + 1):
        env.reset(seed=repeat)
        begin = time.perf_counter()
        for _ in range(steps):
            env.step(action)
        times.append(1e6 * (time.perf_counter() - begin) / steps)
    return times[1:]


def evaluations(checkpoint: str, repeats: int) -> tuple[list[float], EvaluationReport]:
    """Seconds of RL (ONNX Runtime engine) and PID over seven scenarios x 50 episodes.

    A release also drives the policy in PyTorch, to see what the engine changes; that is not counted here.
    """
    plant, policy = SCO2Plant(), read(fetch(checkpoint))
    observations = collect_observations(plant, [TorchController(policy.module)], 1000)
    onnx, _ = ONNXExporter(ExportConfig()).export(policy, observations)
    built = engine.build(onnx, EngineConfig(backend="onnxruntime"))
    seconds = []
    with engine.load(built.blob, built.metadata) as loaded:
        for _ in range(repeats):
            reporter = EvaluationReporter(plant, EvaluationConfig(episodes=EPISODES))
            begin = time.perf_counter()
            report = reporter.run(engine.EngineController(loaded), open_baseline(BaselineConfig(), plant))
            seconds.append(time.perf_counter() - begin)
    return seconds, report


def row(name: str, values: list[float], form: Callable[[float], str], target: str, met: bool) -> tuple[str, ...]:
    """One line of the table."""
    found = spread(values)
    numbers = (form(found[key]) for key in ("median", "low", "high"))
    return (name, *numbers, target, "yes" if met else "no")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=str(ROOT / "examples" / "checkpoints" / "good"))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rates, alone, env = vectorised(options.repeats), single(options.repeats), gymnasium_env(options.repeats)
    seconds, report = evaluations(str(Path(options.checkpoint).absolute()), max(3, options.repeats // 2))
    taken = sum(r.steps for found in report.scenarios for r in (found.rl, found.baseline) if r is not None)
    rows = [
        row(f"vectorised, {BATCH} episodes, seven scenarios mixed: steps/s", rates, "{:,.0f}".format,
            f">= {TARGETS['vectorised']:,.0f}", float(np.median(rates)) >= TARGETS["vectorised"]),
        row("one environment: steps/s", [1e6 / value for value in alone], "{:,.0f}".format,
            f"> {1e6 / TARGETS['single_us']:,.0f}", float(np.median(alone)) < TARGETS["single_us"]),
        row("one environment: microseconds per step", alone, "{:.1f}".format, f"< {TARGETS['single_us']:.0f}",
            float(np.median(alone)) < TARGETS["single_us"]),
        row("SCO2Env.step with its info: microseconds", env, "{:.1f}".format, f"< {TARGETS['single_us']:.0f}",
            float(np.median(env)) < TARGETS["single_us"]),
        row(f"evaluation, policy and PID, {len(report.scenarios)} scenarios x {EPISODES} episodes: seconds", seconds,
            "{:.2f}".format, f"< {TARGETS['evaluation_s']:.0f}", float(np.median(seconds)) < TARGETS["evaluation_s"]),
    ]  # fmt: skip
    result: dict[str, Any] = {
        "machine": description(("numpy", "onnxruntime", "torch", "gymnasium")),
        "repeats": options.repeats,
        "targets": TARGETS,
        "vectorised_steps_per_s": {"batch": BATCH, **spread(rates)},
        "single_us_per_step": spread(alone),
        "gymnasium_us_per_step": spread(env),
        "evaluation_s": {"episodes": EPISODES, "steps": taken, **spread(seconds)},
    }
    text = [
        f"One process, one thread. The evaluation takes {taken:,} checked steps (fewer where an episode ends early) "
        "through the ONNX Runtime engine and the PID, every constraint checked at each.",
        "",
        *table(("what", "median", "smallest", "largest", "target", "met"), rows),
    ]
    page = write("plant-speed", "Speed of the plant", "python -m benchmarks.plant_speed", result, text)
    print("\n".join(text))
    print(f"\nwritten: {page.relative_to(ROOT)} and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
