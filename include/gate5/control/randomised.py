"""``randomised``: a plant whose instruments, loop and components are as its declarations let one expect."""

from __future__ import annotations

from typing import Any

from gate5.plant.disturbance import disturbable
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant

#: What tuning and training see in a part of their episodes: each drawn for itself, so that all combinations occur.
EXPECTED = (
    Perturbation("lag", chance=0.5),
    Perturbation("noise", chance=0.5),
    Perturbation("bias", (-1.0, 1.0), chance=0.5),
    Perturbation("delay", 1.0, chance=0.4),
    Perturbation("parameter", (-0.05, 0.05), chance=0.5),
)


def randomised(plant: Any) -> Any:
    """``plant`` behind what is expected to go wrong; itself where it declares no instruments and disturbances."""
    return plant if disturbable(plant) is None else PerturbedPlant(plant, EXPECTED)
