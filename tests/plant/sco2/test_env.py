"""The Gymnasium environment."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gate5.errors import PlantError
from gate5.plant.sco2 import SCO2Env, SCO2Plant
from gate5.plant.sco2.env import ENV_ID


@pytest.mark.parametrize("scenario", [None, "steady_state", "cold_startup"])
def test_gymnasium_accepts_it_without_a_warning(scenario: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(SCO2Env(scenario), skip_render_check=True)


def test_it_is_the_plant_with_the_same_seed() -> None:
    env, plant = SCO2Env("load_following"), SCO2Plant()
    obs, info = env.reset(seed=17)
    assert np.array_equal(obs, plant.reset("load_following", [17])[0])
    assert info["scenario"] == "load_following"
    action = np.array([0.1, 0.2, -0.4, 0.0], dtype=np.float32)
    for _ in range(30):
        obs, reward, terminated, truncated, info = env.step(action)
        step = plant.step(action[None])
        assert np.array_equal(obs, step.obs[0])
        assert (reward, terminated, truncated) == (step.reward[0], step.terminated[0], step.truncated[0])
        assert info["variables"]["net_power"] == step.variables["net_power"][0]


def test_it_names_the_constraints_that_are_broken_now() -> None:
    env = SCO2Env("steady_state")
    env.reset(seed=1)
    seen: set[str] = set()
    for _ in range(60):
        *_, info = env.step(np.array([0.0, 0.2, -0.4, -1.0], dtype=np.float32))
        hot = info["variables"]["compressor_inlet_temperature"] > 34.0
        assert hot == ("compressor_inlet" in info["violated"])
        seen.update(info["violated"])
    assert "compressor_inlet" in seen
    assert "turbine_metal_rate" not in seen, "this limit holds after a trip only"


def test_the_broken_constraints_are_those_of_the_evaluator_s_margin() -> None:
    """The environment decides in plain floats, the evaluator on ``Constraint.margin``: one answer."""
    rng = np.random.default_rng(3)
    seen: set[str] = set()
    for scenario in ("emergency_trip", "cold_startup"):
        env, plant = SCO2Env(scenario), SCO2Plant()
        env.reset(seed=4)
        plant.reset(scenario, [4])
        for _ in range(150):
            action = rng.uniform(-1, 1, 4).astype(np.float32)
            *_, info = env.step(action)
            values = plant.step(action[None]).variables
            expected = {
                c.name
                for c in plant.constraints
                if (c.applies is None or values[c.applies][0] != 0.0) and not c.margin(values[c.variable])[0] >= 0.0
            }
            assert set(info["violated"]) == expected
            seen |= expected
    assert len(seen) >= 3


def test_it_draws_scenarios_and_takes_one_from_the_options() -> None:
    env = SCO2Env(None)
    drawn = {env.reset(seed=0 if k == 0 else None)[1]["scenario"] for k in range(40)}
    assert len(drawn) > 4
    assert env.reset(options={"scenario": "emergency_trip"})[1]["scenario"] == "emergency_trip"
    with pytest.raises(PlantError, match="did you mean"):
        env.reset(options={"scenario": "emergency_tripp"})
    with pytest.raises(PlantError, match="no scenario"):
        SCO2Env("nothing")


def test_gymnasium_makes_it_by_its_id() -> None:
    env = gymnasium.make(f"gate5.plant.sco2.env:{ENV_ID}", scenario="eaf_transients")
    assert env.reset(seed=2)[1]["scenario"] == "eaf_transients"
