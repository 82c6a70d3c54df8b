"""The simulator binding: the release's own plant, episode after episode of chosen scenarios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.edge.runtime.decision import Reading
from gate5.errors import ConfigError
from gate5.plant.base import Float32, Plant

_OPTIONS = {"scenarios", "seed", "episodes"}


@dataclass(frozen=True)
class Episode:
    """What became of an episode: its return, its violating steps and each constraint's smallest margin."""

    scenario: str
    seed: int
    steps: int
    reward: float
    violations: int


class Simulator:
    """Drives ``plant`` one episode after the other; the plant steps when an action is written.

    Args:
        plant: opened for this binding alone.
        options: ``scenarios`` (names, default: all), ``seed`` (of the first episode, default 20000, as ``evaluate``),
            ``episodes`` of each scenario (default 1).

    Raises:
        ConfigError: another option, or a scenario that the plant does not have.
    """

    def __init__(self, plant: Plant, options: dict[str, Any]) -> None:
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise ConfigError(f"binding.options has {unknown[0]!r}; the simulator takes {', '.join(sorted(_OPTIONS))}.")
        names: Sequence[str] = options.get("scenarios") or list(plant.scenarios)
        for name in names:
            if name not in plant.scenarios:
                raise ConfigError(
                    f"The plant {plant.name} has no scenario {name!r}; it has {', '.join(plant.scenarios)}: correct "
                    "binding.options.scenarios."
                )
        first, count = int(options.get("seed", 20_000)), int(options.get("episodes", 1))
        self._plant = plant
        self._todo = [(name, first + i) for name in names for i in range(count)]
        self._at: tuple[str, int] | None = None
        self._obs: Float32 | None = None
        self._step, self._violations = 0, 0
        self._rewards: list[float] = []
        self._starts = False
        self.episodes: list[Episode] = []
        self.troubles = 0

    @property
    def address(self) -> str:
        return ""

    def open(self) -> None:
        """Start the first episode."""
        self._next()

    def read(self) -> Reading:
        """The observation of now."""
        if self._at is None:
            return Reading(None, ends=True)
        starts, self._starts = self._starts, False
        return Reading(self._obs, starts=starts)

    def write(self, action: Float32) -> None:
        """One control step."""
        if self._at is None:
            return
        name, seed = self._at
        step = self._plant.step(np.asarray(action, np.float32)[None])
        self._step += 1
        self._rewards.append(float(step.reward[0]))
        bad = bool(step.solver_failed[0])
        for c in self._plant.constraints:
            applies = c.applies is None or bool(step.variables[c.applies][0] != 0.0)
            bad = bad or (applies and not c.margin(step.variables[c.variable])[0] >= 0.0)
        self._violations += bad
        self._obs = step.obs[0]
        if step.terminated[0] or step.truncated[0] or self._step >= self._plant.scenarios[name].steps:
            self.episodes.append(Episode(name, seed, self._step, math.fsum(self._rewards), self._violations))
            self._next()

    def close(self) -> None:
        """Nothing to free."""

    def _next(self) -> None:
        self._at = self._todo.pop(0) if self._todo else None
        self._step, self._rewards, self._violations = 0, [], 0
        if self._at is not None:
            self._obs, self._starts = self._plant.reset(self._at[0], [self._at[1]])[0], True
