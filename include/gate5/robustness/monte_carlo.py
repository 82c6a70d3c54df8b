"""A bound on the chance that an episode violates: many episodes that nobody could have trained or tuned on.

Their seeds follow from the candidate's hash, so that they are new for each candidate, and lie in a range of their own
(``gate5.seeds``), so that no training, tuning, validation or report has used them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from gate5 import seeds
from gate5.evaluation.statistics import binomial_upper
from gate5.io.canonical import number
from gate5.plant.base import Controller, Plant
from gate5.robustness.rollout import Episodes, Progress, rollout


@dataclass(frozen=True)
class Chance:
    """What many episodes say about one scenario.

    Attributes:
        first_seed: episode ``i`` ran on ``first_seed + i``.
        violation_probability_upper: one-sided Clopper-Pearson bound at ``confidence``.
        margin: of the worst episode, in ``unit``, at the constraint that binds most; ``None``: none ever applied.
        worst_seed, median_seed: the episodes whose smallest margin is the smallest and the middle one.
        travel: mean of the actuators' strokes per hour.
    """

    scenario: str
    episodes: int
    first_seed: int
    violating_episodes: int
    violation_probability_upper: float
    confidence: float
    constraint: str
    unit: str
    margin: float | None
    worst_seed: int
    worst_time_s: float | None
    median_seed: int
    return_mean: float | None
    travel: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Chance:
        """The inverse of ``to_dict``; keys that a newer version added are ignored."""
        return cls(**{f.name: data[f.name] for f in fields(cls)})

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate: they take the place of what the few paired episodes say."""
        start = f"evaluation.{self.scenario}.rl"
        return {
            f"{start}.violation_probability_upper": self.violation_probability_upper,
            f"{start}.monte_carlo.episodes": float(self.episodes),
            f"{start}.monte_carlo.violating_episodes": float(self.violating_episodes),
            f"{start}.monte_carlo.smallest_margin": self.margin,
        }


def candidate_seeds(candidate: str, count: int) -> range:
    """The Monte Carlo seeds of a candidate: they follow from its hash alone.

    Args:
        candidate: hexadecimal digits of its SHA-256.
        count: how many.
    """
    value = int(candidate[:32], 16)
    stream = seeds.seeds_of("monte_carlo", value % seeds.STREAMS)
    first = (value // seeds.STREAMS) % (seeds.STREAM - count)
    return stream[first : first + count]


def estimate(
    plant: Plant,
    controller: Controller,
    scenario: str,
    candidate: str,
    count: int,
    confidence: float,
    progress: Progress | None = None,
) -> Chance:
    """Drive ``count`` episodes of a scenario and bound the chance of a violation."""
    used = candidate_seeds(candidate, count)
    found = rollout(plant, controller, scenario, used, progress=progress)
    worst, median = _order(found)
    row = found.binding(worst)
    constraint = None if row is None else found.constraints[row]
    violating = int(found.violating.sum())
    return Chance(
        scenario=scenario,
        episodes=count,
        first_seed=used[0],
        violating_episodes=violating,
        violation_probability_upper=binomial_upper(violating, count, confidence),
        confidence=confidence,
        constraint="" if constraint is None else constraint.name,
        unit="" if constraint is None else constraint.unit,
        margin=None if row is None else number(found.margins[row, worst]),
        worst_seed=used[worst],
        worst_time_s=None if row is None else number(found.times_s[row, worst]),
        median_seed=used[median],
        return_mean=number(found.returns.mean()),
        travel=number(found.travel.mean()),
    )


def _order(found: Episodes) -> tuple[int, int]:
    order = np.argsort(found.shares, kind="stable")
    return int(order[0]), int(order[len(order) // 2])
