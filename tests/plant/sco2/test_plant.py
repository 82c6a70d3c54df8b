"""The batch: seeds, independence, rate limits, endings, errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.errors import PlantError
from gate5.plant.base import Float32, Plant
from gate5.plant.sco2 import SCO2Plant
from gate5.plant.sco2.parameters import ACTUATORS
from gate5.plant.sco2.scenarios import SCENARIOS

Hold = Callable[[SCO2Plant, Float32], Float32]


def test_it_is_a_plant(plant: SCO2Plant) -> None:
    assert isinstance(plant, Plant)
    assert [s.phase for s in plant.scenarios.values()] == list(range(7))
    assert [s.steps for s in plant.scenarios.values()] == [120, 360, 720, 1080, 360, 720, 360]


def test_an_episode_is_the_same_to_the_bit_whatever_the_batch(hold: Hold) -> None:
    """Alone (plain floats), in a mixed batch (arrays) and after reset_some: one trajectory."""
    names, seeds = list(SCENARIOS) * 2, list(range(14))
    batch, alone = SCO2Plant(), SCO2Plant()
    first = batch.reset_mixed(names, seeds)
    noise = np.random.default_rng(0).uniform(-0.15, 0.15, (150, 14, 4))
    actions = (hold(batch, first) + noise).astype(np.float32)
    steps = [batch.step(a) for a in actions]
    for i in (0, 3, 5, 6, 11, 13):
        assert np.array_equal(alone.reset(names[i], [seeds[i]])[0], first[i])
        for k, together in enumerate(steps):
            single = alone.step(actions[k, i : i + 1])
            assert np.array_equal(single.obs[0], together.obs[i]), (names[i], k)
            assert single.reward[0] == together.reward[i]
            assert single.terminated[0] == together.terminated[i]
            for name, values in together.variables.items():
                assert np.array_equal(single.variables[name], values[i : i + 1], equal_nan=True), (name, k)


def test_reset_some_restarts_those_and_leaves_the_others(plant: SCO2Plant, hold: Hold) -> None:
    other = SCO2Plant()
    plant.reset_mixed(["steady_state"] * 4, [1, 2, 3, 4])
    action = hold(plant, other.reset_mixed(["steady_state"] * 4, [1, 2, 3, 4]))
    for _ in range(5):
        before = plant.step(action)
        other.step(action)
    kept = {name: values.copy() for name, values in before.variables.items()}
    obs = plant.reset_some([1, 3], ["cold_startup", "emergency_trip"], [8, 9])
    fresh = SCO2Plant().reset_mixed(["cold_startup", "emergency_trip"], [8, 9])
    assert np.array_equal(obs, fresh)
    for name, values in kept.items():
        assert np.array_equal(before.variables[name], values), f"{name} of an earlier step changed afterwards"
    a, b = plant.step(action), other.step(action)
    assert np.array_equal(a.obs[[0, 2]], b.obs[[0, 2]])


def test_same_seed_same_episode_and_another_seed_another(plant: SCO2Plant) -> None:
    for name in SCENARIOS:
        a = plant.reset(name, [5, 5, 6])
        assert np.array_equal(a[0], a[1])
        assert not np.array_equal(a[0], a[2])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scenario=st.sampled_from(list(SCENARIOS)))
def test_no_actuator_moves_faster_than_its_rate_or_leaves_its_range(seed: int, scenario: str) -> None:
    plant = SCO2Plant()
    obs = plant.reset(scenario, [seed])
    names = plant.observation_space.names
    columns = [names.index(a.name) for a in ACTUATORS]
    before = obs[0, columns].astype(np.float64)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        step = plant.step(rng.choice((-1.0, 1.0), (1, 4)).astype(np.float32))
        now = np.array([step.variables[a.name][0] for a in ACTUATORS])
        for a, x, y in zip(ACTUATORS, before, now, strict=True):
            assert abs(y - x) <= a.rate * (1 + 1e-4) + 1e-5
            assert a.low - 1e-9 <= y <= a.high + 1e-9
        before = now


def test_actions_beyond_the_space_are_clipped(plant: SCO2Plant) -> None:
    other = SCO2Plant()
    plant.reset("steady_state", [1])
    other.reset("steady_state", [1])
    a = plant.step(np.full((1, 4), 50.0, np.float32))
    b = other.step(np.full((1, 4), 1.0, np.float32))
    assert np.array_equal(a.obs, b.obs)


@pytest.mark.parametrize("batch", [1, 2])
def test_an_episode_that_is_over_stands_still_and_pays_nothing(plant: SCO2Plant, batch: int) -> None:
    plant.reset("steady_state", list(range(batch)))
    action = np.zeros((batch, 4), np.float32)
    for _ in range(120):
        last = plant.step(action)
    assert last.truncated.all()
    after = plant.step(-np.ones((batch, 4), np.float32))
    assert np.array_equal(after.obs, last.obs)
    assert after.reward.tolist() == [0.0] * batch
    assert after.truncated.all()


@pytest.mark.parametrize("batch", [1, 3])
def test_a_solver_failure_ends_the_episode_and_is_reported(plant: SCO2Plant, batch: int) -> None:
    """NaN from a policy must not be clipped into something plausible."""
    obs = plant.reset("steady_state", list(range(batch)))
    action = np.zeros((batch, 4), np.float32)
    action[0, 1] = np.nan
    step = plant.step(action)
    assert step.solver_failed[0]
    assert step.terminated[0]
    assert not step.truncated[0]
    assert step.reward[0] == -100.0
    assert np.isnan(step.variables["mass_flow"][0])
    assert np.isfinite(step.obs).all(), "sensors stay inside their ranges"
    assert not step.solver_failed[1:].any()
    assert obs.shape == step.obs.shape


def test_a_catastrophic_limit_ends_the_episode(plant: SCO2Plant) -> None:
    """Full exhaust on the heater: the turbine inlet passes 780 C."""
    plant.reset("steady_state", [0, 1])
    action = np.tile(np.array([[1.0, -0.4, -0.4, 0.0]], np.float32), (2, 1))
    step = plant.step(action)
    while not (step.terminated | step.truncated).any():
        step = plant.step(action)
    over = np.flatnonzero(step.terminated)
    worst = [
        min(float(c.margin(step.variables[c.variable])[i]) for c in plant.constraints if c.catastrophic) for i in over
    ]
    assert max(worst) < 0.0
    assert (step.reward[over] == -100.0).all()


def test_the_reported_reward_of_the_specification_is_its_sum(plant: SCO2Plant, hold: Hold) -> None:
    obs = plant.reset("load_following", [3, 4])
    action = hold(plant, obs)
    plant.step(action)
    before = plant.step(action)
    step = plant.step(np.ones((2, 4), np.float32))
    v = step.variables
    moved = [(v[a.name] - before.variables[a.name]) / (a.high - a.low) for a in ACTUATORS]
    expected = (
        np.maximum(0.0, 1.0 - ((v["net_power"] - v["net_power_setpoint"]) / 10.0) ** 2)
        + 0.3 * np.clip(v["efficiency"] / 0.40, 0.0, 2.0)
        - 0.1 * np.mean(np.square(moved), axis=0)
    )
    assert v["specification_reward"] == pytest.approx(expected, rel=1e-12)


def test_setpoints_and_actuators_are_in_the_observation(plant: SCO2Plant) -> None:
    """The earlier agent could not see what it had to follow."""
    names = plant.observation_space.names
    for name in ("net_power_setpoint", "turbine_inlet_temperature_setpoint", *(a.name for a in ACTUATORS)):
        assert name in names
    obs = plant.reset("load_following", [1])
    column = names.index("net_power_setpoint")
    seen = {float(obs[0, column])}
    for _ in range(200):
        seen.add(float(plant.step(np.zeros((1, 4), np.float32)).obs[0, column]))
    assert max(seen) - min(seen) > 0.5


def test_every_declared_variable_is_reported_and_nothing_else(plant: SCO2Plant) -> None:
    for batch in (1, 2):
        plant.reset("cold_startup", list(range(batch)))
        step = plant.step(np.zeros((batch, 4), np.float32))
        assert list(step.variables) == [v.name for v in plant.variables]
        assert all(values.shape == (batch,) and values.dtype == np.float64 for values in step.variables.values())
        assert step.obs.dtype == np.float32
        assert step.obs.shape == (batch, plant.observation_space.size)


def test_bad_input_is_one_sentence(plant: SCO2Plant) -> None:
    with pytest.raises(PlantError, match="did you mean 'emergency_trip'"):
        plant.reset("emergency_trips", [1])
    with pytest.raises(PlantError, match="0 seeds"):
        plant.reset("steady_state", [])
    with pytest.raises(PlantError, match="negative"):
        plant.reset("steady_state", [-1])
    with pytest.raises(PlantError, match="call reset first"):
        SCO2Plant().step(np.zeros((1, 4), np.float32))
    plant.reset("steady_state", [1])
    with pytest.raises(PlantError, match=r"shape \(1, 3\)"):
        plant.step(np.zeros((1, 3), np.float32))
    with pytest.raises(PlantError, match="place of the batch"):
        plant.reset_some([7], ["steady_state"], [1])
    with pytest.raises(PlantError, match="did you mean 'turbine_efficiency'"):
        SCO2Plant(turbine_eficiency=0.9)
    with pytest.raises(PlantError, match="positive number"):
        SCO2Plant(turbine_efficiency="high")


def test_an_option_changes_the_plant() -> None:
    weaker = SCO2Plant(turbine_efficiency=0.85)
    names = weaker.observation_space.names
    flow = names.index("mass_flow")
    assert weaker.reset("steady_state", [1])[0, flow] > SCO2Plant().reset("steady_state", [1])[0, flow] + 3.0


def test_time_constants_of_the_commanded_lags(plant: SCO2Plant, hold: Hold) -> None:
    """63 % of the way after 20 s (mass flow) and 30 s (low-side pressure), counted from the actuator's arrival."""
    action = hold(plant, plant.reset("steady_state", [1, 2]))
    start = plant.step(action).variables
    action[:, 1] += 2 * 4.0 / 90.0  # 4 kg/s: within one step of the actuator
    action[:, 2] += 0.1  # 0.1 MPa
    rows = [plant.step(action).variables for _ in range(6)]
    flow = (rows[3]["mass_flow"] - start["mass_flow"]) / 4.0
    pressure = (rows[5]["low_pressure"] - start["low_pressure"]) / 0.1
    assert flow == pytest.approx(np.full(2, 0.632), abs=0.005)
    assert pressure == pytest.approx(np.full(2, 0.632), abs=0.12), "the loop's own imbalance pulls at it as well"
