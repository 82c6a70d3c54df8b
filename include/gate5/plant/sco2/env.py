"""``SCO2Env``: the sCO2 plant as a Gymnasium environment.

    gymnasium.make("gate5.plant.sco2.env:gate5/SCO2-v0", scenario="load_following")

This module can be imported without Gymnasium; making an ``SCO2Env`` then says what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.errors import PlantError
from gate5.plant.base import Constraint, Float32
from gate5.plant.sco2.plant import SCO2Plant
from gate5.plant.sco2.scenarios import SCENARIOS

if TYPE_CHECKING:
    import gymnasium

    _Env = gymnasium.Env[Float32, Float32]
else:
    try:
        import gymnasium

        _Env = gymnasium.Env
    except ImportError:
        gymnasium = None
        _Env = object

ENV_ID = "gate5/SCO2-v0"


class SCO2Env(_Env):
    """One plant (docs/plant.md).

    Observation and action are those of ``SCO2Plant``. ``reset(seed=s)`` starts the episode that ``SCO2Plant`` starts
    with seed ``s``; without a seed each episode draws its own. ``info`` holds ``variables`` (every declared variable),
    ``violated`` (names of the constraints that are broken now), ``solver_failed`` and ``scenario``.

    Args:
        scenario: its name; ``None``: each episode draws one. ``reset(options={"scenario": ...})`` overrides it once.
        plant_options: keyword arguments of ``SCO2Plant``.

    Raises:
        PlantError: an unknown scenario or option, or Gymnasium is not installed.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own form)

    def __init__(self, scenario: str | None = "steady_state", **plant_options: Any) -> None:
        if gymnasium is None:
            raise PlantError("SCO2Env needs Gymnasium, which is not installed: pip install 'gate5[plant]'.")
        self.plant = SCO2Plant(**plant_options)
        if scenario is not None:
            self.plant.reset(scenario, [0])  # an unknown name fails here, not at the first reset
        self.scenario = scenario
        observation, action = self.plant.observation_space, self.plant.action_space
        self.observation_space = gymnasium.spaces.Box(observation.low, observation.high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(action.low, action.high, dtype=np.float32)
        self.render_mode = None
        self._current = scenario or ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        wanted = (options or {}).get("scenario", self.scenario)
        if wanted is None:
            wanted = tuple(SCENARIOS)[int(self.np_random.integers(len(SCENARIOS)))]
        episode = seed if seed is not None else int(self.np_random.integers(2**31))
        obs = self.plant.reset(wanted, [episode])
        self._current = wanted
        return obs[0], {"scenario": wanted, "seed": episode}

    def step(self, action: Float32) -> tuple[Float32, float, bool, bool, dict[str, Any]]:
        """One control step of 5 s."""
        step = self.plant.step(np.asarray(action, dtype=np.float32)[None])
        variables = {name: float(values[0]) for name, values in step.variables.items()}
        info: dict[str, Any] = {
            "scenario": self._current,
            "variables": variables,
            "violated": tuple(c.name for c in self.plant.constraints if _broken(c, variables)),
            "solver_failed": bool(step.solver_failed[0]),
        }
        return step.obs[0], float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), info


def _broken(constraint: Constraint, variables: dict[str, float]) -> bool:
    """What the evaluator decides on ``Constraint.margin``, in plain floats: one environment is stepped very often."""
    if constraint.applies is not None and variables[constraint.applies] == 0.0:
        return False
    value, low, high = variables[constraint.variable], constraint.low, constraint.high
    return not ((low is None or value >= low) and (high is None or value <= high))


if gymnasium is not None and ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="gate5.plant.sco2.env:SCO2Env")
