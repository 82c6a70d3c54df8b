"""The plant's own step against a finer one: the same plant, close by, and what it declares of the difference."""

from __future__ import annotations

import numpy as np
import pytest

from gate5.errors import PlantError
from gate5.plant.sco2 import SCO2Plant


def _inlet(plant: SCO2Plant) -> list[float]:
    plant.reset("load_following", [4, 5])
    action = np.zeros((2, 4), np.float32)
    return [float(plant.step(action).variables["compressor_inlet_temperature"][0]) for _ in range(100)]


def test_finer_steps_come_close_and_closer_to_each_other() -> None:
    one, ten, twenty = (np.array(_inlet(SCO2Plant(substeps=n))) for n in (1, 10, 20))
    assert 0.0 < np.abs(one - twenty).max() < 0.5
    assert np.abs(ten - twenty).max() < 0.05 * np.abs(one - twenty).max(), "of second order"


def test_the_plant_declares_its_error_for_every_constraint() -> None:
    plant = SCO2Plant()
    assert set(plant.integration_error) == {c.name for c in plant.constraints}
    assert 0.0 < plant.integration_error["compressor_inlet"] < 0.03, "well below what margins are judged on"
    assert plant.integration_error["high_pressure_high"] < 0.03
    assert plant.integration_error["overspeed"] < 1e-4
    assert all(error >= 0.0 for error in plant.integration_error.values())


@pytest.mark.parametrize("scenario", ["emergency_trip", "load_rejection"])
def test_what_jumps_comes_close_to_a_finer_step_too(scenario: str) -> None:
    """The shut stop valve, the fast bypass and the rotor: one explicit step was off by 0.9 MPa and 0.02 here."""
    seen = []
    for plant in (SCO2Plant(), SCO2Plant(substeps=20)):
        plant.reset(scenario, [3, 4])
        action = np.array([[-0.2, 0.1, -0.5, -0.2]] * 2, np.float32)
        rows = [plant.step(action).variables for _ in range(80)]
        names = ("high_pressure", "rotor_speed", "low_pressure")
        seen.append([np.stack([row[name] for row in rows]) for name in names])
    for one, fine, limit in zip(*seen, (0.06, 1e-4, 0.006), strict=True):
        assert np.abs(one - fine).max() < limit


@pytest.mark.parametrize("substeps", [0, 101, 1.5, True])
def test_substeps_out_of_range_are_one_sentence(substeps: object) -> None:
    with pytest.raises(PlantError, match="give a whole number, 1 to 100"):
        SCO2Plant(substeps=substeps)  # type: ignore[arg-type]
