"""Observations of all scenarios are collected in one batch: those, and in the order, of one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig
from gate5.control import open_baseline
from gate5.errors import EvaluationError
from gate5.evaluation.observations import collect_observations
from gate5.plant.base import Float32, Step
from gate5.plant.sco2 import SCO2Plant


class OneScenario:
    """A plant that can start only one scenario at a time."""

    def __init__(self, inner: SCO2Plant) -> None:
        self.inner, self.begun = inner, list[str]()
        self.name, self.scenarios, self.action_space = inner.name, inner.scenarios, inner.action_space

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        self.begun.append(scenario)
        return self.inner.reset(scenario, seeds)

    def step(self, action: Float32) -> Step:
        return self.inner.step(action)


class Counter:
    """A policy with a state: how many observations its place in the batch has had since the episode's start."""

    class Rows:
        given: Float32

    def __init__(self) -> None:
        self.rows: Any = self.Rows()
        self.count = np.zeros(0, np.float32)

    def reset(self, batch: int) -> None:
        self.count = np.zeros((batch, 1), np.float32)

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        self.rows.given = np.concatenate([obs, self.count], axis=1)
        self.count = self.count + 1
        return np.full((len(obs), 4), 0.5, np.float32), None


def test_all_scenarios_at_once_are_those_one_after_the_other() -> None:
    plant = SCO2Plant()
    alone = OneScenario(SCO2Plant())
    baseline = open_baseline(BaselineConfig(), plant)
    found = [collect_observations(each, [baseline], 700) for each in (plant, alone)]  # type: ignore[arg-type, list-item]
    assert alone.begun == list(plant.scenarios)
    assert found[0].shape[1] == plant.observation_space.size
    assert len(found[0]) >= 700
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_a_state_is_its_own_episodes() -> None:
    """Each scenario's rows begin with a new state, and it counts on while the baseline drives."""
    plant, policy = SCO2Plant(), Counter()
    baseline = open_baseline(BaselineConfig(), plant)
    rows = collect_observations(plant, [baseline, policy], 10**6, policy=policy)  # type: ignore[list-item]
    steps = [plant.scenarios[name].steps for name in plant.scenarios]
    starts = np.flatnonzero(rows[:, -1] == 0.0)
    assert len(starts) == 2 * 2 * len(steps), "two episodes of each scenario by each driver"
    assert rows[:, -1].max() == max(steps) - 1
    ahead = np.diff(rows[:, -1])
    assert set(ahead[ahead >= 0]) == {0.0, 1.0}, "two episodes side by side, in the order of time"
    assert (ahead < 0).sum() == 2 * len(steps) - 1


def test_nothing_finite_is_an_error() -> None:
    plant = SCO2Plant()

    class Blind(OneScenario):
        def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
            return np.full_like(super().reset(scenario, seeds), np.nan)

        def step(self, action: Float32) -> Step:
            step = super().step(np.full_like(action, 0.5))
            step.obs[:], step.truncated[:] = np.nan, True
            return step

    with pytest.raises(EvaluationError, match="no finite observation"):
        collect_observations(Blind(plant), [Counter()], 10)  # type: ignore[arg-type]
