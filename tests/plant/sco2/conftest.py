"""Shared by the sCO2 plant's tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gate5.plant.base import Float32
from gate5.plant.sco2 import SCO2Plant
from gate5.plant.sco2.parameters import ACTUATORS


@pytest.fixture
def plant() -> SCO2Plant:
    return SCO2Plant()


@pytest.fixture
def hold() -> Callable[[SCO2Plant, Float32], Float32]:
    """The action that leaves the actuators where an observation shows them."""

    def action(plant: SCO2Plant, obs: Float32) -> Float32:
        names = plant.observation_space.names
        low = np.array([a.low for a in ACTUATORS])
        high = np.array([a.high for a in ACTUATORS])
        positions = obs[:, [names.index(a.name) for a in ACTUATORS]].astype(np.float64)
        return np.asarray((positions - low) / (high - low) * 2.0 - 1.0, dtype=np.float32)

    return action
