#!/usr/bin/env python3
"""Latency of one policy, host to host at batch 1: the ONNX Runtime engine against what else could run it on a CPU.

python -m benchmarks.cpu_latency [--checkpoint examples/checkpoints/good] [--rounds 20]

All runners take the same real observations and give the same actions (checked first), one after the other within each
round, so that a change of the machine's speed meets all of them. Writes docs/results/latency-cpu.{json,md}.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.results import ROOT, description, table, write
from gate5.checkpoint import Checkpoint, fetch, read
from gate5.checkpoint.reference import normalise
from gate5.config.candidate import ExportConfig, PlantConfig
from gate5.config.engine import EngineConfig
from gate5.engine import build, load
from gate5.engine.base import Float32
from gate5.evaluation.observations import collect_observations
from gate5.export import ONNXExporter
from gate5.latency.series import Series
from gate5.latency.thread import measuring_thread, ordinary_scheduling
from gate5.plant.registry import open_plant

Runner = Callable[[Float32], Float32]
ENGINE = "gate5 engine, ONNX Runtime"
BLOCK = 500


class ModuleController:
    """Drives the plant with the torch module, to collect observations."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def reset(self, batch: int) -> None: ...

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        return self.runner(obs), None


def torch_runner(checkpoint: Checkpoint) -> Runner:
    """The exported module in eager PyTorch on one thread."""
    import torch

    torch.set_num_threads(1)
    module = checkpoint.module

    def run(obs: Float32) -> Float32:
        with torch.inference_mode():
            result: Float32 = module(torch.from_numpy(obs)).numpy()
            return result

    return run


def sb3_runner(checkpoint: Checkpoint) -> Runner | None:
    """``predict(normalize_obs(obs), deterministic=True)``, what most people run."""
    policy = checkpoint.network
    if policy is None:
        return None
    normaliser = checkpoint.normaliser

    def run(obs: Float32) -> Float32:
        result: Float32 = policy.predict(normalise(normaliser, obs), deterministic=True)[0]
        return result

    return run


def numpy_runner(checkpoint: Checkpoint) -> Runner:
    """The same function in float32 NumPy, weights laid out beforehand."""
    policy, normaliser = checkpoint.policy, checkpoint.normaliser
    activations: dict[str | None, Callable[[Any], Any]] = {
        "Tanh": np.tanh,
        "ReLU": lambda x: np.maximum(x, 0, out=x),
        None: lambda x: x,
    }
    layers = [
        (np.ascontiguousarray(layer.weight.T), layer.bias, activations[layer.activation]) for layer in policy.layers
    ]
    low, high = policy.low, policy.high
    if normaliser is not None:
        mean = normaliser.mean.astype(np.float32)
        rest = (normaliser.mean - mean).astype(np.float32)
        scale = np.sqrt(normaliser.var + normaliser.epsilon).astype(np.float32)
        clip = np.float32(normaliser.clip)

    def run(obs: Float32) -> Float32:
        x = obs
        if normaliser is not None:
            x = np.minimum(np.maximum(((obs - mean) - rest) / scale, -clip), clip)
        for weight, bias, activation in layers:
            x = x @ weight
            if bias is not None:
                x += bias
            x = activation(x)
        if policy.squash:
            return low + np.float32(0.5) * (np.tanh(x) + np.float32(1)) * (high - low)
        return np.minimum(np.maximum(x, low), high)

    return run


