"""A small plant that is real: two tanks in a row, a pump into the first, an outlet from the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gate5.plant.base import Box, Constraint, Float32, Scenario, Step, Variable


class Tank:
    """Implements the Plant protocol: levels in metres, Torricelli outflow, the pump as the only actuator.

    ``ignore_scenario`` makes it the broken plant of an earlier evaluation, which ran the same phase seven times;
    ``observed`` is what a policy sees, in this order; ``outlet`` is the size of the second tank's.
    """

    name = "tank"
    dt_s = 2.0

    def __init__(
        self,
        *,
        ignore_scenario: bool = False,
        observed: Sequence[str] = ("upper", "level", "level_setpoint"),
        outlet: float = 0.2,
    ) -> None:
        self.ignore_scenario, self.observed, self.outlet = ignore_scenario, tuple(observed), outlet
        n = len(self.observed)
        self.observation_space = Box(np.zeros(n, dtype=np.float32), np.full(n, 10.0, dtype=np.float32), self.observed)
        self.action_space = Box(np.array([-1.0], dtype=np.float32), np.array([1.0], dtype=np.float32), ("pump",))
        self.scenarios = {
            "hold": Scenario("hold", 0, 120, "Hold", "A constant set-point."),
            "step": Scenario("step", 1, 180, "Step", "The set-point steps."),
            "leak": Scenario("leak", 2, 240, "Leak", "The lower tank leaks."),
        }
        self.constraints: tuple[Constraint, ...] = (
            Constraint("level_high", "level", None, 3.0, "m"),
            Constraint("level_low", "level", 0.8, None, "m", applies="running"),
            Constraint("overflow", "level", None, 5.0, "m", catastrophic=True),
        )
        self.variables: tuple[Variable, ...] = tuple(
            Variable(name, unit, name)
            for name, unit in (
                ("upper", "m"),
                ("level", "m"),
                ("level_setpoint", "m"),
                ("running", ""),
                ("efficiency", ""),
            )
        )
        self.resets: list[str] = []

    def baseline_gains(self) -> dict[str, Any]:
        loop = {"measurement": "level", "setpoint": "level_setpoint", "kp": 0.8, "ki": 0.02, "tracking_s": 20}
        return {"dt_s": 2.0, "channels": [{"action": "pump", "loops": [loop]}]}

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        self.resets.append(scenario)
        return self.reset_mixed([scenario] * len(seeds), seeds)

    def reset_mixed(self, scenarios: Sequence[str], seeds: Sequence[int]) -> Float32:
        n = len(seeds)
        self.time, self.length = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
        self.steps_up, self.leaks = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        self.upper, self.level, self.ended = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.bool_)
        return self.reset_some(np.arange(n), scenarios, seeds)

    def reset_some(self, indices: Any, scenarios: Sequence[str], seeds: Sequence[int]) -> Float32:
        told = ["hold"] * len(seeds) if self.ignore_scenario else list(scenarios)
        start = np.array([np.random.default_rng(s).uniform(1.2, 1.8) for s in seeds])
        self.time[indices], self.upper[indices], self.level[indices] = 0, start, start
        self.length[indices] = [self.scenarios[s].steps for s in scenarios]
        self.steps_up[indices], self.leaks[indices] = [s == "step" for s in told], [s == "leak" for s in told]
        self.ended[indices] = False
        first: Float32 = self._obs()[indices]
        return first

    def step(self, action: Float32) -> Step:
        live = ~self.ended
        pump = 0.25 * (np.clip(np.asarray(action, dtype=np.float64)[:, 0], -1, 1) + 1.0)
        between, out = 0.2 * np.sqrt(self.upper), self.outlet * np.sqrt(self.level)
        leak = np.where(self.leaks & (self.time >= 50), 0.05, 0.0)
        upper = np.maximum(self.upper + self.dt_s * 0.5 * (pump - between), 0.0)
        level = np.maximum(self.level + self.dt_s * 0.5 * (between - out - leak), 0.0)
        self.upper, self.level = np.where(live, upper, self.upper), np.where(live, level, self.level)
        self.time += live
        error = np.abs(self.level - self._setpoint())
        terminated = live & (self.level > 5.0)
        truncated = live & (self.time >= self.length)
        self.ended |= terminated | truncated
        return Step(
            self._obs(), np.where(live, 1.0 - error, 0.0), terminated, truncated, self._variables(),
            np.zeros(len(live), dtype=np.bool_),
        )  # fmt: skip

    def _setpoint(self) -> Any:
        return np.where(self.steps_up & (self.time >= 40), 2.0, 1.5)

    def _obs(self) -> Float32:
        seen = {"upper": self.upper, "level": self.level, "level_setpoint": self._setpoint(), "running": self.time > 5}
        return np.stack([seen[name] for name in self.observed], axis=1).astype(np.float32)

    def _variables(self) -> dict[str, Any]:
        return {
            "upper": self.upper.copy(),
            "level": self.level.copy(),
            "level_setpoint": self._setpoint(),
            "running": (self.time > 5).astype(np.float64),
            "efficiency": self.level / 10.0,
        }


class Constant:
    """A controller that always says the same; the nth action can be replaced by NaN."""

    def __init__(self, value: float, *, lost_at: int | None = None) -> None:
        self.value, self.lost_at = value, lost_at

    def reset(self, batch: int) -> None:
        self.calls, self.batch = 0, batch

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        self.calls += 1
        value = np.nan if self.calls == self.lost_at else self.value
        return np.full((obs.shape[0], 1), value, dtype=np.float32), None
