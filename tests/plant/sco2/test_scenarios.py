"""Every scenario acts on the plant, and only on the plant."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from gate5.plant.base import Float32, Float64
from gate5.plant.sco2 import SCO2Plant
from gate5.plant.sco2.parameters import ACTUATORS
from gate5.plant.sco2.scenarios import SCENARIOS, draw

Hold = Callable[[SCO2Plant, Float32], Float32]


def _run(plant: SCO2Plant, scenario: str, seed: int, hold: Hold, steps: int) -> dict[str, Float64]:
    action = hold(plant, plant.reset(scenario, [seed]))
    rows = [plant.step(action).variables for _ in range(steps)]
    return {name: np.array([row[name][0] for row in rows]) for name in rows[0]}


def test_a_disturbance_never_moves_an_actuator(plant: SCO2Plant, hold: Hold) -> None:
    """The earlier plant let disturbances overwrite the agent's own actuator, so that they had no effect."""
    for name, scenario in SCENARIOS.items():
        steps = min(scenario.steps, 400)
        v = _run(plant, name, 2, hold, steps)
        for actuator in ACTUATORS:
            assert np.ptp(v[actuator.name]) < 1e-5 * (actuator.high - actuator.low), (name, actuator.name)


def test_every_scenario_has_its_own_effect(plant: SCO2Plant, hold: Hold) -> None:
    """With the actuators held, no two scenarios give the same trajectory, and each leaves its mark."""
    runs = {name: _run(plant, name, 4, hold, 120 if name == "steady_state" else 360) for name in SCENARIOS}
    powers = {name: v["net_power_error"][:120] for name, v in runs.items()}
    for a, b in pairwise(sorted(powers)):
        assert np.abs(powers[a] - powers[b]).max() > 0.02, (a, b)
    assert np.ptp(runs["load_following"]["net_power_setpoint"]) > 0.5
    assert np.ptp(runs["ambient_disturbance"]["compressor_inlet_temperature"]) > 2.0
    assert np.ptp(runs["eaf_transients"]["exhaust_temperature"]) > 100.0
    assert runs["load_rejection"]["net_power_setpoint"][-1] < 6.0
    assert runs["cold_startup"]["low_pressure"][0] < 7.3773
    assert runs["cold_startup"]["turbine_inlet_temperature"][0] < 210.0
    assert runs["emergency_trip"]["tripped"][-1] == 1.0


def test_a_trip_isolates_the_turbine_and_leaves_heat(plant: SCO2Plant, hold: Hold) -> None:
    action = hold(plant, plant.reset("emergency_trip", [3]))
    before = after = plant.step(action)
    while after.variables["tripped"][0] == 0.0:
        before, after = after, plant.step(action)
    was, now = ({n: float(x[0]) for n, x in s.variables.items()} for s in (before, after))
    assert was["turbine_power"] > 12.0
    assert now["turbine_flow"] == 0.0
    assert now["turbine_power"] == 0.0
    assert now["bypass_flow"] > 20.0
    assert now["breaker_closed"] == 0.0
    assert now["net_power"] < 0.0, "the compressor's motor now draws from the grid"
    assert 1.02 < now["rotor_speed"] < 1.10, "a short overspeed while the valve shuts"
    assert now["heater_metal_temperature"] == pytest.approx(was["heater_metal_temperature"], abs=10.0), (
        "the heat that the flow no longer takes"
    )
    for _ in range(30):
        later = plant.step(action)
    assert later.variables["rotor_speed"][0] < now["rotor_speed"], "then it coasts down"
    assert later.variables["turbine_inlet_temperature"][0] > was["turbine_inlet_temperature"] + 20.0, (
        "with the damper left open the heat has nowhere to go"
    )


def test_a_trip_does_not_announce_itself() -> None:
    course = draw("emergency_trip", 7)
    trip = int(np.flatnonzero(course.inputs[:, 7])[0])
    calm = course.inputs[:trip]
    assert (calm[:, 1] == 0.0).all()
    assert (calm[:, 0] == 10.0).all()


def test_cold_start_passes_the_critical_pressure_and_the_rotor_runs_up(plant: SCO2Plant, hold: Hold) -> None:
    action = hold(plant, plant.reset("cold_startup", [1]))
    action[0, 2] = (7.6 - 8.0) / 1.0
    rows = [plant.step(action).variables for _ in range(200)]
    pressure = np.array([r["low_pressure"][0] for r in rows])
    assert pressure[0] < 7.3773 < pressure[-1]
    assert rows[0]["rotor_speed"][0] == 0.0
    assert rows[-1]["rotor_speed"][0] > 0.9
    assert rows[0]["turbine_flow"][0] == 0.0
    assert rows[-1]["turbine_flow"][0] > 20.0


def test_set_points_stay_within_what_the_specification_says() -> None:
    for seed in range(40):
        load = draw("load_following", seed).inputs[:, 0]
        assert 7.0 <= load.min() <= load.max() <= 13.0
        rejection = draw("load_rejection", seed).inputs[:, 0]
        drop = np.flatnonzero(np.diff(rejection) < 0)
        assert rejection[0] == 10.0
        assert 4.8 <= rejection[-1] <= 5.5
        assert len(drop) <= 7, "50 % within 30 s (a step of 5 s more where the ramp starts between two)"
        ambient = draw("ambient_disturbance", seed).inputs[:, 5]
        assert 7.5 <= ambient.min() <= ambient.max() <= 28.5
        assert ambient.max() - ambient.min() > 12.0
        start = draw("cold_startup", seed).inputs
        assert start[0, 0] == 0.0
        assert start[-1, 0] == 10.0
        assert start[0, 2] == pytest.approx(200.0, abs=6.0)
        assert start[360, 2] == 700.0
