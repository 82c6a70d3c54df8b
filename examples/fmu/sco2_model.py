"""The sCO2 plant behind the variables of an FMU: what both FMI versions share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gate5.plant.sco2 import SCO2Plant

PLANT = SCO2Plant(observation="full")
SCENARIOS = tuple(PLANT.scenarios)
#: FMI forbids no name that the plant uses; the actions get their own, since `damper` is a variable, too.
ACTIONS = {name: f"command_{name}" for name in PLANT.action_space.names}
OUTPUTS = tuple((v.name, v.unit, v.title) for v in PLANT.variables)


class SCO2Model:
    """One episode: ``phase`` and ``seed`` before it starts, commands in [-1, 1] as inputs, 5 s per step."""

    def declare(self) -> None:
        """The variables that FMI sets and reads as attributes."""
        self.plant: Any = None
        self.phase, self.seed = 0, 0
        self.reward, self.terminated, self.fail_at = 0.0, 0, -1.0
        for name in ACTIONS.values():
            setattr(self, name, 0.0)
        for name, _, _ in OUTPUTS:
            setattr(self, name, 0.0)

    def begin(self) -> None:
        """Start the episode; its first values are those that the first observation is made of."""
        self.plant = SCO2Plant(observation="full")
        first = self.plant.reset(SCENARIOS[int(self.phase)], [int(self.seed)])
        for name, value in zip(self.plant.observation_space.names, first[0].tolist(), strict=True):
            setattr(self, name, float(value))

    def advance(self, time_s: float) -> bool:
        """One control step; false where the plant's solver failed (or was told to, at ``fail_at`` seconds)."""
        if 0.0 <= self.fail_at <= time_s:
            return False
        command = np.array([[getattr(self, name) for name in ACTIONS.values()]], dtype=np.float32)
        step = self.plant.step(command)
        for name, _, _ in OUTPUTS:
            value = float(step.variables[name][0])
            setattr(self, name, value if math.isfinite(value) else 0.0)
        self.reward, self.terminated = float(step.reward[0]), int(step.terminated[0])
        return not bool(step.solver_failed[0])
