"""The experiment moves every actuator apart from what the controller does; its forecast is the better one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gate5.config.candidate import PlantConfig
from gate5.config.evaluation import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.evaluation import envelope
from gate5.evaluation.excitation import AMPLITUDE, LONGEST, excite
from gate5.evaluation.forecast import identify
from gate5.plant.base import Controller, Float32, Plant
from gate5.plant.registry import open_plant
from gate5.seeds import seeds_of


class Still:
    """Applies the middle of every actuator's range."""

    def __init__(self) -> None:
        self.asked: list[Float32] = []

    def reset(self, batch: int) -> None:
        self.asked = []

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        self.asked.append(obs)
        return np.zeros((len(obs), 4), np.float32), None


@pytest.fixture(scope="module")
def plant() -> Plant:
    return open_plant(PlantConfig())


def test_no_baseline_no_experiment(plant: Plant) -> None:
    assert excite(plant, None, "steady_state", 3) == {}


def test_every_actuator_has_a_signal_of_its_own(plant: Plant) -> None:
    found = excite(plant, Still(), "steady_state", 3)
    action, number = found["action2"], found["episode2"]
    assert set(number.tolist()) == {0, 1, 2}
    assert len(action) == len(found["obs2"]) == len(number)
    assert np.abs(action).max() <= 2 * AMPLITUDE + 1e-6  # the range is 2 wide
    assert np.abs(action).max() > 1.5 * AMPLITUDE, "it reaches for the whole of what is allowed"
    for episode in range(3):
        mine = action[number == episode]
        together = np.corrcoef(mine.T) - np.eye(4)
        assert np.abs(together).max() < 0.5, "no two actuators move together"
        for one in mine.T:
            changes = np.flatnonzero(np.diff(one))
            assert np.diff(changes).max() <= LONGEST
    assert not np.array_equal(action[number == 0], action[number == 1])
    again = excite(plant, Still(), "steady_state", 3)
    np.testing.assert_array_equal(again["action2"], action)


def test_it_is_on_seeds_that_judge_nothing(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    reset = plant.reset

    def watched(name: str, seeds: list[int]) -> Float32:
        used.extend(seeds)
        return reset(name, seeds)

    monkeypatch.setattr(plant, "reset", watched)
    excite(plant, Still(), "steady_state", 2)
    assert used == [seeds_of("identification").start, seeds_of("identification").start + 1]


def test_an_episode_that_ends_adds_nothing_more(plant: Plant) -> None:
    class Wild(Still):
        def predict(self, obs: Float32) -> tuple[Float32, None]:
            return np.full((len(obs), 4), 1.0, np.float32), None

    found = excite(plant, Wild(), "cold_startup", 2)
    steps = plant.scenarios["cold_startup"].steps
    assert 0 < len(found["obs2"]) < 2 * steps
    for episode in (0, 1):
        obs = found["obs2"][found["episode2"] == episode]
        assert np.isfinite(obs).all()
        assert (obs[1:] != obs[:-1]).any(axis=1).all(), "the last observation is not there again and again"


def test_the_forecast_that_knows_the_experiment_is_the_better_one(plant: Plant) -> None:
    """Three periods ahead in episodes that neither saw, while the actuators do what no judged controller did."""
    baseline = open_baseline(BaselineConfig(), plant)
    assert baseline is not None
    watched = envelope.Watched(baseline)
    judged = _drive(plant, watched, 20_000)
    experiment = excite(plant, baseline, "emergency_trip", 3)
    low, high = np.full(36, -1e9), np.full(36, 1e9)
    with_it, without = (identify([judged | more], low, high) for more in (experiment, {}))
    assert with_it is not None
    assert without is not None
    test = excite(plant, baseline, "emergency_trip", 4)
    mine = test["episode2"] == 3  # of another seed and another signal
    obs, action = test["obs2"][mine], test["action2"][mine]
    inlet = plant.observation_space.names.index("compressor_inlet_temperature")
    wrong = []
    for forecast in (with_it, without):
        ahead = [forecast.ahead(obs[t], list(action[t : t + 3]))[inlet] - obs[t + 3, inlet] for t in range(60, 200)]
        wrong.append(float(np.sqrt(np.mean(np.square(ahead)))))
    assert wrong[0] < 0.7 * wrong[1]


def _drive(plant: Plant, watched: envelope.Watched, seed: int) -> dict[str, NDArray[Any]]:
    obs = plant.reset("emergency_trip", [seed + i for i in range(5)])
    controller: Controller = watched
    controller.reset(5)
    for _ in range(plant.scenarios["emergency_trip"].steps):
        obs = plant.step(controller.predict(obs)[0]).obs
    return envelope.summarise([watched])