def measure(runners: dict[str, Runner], obs: Float32, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nanoseconds per inference, ``[rounds, BLOCK]`` each, and the conditions."""
    rows = [obs[index : index + 1] for index in range(len(obs))]
    spent = {name: np.zeros((rounds, BLOCK), np.int64) for name in runners}
    clock = time.perf_counter_ns
    with measuring_thread() as thread:
        for number in range(-2, rounds):  # two rounds of warm-up
            for name, run in runners.items():
                with ordinary_scheduling(thread):
                    time.sleep(0.01)
                into = spent[name][max(number, 0)]
                for index in range(BLOCK):
                    row = rows[(index + number * BLOCK) % len(rows)]
                    begin = clock()
                    run(row)
                    into[index] = clock() - begin
        return spent, {"cpu": thread.cpu, "scheduling": thread.scheduling}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=str(ROOT / "examples" / "checkpoints" / "good"))
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    checkpoint = read(fetch(Path(options.checkpoint).absolute()))
    eager = torch_runner(checkpoint)
    obs = collect_observations(open_plant(PlantConfig()), [ModuleController(eager)], 2000)
    onnx, exported = ONNXExporter(ExportConfig()).export(checkpoint, obs)
    built = build(onnx, EngineConfig(backend="onnxruntime"))
    with load(built.blob, built.metadata) as engine:
        runners: dict[str, Runner] = {
            ENGINE: engine.infer,
            "NumPy, float32": numpy_runner(checkpoint),
            "PyTorch eager": eager,
        }
        sb3 = sb3_runner(checkpoint)
        if sb3 is not None:
            runners["Stable-Baselines3 predict"] = sb3
        expected = checkpoint.reference_numpy(obs)
        errors = {name: float(np.abs(_all(run, obs) - expected).max()) for name, run in runners.items()}
        wrong = [f"{name} ({error:g})" for name, error in errors.items() if not error < 1e-4]
        if wrong:
            sys.exit(f"Not the same policy, so nothing is timed: {', '.join(wrong)}.")
        spent, conditions = measure(runners, obs, options.rounds)
    report(checkpoint, spent, errors, conditions, exported.max_abs_error)
    return 0


def _all(run: Runner, obs: Float32) -> Float32:
    return np.concatenate([run(obs[index : index + 1]) for index in range(len(obs))])


def report(
    checkpoint: Checkpoint, spent: dict[str, Any], errors: dict[str, float], conditions: dict[str, Any], onnx: Any
) -> None:
    """Print the table and write the result."""
    engine = np.median(spent[ENGINE], axis=1)
    runners: dict[str, Any] = {}
    rows = []
    for name, samples in spent.items():
        series = Series.of(samples.ravel(), 0.99)
        ratios = np.median(samples, axis=1) / engine
        runners[name] = {
            **asdict(series),
            "max_abs_error": errors[name],
            "ratio_median": float(np.median(ratios)),
            "ratio_low": float(ratios.min()),
            "ratio_high": float(ratios.max()),
        }
        times = (series.p50_ms, series.p95_ms, series.p99_ms, series.p99_upper_ms or float("nan"), series.max_ms)
        rows.append(
            (name, *(f"{1e3 * value:.1f}" for value in times),
             f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})", f"{errors[name]:.1e}")
        )  # fmt: skip
    found = checkpoint.describe()
    layers = "-".join(str(size) for size in [found["layers"][0][0], *(layer[1] for layer in found["layers"])])
    result = {
        "machine": description(("onnxruntime", "torch", "stable-baselines3")),
        "conditions": conditions,
        "policy": {key: found[key] for key in ("algorithm", "layers", "activation", "policy_sha256")},
        "onnx_max_abs_error": onnx,
        "samples_per_runner": int(next(iter(spent.values())).size),
        "rounds": len(engine),
        "runners": runners,
    }
    head = ("batch 1, microseconds", "p50", "p95", "p99", "p99 bound", "max", "times the engine's median", "error")
    text = [
        f"Policy {found['algorithm']} {layers}, normaliser and clip included, real observations of the sCO2 plant, one "
        f"thread, {conditions['scheduling']}. {result['samples_per_runner']} inferences per runner in {len(engine)} "
        "rounds; within a round the runners follow each other. *p99 bound*: upper confidence bound (99 %, "
        "distribution-free). *Times the engine's median*: median over the rounds, smallest and largest in brackets. "
        "*Error*: largest difference of an action from the float64 reference.",
        "",
        *table(head, rows),
    ]
    page = write("latency-cpu", "Latency on a CPU", "python -m benchmarks.cpu_latency", result, text)
    print("\n".join(text))
    print(f"\nwritten: {page.relative_to(ROOT)} and .json")


if __name__ == "__main__":
    sys.exit(main())
