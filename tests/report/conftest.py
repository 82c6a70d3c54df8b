"""A run's workspace as the stages leave it: a real evaluation of a small plant, and the other reports beside it."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gate5.config.evaluation import EvaluationConfig
from gate5.config.models import ReleaseConfig
from gate5.evaluation import EvaluationReporter, Reference
from gate5.export import ExportReport, WorstSample
from gate5.gate.judge import judge
from gate5.io import canonical
from gate5.latency.gaps import Gap, GapSeries
from gate5.latency.report import LatencyReport
from gate5.latency.series import Series
from gate5.parity.engine import ParityReport
from gate5.plant.base import Box, Constraint, Float32, Scenario, Step, Variable
from gate5.robustness.matrix import Matrix
from gate5.robustness.monte_carlo import Chance
from gate5.robustness.report import RobustnessReport, SearchResult
from tests.support.browser import chromium
from tests.support.finished_run import Run
from tests.support.small import FEW_EPISODES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: As many scenarios as the shipped plant has, with names as long.
SEVEN = ("Steady state", "Load following", "Ambient disturbance", "Arc-furnace transients", "Load rejection",
         "Cold start-up", "Emergency trip")  # fmt: skip


class Furnace:
    """A first-order furnace: heat in, loss to the surroundings, a gust of cold air in the scenario ``gust``."""

    name = "furnace"
    dt_s = 5.0
    observation_space = Box(np.zeros(2, np.float32), np.full(2, 2e3, np.float32), ("temperature", "wanted"))
    action_space = Box(-np.ones(1, np.float32), np.ones(1, np.float32), ("burner",))
    variables = (
        Variable("temperature", "°C", "Furnace temperature"),
        Variable("temperature_setpoint", "°C", "Set-point of the furnace temperature"),
        Variable("hot", "", "Warmed up"),
        Variable("efficiency", "", "Efficiency"),
    )

    def __init__(self) -> None:
        self.scenarios = {
            "hold": Scenario("hold", 0, 200, "Hold", "The set-point stays."),
            "ramp": Scenario("ramp", 1, 300, "Ramp", "The set-point rises."),
            "gust": Scenario("gust", 2, 400, "Gust <b>", "Cold air & wind come in."),
        }
        self.constraints = (
            Constraint("too_hot", "temperature", None, 760.0, "°C"),
            Constraint("too_cold", "temperature", 665.0, None, "°C", applies="hot"),
            Constraint("melts", "temperature", None, 800.0, "°C", catastrophic=True),
        )

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        self.scenario, self.time = scenario, 0
        self.start = np.array([np.random.default_rng(seed).uniform(600, 690) for seed in seeds])
        self.temperature = self.start.copy()
        self.hot = np.zeros(len(seeds))
        return self._obs()

    def step(self, action: Float32) -> Step:
        heat = 9.0 * (np.clip(np.asarray(action, np.float64)[:, 0], -1, 1) + 1.0)
        cold = 3.0 if self.scenario == "gust" and 150 < self.time < 180 else 0.0
        self.temperature = (
            self.temperature + self.dt_s * (0.5 * heat - 0.0065 * (self.temperature - 20) - 0.02 * cold) / 4
        )
        self.time += 1
        self.hot = np.maximum(self.hot, (self.temperature > 680).astype(float))
        over = np.full(len(self.start), self.time >= self.scenarios[self.scenario].steps)
        variables = {
            "temperature": self.temperature.copy(),
            "temperature_setpoint": self._wanted(),
            "hot": self.hot.copy(),
            "efficiency": np.full(len(self.start), 0.4 - 1e-5 * self.time),
        }
        reward = 1.0 - ((self.temperature - self._wanted()) / 50) ** 2
        return Step(
            self._obs(), reward, self.temperature > 800, over, variables, np.zeros(len(self.start), dtype=np.bool_)
        )

    def _wanted(self) -> Any:
        rise = 0.15 * self.time if self.scenario == "ramp" else 0.0
        return np.full(len(self.start), 700.0 + rise)

    def _obs(self) -> Float32:
        return np.stack([self.temperature, self._wanted()], axis=1).astype(np.float32)


class Proportional:
    """Drives the furnace with a gain and a bias."""

    def __init__(self, gain: float, bias: float = -0.018) -> None:
        self.gain, self.bias = gain, bias

    def reset(self, batch: int) -> None:
        """It has no memory."""

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        error = obs[:, 1:2] - obs[:, 0:1]
        return np.clip(self.gain * error + self.bias, -1, 1).astype(np.float32), None


class Half(Proportional):
    """The same in half precision."""

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        return super().predict(obs)[0].astype(np.float16).astype(np.float32), None


@pytest.fixture(scope="session")
def run() -> Run:
    """Everything that a run leaves behind: evaluation and gate really made, the other numbers written down here."""
    config = ReleaseConfig.parse(
        {"evaluation": {"scenarios": ["hold", "ramp", "gust"]}, "gate": {"rules": FEW_EPISODES}}
    )
    samples = _samples()
    reports: dict[str, Any] = {"export.json": _export(), "parity.json": _parity(), "latency.json": _latency(samples)}
    artifacts = {"config.json": canonical.dumps(config.plain()), "latency.npz": _npz(samples), "policy.onnx": b"onnx"}
    artifacts["engine/policy.engine"] = b"engine" * 1000
    artifacts["engine/engine.json"] = canonical.dumps(_ENGINE)
    artifacts["checkpoint.json"] = canonical.dumps(_CHECKPOINT)
    reporter = EvaluationReporter(Furnace(), EvaluationConfig(episodes=6, bootstrap=200))
    metrics: dict[str, float | None] = {"evaluation.emergency_trip.rl.engine_episodes": 6.0, "evidence.declared": 1.0}
    for name in reporter.scenarios:
        reports[f"evaluation/{name}.json"] = reporter.scenario(
            name, Proportional(0.05), Proportional(0.02), reference=Reference("PyTorch <b>2</b>, FP32", Half(0.05))
        )
        artifacts[f"evaluation/{name}.npz"] = _npz(reporter.trajectories(name))
    nothing = tuple(reporter.scenarios)  # the furnace declares neither instruments nor disturbances
    reports["robustness.json"] = robustness = RobustnessReport(
        (), tuple(SearchResult(name, False) for name in nothing), tuple(Matrix(name, False) for name in nothing)
    )
    for name, report in reports.items():
        artifacts[name] = canonical.dumps(report.to_dict())
        metrics |= report.metrics()
    inapplicable = robustness.inapplicable()
    verdict = judge(config.gate.rules, metrics, reporter.scenarios, config.gate.sla_p99_ms, inapplicable=inapplicable)
    artifacts["gate.json"] = canonical.dumps(verdict.to_dict())
    for stage in ("resolve", "export", "build", "verify", "benchmark", "evaluate-hold", "compare", "gate"):
        artifacts[f"records/{stage}.json"] = b"{}"
    return Run(artifacts)


@pytest.fixture(scope="session")
def whole(run: Run) -> Run:
    """The same with seven scenarios, the worst of many episodes beside the first, and a release."""
    artifacts = {name: data for name, data in run.artifacts.items() if not name.startswith("evaluation/")}
    row = json.loads(run.artifacts["evaluation/ramp.json"])
    with np.load(io.BytesIO(run.artifacts["evaluation/ramp.npz"])) as data:
        arrays = {name: data[name] for name in data.files}
    arrays |= {f"worst/{name[3:]}": 1.01 * values for name, values in arrays.items() if name.startswith("rl/")}
    chances = []
    for phase, title in enumerate(SEVEN):
        name = title.lower().replace(" ", "_").replace("-", "_")
        artifacts[f"evaluation/{name}.json"] = json.dumps(
            row | {"scenario": name, "title": title, "phase": phase}
        ).encode()
        artifacts[f"evaluation/{name}.npz"] = _npz(arrays)
        chances.append(Chance(name, 3000, 5, 1, 0.00158, 0.95, "too_hot", "°C", -0.007, 4711, 890.0, 8, 460.0, 1.3))
    report = RobustnessReport.from_dict(json.loads(run.artifacts["robustness.json"]))
    artifacts["robustness.json"] = canonical.dumps(dataclasses.replace(report, chances=tuple(chances)).to_dict())
    released = {"release_id": "furnace-0123456789ab", "channel": "production", "sequence": 12, "approved_by": "ada"}
    artifacts["release.json"] = canonical.dumps(released)
    return Run(artifacts)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as running:
        yield running


def _samples() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    fast = rng.lognormal(np.log(0.02), 0.1, 5000)
    fast[rng.integers(0, 5000, 20)] *= 20
    return {
        "back_to_back": fast,
        "gap 1 ms": rng.lognormal(np.log(0.03), 0.1, 500),
        "gap 5 ms": rng.lognormal(np.log(0.035), 0.1, 60),
    }


def _latency(samples: dict[str, Any]) -> LatencyReport:
    spent = {name: (values * 1e6).astype(np.int64) for name, values in samples.items()}
    gaps = [Gap(1.0, 500), Gap(5.0, 60)]
    block = {"p50_ms": 0.02, "p99_ms": 0.03, "max_ms": 0.4, "involuntary_switches": 1.0}
    return LatencyReport(
        back_to_back=Series.of(spent["back_to_back"], 0.99), period_s=5.0, confidence=0.99,
        gaps=tuple(GapSeries.of(gap, spent[gap.name], 0.99) for gap in gaps),
        blocks=(block, block), split=None, nonfinite=0, timer_ms=1e-4,
        conditions={"cpu": 1, "policy": "SCHED_OTHER"}, device_before=None, device_after=None,
        engine={"backend": "onnxruntime"}, machine={"cpu": "a CPU"},
    )  # fmt: skip


def _export() -> ExportReport:
    return ExportReport(
        onnx_sha256="a" * 64, onnx_bytes=90_000, opset=17, ir_version=8, policy_sha256="b" * 64,
        vecnormalize_sha256="c" * 64, algorithm="PPO", obs_dim=2, act_dim=1, reference="the policy", compared=6000,
        nonfinite=0, max_abs_error=1.25e-6, by_kind={"rollout": {"compared": 2000, "max_abs_error": 3e-7}},
        worst=WorstSample("corners", (1.5, 2.25), (0.1,), (0.1000012,)), verified=True, versions={"torch": "2.13.0"},
    )  # fmt: skip


def _parity() -> ParityReport:
    kind: dict[str, float | int | None] = {"compared": 2000, "nonfinite": 0, "max_abs_error": 4.5e-8}
    return ParityReport(
        backend="onnxruntime", precision="fp32", batch_max=512, compared=8000, nonfinite=0, max_abs_error=4.5e-8,
        by_kind=dict.fromkeys(("rollout", "interior", "corners", "far"), kind), batch_compared=8000,
        batch_nonfinite=0, batch_max_abs_error=4e-8, batch_spread=0.0, repeats=100, repeat_mismatches=0,
        nan_gives_nan=True, worst=WorstSample("far", (1.0, None), (0.5,), (None,)), reference="ONNX Runtime",
    )  # fmt: skip


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


_ENGINE: dict[str, Any] = {
    "backend": "onnxruntime", "precision": "fp32", "device": "a CPU", "batch_max": 512,
    "versions": {"onnxruntime": "1.32.0"}, "hardware": {},
}  # fmt: skip
_CHECKPOINT: dict[str, Any] = {
    "source": "examples/checkpoints/good", "algorithm": "PPO", "sb3_version": "2.9.2", "obs_dim": 2, "act_dim": 1,
    "layers": [[2, 64], [64, 1]], "parameters": 257, "activation": "tanh", "action_end": "clipped",
    "policy_sha256": "b" * 64, "vecnormalize_sha256": "c" * 64, "notes": [],
    "normaliser": {"clip": 10.0, "epsilon": 1e-8, "count": 1000.0},
}  # fmt: skip
