"""The layout ``measured``: nothing that no instrument has, and estimates that follow what was read."""

from __future__ import annotations

import numpy as np
import pytest

from gate5.errors import PlantError
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.sco2 import SCO2Plant

ACTION = np.array([[0.02, 0.25, -0.53, -0.4]], np.float32)


def column(plant: SCO2Plant, name: str) -> int:
    return plant.observation_space.names.index(name)


def test_every_component_has_an_instrument_an_estimate_or_is_known() -> None:
    plant = SCO2Plant(observation="measured")
    kinds = {signal.name: signal.kind for signal in plant.signals}
    assert {kinds[name] for name in plant.observation_space.names} <= {"measured", "estimated", "computed", "known"}
    full = SCO2Plant(observation="full")
    assert {s.name: s.kind for s in full.signals}["surge_margin"] == "unmeasurable"


def test_the_set_points_rate_looks_back_only() -> None:
    """Where the set-point begins to move, the old layout said so one step before it did."""
    ahead, back = SCO2Plant(observation="full"), SCO2Plant(observation="measured")
    seen = []
    for plant in (ahead, back):
        plant.reset("load_rejection", [1, 2])
        obs = np.stack([plant.step(np.repeat(ACTION, 2, axis=0)).obs for _ in range(80)])
        setpoint, rate = (
            obs[:, 0, column(plant, "net_power_setpoint")],
            obs[:, 0, column(plant, "net_power_setpoint_rate")],
        )
        seen.append((int(np.argmax(setpoint < 10.0)), int(np.argmax(rate < 0.0))))
    assert seen[0][1] < seen[0][0]
    assert seen[1][1] == seen[1][0]


def test_the_surge_estimate_is_the_margin_where_readings_are_true() -> None:
    plant = SCO2Plant(observation="measured")
    plant.reset("load_following", [3, 4])
    step = plant.step(np.repeat(ACTION, 2, axis=0))
    assert step.obs[:, column(plant, "surge_margin")] == pytest.approx(step.variables["surge_margin"], abs=1e-4)


def test_one_episode_sees_the_same_as_in_a_batch_and_after_a_restart() -> None:
    alone, many = SCO2Plant(observation="measured"), SCO2Plant(observation="measured")
    begun = alone.reset("cold_startup", [7])
    many.reset_mixed(["steady_state", "load_following"], [1, 2])
    for _ in range(5):
        many.step(np.repeat(ACTION, 2, axis=0))
    assert np.array_equal(many.reset_some([1], ["cold_startup"], [7])[0], begun[0])
    for _ in range(40):
        assert np.array_equal(many.step(np.repeat(ACTION, 2, axis=0)).obs[1], alone.step(ACTION).obs[0])


def test_what_is_estimated_follows_a_biased_sensor() -> None:
    """An estimate from true values behind a sensor that lies would be knowledge that no control system has."""
    plant = PerturbedPlant(SCO2Plant(observation="measured"), [Perturbation("bias", (1.0, 1.0), ("net_power",))])
    names = plant.observation_space.names
    plant.reset_mixed(["steady_state"] * 2, [1, 2])
    for _ in range(3):
        step = plant.step(np.repeat(ACTION, 2, axis=0))
    seen = step.obs[:, names.index("net_power_setpoint")] - step.obs[:, names.index("net_power")]
    assert step.obs[:, names.index("net_power_error")] == pytest.approx(seen, abs=1e-5)
    assert np.all(np.abs(seen - step.variables["net_power_error"]) > 0.01)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(PlantError, match="option 'observation' is 'all'; give measured or full"):
        SCO2Plant(observation="all")


def test_beyond_its_physical_range_the_plant_fails() -> None:
    """A compressor far above its design speed: the equations mean nothing there, and going on would look plausible."""
    plant = SCO2Plant()
    plant.reset("steady_state", [1, 2])
    failed, fastest = np.zeros(2, bool), 0.0
    for _ in range(120):
        step = plant.step(np.repeat(np.array([[-1.0, 1.0, -1.0, 1.0]], np.float32), 2, axis=0))
        failed |= step.solver_failed
        fastest = max(fastest, float(step.variables["compressor_speed"][~step.solver_failed].max(initial=0.0)))
    assert fastest <= 1.5
