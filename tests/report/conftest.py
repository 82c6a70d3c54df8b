"""A run's workspace as the stages leave it: a real evaluation of a small plant, and the other reports beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.config import EvaluationConfig, ReleaseConfig
from gate5.evaluation import EvaluationReporter, ScenarioComparison
from gate5.gate import judge
from gate5.plant.base import Box, Constraint, Float32, Scenario, Step, Variable
from gate5.workspace import DirectoryWorkspace


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
        self.temperature = self.temperature + self.dt_s * (0.5 * heat - 0.0065 * (self.temperature - 20) - 0.02 * cold) / 4
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


@pytest.fixture(scope="session")
def comparisons() -> list[ScenarioComparison]:
    """Three scenarios of the furnace, really run."""
    reporter = EvaluationReporter(Furnace(), EvaluationConfig(episodes=6, bootstrap=200))
    return [reporter.scenario(name, Proportional(0.05), Proportional(0.02)) for name in ("hold", "ramp", "gust")]


@pytest.fixture
def config() -> ReleaseConfig:
    return ReleaseConfig()
