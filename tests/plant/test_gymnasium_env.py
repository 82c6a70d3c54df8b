"""Any Gymnasium environment as a plant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from gate5.errors import PlantError
from gate5.plant.base import Plant
from gate5.plant.gymnasium_env import GymnasiumPlant


class Fragile(gymnasium.Env[Any, Any]):
    """A real environment that counts up and breaks in a chosen way at a chosen step."""

    observation_space = gymnasium.spaces.Box(-100.0, 100.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, mode: str = "raise", at: int = 3) -> None:
        self.mode, self.at, self.k = mode, at, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.k = int((options or {}).get("begin", 0))
        return np.array([self.k, 0.0], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.k += 1
        value = float(self.k)
        if self.k == self.at:
            if self.mode == "raise":
                raise RuntimeError("the solver did not converge")
            if self.mode == "nan":
                value = float("nan")
        return np.array([value, action[0]], np.float32), 1.0, self.mode == "end" and self.k == self.at, False, {"q": 2}


@pytest.fixture
def _fragile() -> Iterator[None]:
    make: Any = Fragile
    gymnasium.register("gate5-test/Fragile-v0", entry_point=make, max_episode_steps=10)
    yield
    del gymnasium.registry["gate5-test/Fragile-v0"]


def test_pendulum_agrees_with_gymnasium_itself() -> None:
    plant = GymnasiumPlant("Pendulum-v1", dt_s=0.05, observation_names=["cos", "sin", "rate"])
    assert isinstance(plant, Plant)
    obs = plant.reset("default", [3, 4, 5])
    env: Any = gymnasium.make("Pendulum-v1")
    expected, _ = env.reset(seed=4)
    assert np.array_equal(obs[1], expected)
    rng = np.random.default_rng(0)
    for k in range(200):
        action = rng.uniform(-2, 2, (3, 1)).astype(np.float32)
        step = plant.step(action)
        expected, reward, *_ = env.step(action[1])
        assert np.array_equal(step.obs[1], expected)
        assert step.reward[1] == pytest.approx(float(reward))
        assert step.variables["rate"][1] == expected[2]
        assert step.truncated.all() == (k == 199)
    assert plant.constraints == ()
    assert plant.scenarios["default"].steps == 200


def test_declared_scenarios_and_constraints() -> None:
    plant = GymnasiumPlant(
        "Pendulum-v1",
        observation_names=["cos", "sin", "rate"],
        constraints=[{"name": "fast", "variable": "rate", "high": 3.0, "unit": "rad/s"}],
        scenarios={"near": {"steps": 5, "reset_options": {"x_init": 0.01, "y_init": 0.0}}, "far": {"steps": 7}},
    )
    near = plant.reset("near", list(range(20)))
    far = plant.reset("far", list(range(20)))
    assert np.abs(near[:, 2]).max() == 0.0, "the scenario's reset options reach the environment"
    assert np.abs(far[:, 2]).max() > 0.1
    assert plant.constraints[0].high == 3.0
    plant.reset("near", [1])
    endings = [bool(plant.step(np.zeros((1, 1), np.float32)).truncated[0]) for _ in range(5)]
    assert endings == [False] * 4 + [True]


@pytest.mark.usefixtures("_fragile")
@pytest.mark.parametrize("mode", ["raise", "nan"])
def test_a_simulator_that_breaks_is_a_failed_solver_not_a_crash(mode: str) -> None:
    plant = GymnasiumPlant("gate5-test/Fragile-v0", kwargs={"mode": mode}, info_variables=["q"])
    plant.reset("default", [0, 1])
    action = np.zeros((2, 1), np.float32)
    first = plant.step(action)
    assert first.variables["q"].tolist() == [2.0, 2.0]
    plant.step(action)
    broken = plant.step(action)
    assert broken.solver_failed.all()
    assert broken.terminated.all()
    assert np.isnan(broken.variables["obs_0"]).all()
    after = plant.step(action)
    assert after.reward.tolist() == [0.0, 0.0]
    assert after.solver_failed.all()


@pytest.mark.usefixtures("_fragile")
def test_an_episode_that_the_environment_ends_stays_ended_and_can_be_restarted() -> None:
    plant = GymnasiumPlant("gate5-test/Fragile-v0", kwargs={"mode": "end"})
    plant.reset("default", [0, 1])
    action = np.zeros((2, 1), np.float32)
    for _ in range(3):
        step = plant.step(action)
    assert step.terminated.all()
    assert not step.solver_failed.any()
    assert plant.reset_some([1], ["default"], [5])[0, 0] == 0.0
    step = plant.step(action)
    assert step.terminated.tolist() == [True, False]
    assert step.reward.tolist() == [0.0, 1.0]


@pytest.mark.usefixtures("_fragile")
def test_an_info_key_that_is_missing_is_not_a_good_value() -> None:
    plant = GymnasiumPlant("gate5-test/Fragile-v0", info_variables=["absent"])
    plant.reset("default", [0])
    assert plant.step(np.zeros((1, 1), np.float32)).solver_failed[0]


def test_bad_declarations_are_one_sentence() -> None:
    with pytest.raises(PlantError, match="did you mean 'obs_2'"):
        GymnasiumPlant("Pendulum-v1", constraints=[{"name": "x", "variable": "obs_3", "high": 1.0}])
    with pytest.raises(PlantError, match="2 names"):
        GymnasiumPlant("Pendulum-v1", observation_names=["a", "b"])
    with pytest.raises(PlantError, match="did you mean 'default'"):
        GymnasiumPlant("Pendulum-v1").reset("defaults", [1])
    with pytest.raises(PlantError, match="scenarios"):
        GymnasiumPlant("Pendulum-v1", scenarios={"a": {"length": 3}})
