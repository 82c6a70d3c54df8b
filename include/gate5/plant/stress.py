"""``StressClass``: a kind of imperfection with its levels, as a plant declares it; one row of the robustness matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gate5.errors import PlantError
from gate5.plant.base import Plant
from gate5.plant.perturbation import Perturbation


@dataclass(frozen=True)
class StressClass:
    """One row of the robustness matrix.

    Attributes:
        name: identifier, ``delay``.
        title: what a report calls it.
        perturbations: applied together, at level 1.
        levels: factors of ``perturbations``, rising.
        expected: the highest level that the plant has to expect; 0: none, all are beyond.
        unit: what a level counts, ``periods``.
        source: where the levels come from.
        scenarios: where it is driven; empty: everywhere.
    """

    name: str
    title: str
    perturbations: tuple[Perturbation, ...]
    levels: tuple[float, ...] = (1.0,)
    expected: float = 0.0
    unit: str = ""
    source: str = ""
    scenarios: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if not self.levels or not rising or not all(math.isfinite(v) and v > 0.0 for v in self.levels):
            raise PlantError(
                f"The stress class {self.name!r} has the levels {list(self.levels)}: give positive numbers that rise."
            )

    def at(self, level: float) -> tuple[Perturbation, ...]:
        """The perturbations of one level."""
        return tuple(p.scaled(level) for p in self.perturbations)


def stress_classes(plant: Plant) -> tuple[StressClass, ...]:
    """What a plant declares (its attribute ``stress``); none: the matrix is not applicable."""
    return tuple(getattr(plant, "stress", ()))


def integration_error(plant: Plant) -> dict[str, float]:
    """By constraint: how far the plant's own step may put its smallest margin off, in the constraint's unit.

    A plant declares it as its attribute ``integration_error``; what is not there counts as exact.
    """
    return dict(getattr(plant, "integration_error", {}))
