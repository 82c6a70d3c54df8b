"""The plant that a release judges on: the configured one, behind its declared instruments where these are on."""

from __future__ import annotations

from gate5.config.models import ReleaseConfig
from gate5.plant.base import Plant
from gate5.plant.disturbance import disturbable
from gate5.plant.perturbation import instruments
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.registry import open_plant


def judged_plant(config: ReleaseConfig) -> Plant:
    """The plant of ``config.plant``, with lag, noise and class of its instruments where ``evaluation.sensors`` is on.

    A plant that declares no instruments is judged as it is; the report says so.

    Raises:
        PlantError: the plant cannot be opened.
    """
    plant = open_plant(config.plant)
    if not config.evaluation.sensors or disturbable(plant) is None:
        return plant
    return PerturbedPlant(plant, instruments())
