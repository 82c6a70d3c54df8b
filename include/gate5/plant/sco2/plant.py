"""``SCO2Plant``: a batch of 10 MWe supercritical-CO2 plants that step together."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gate5 import _json
from gate5.errors import PlantError
from gate5.plant.base import Box, Constraint, Float32, Float64, Scenario, Step, Variable
from gate5.plant.sco2 import design, steady
from gate5.plant.sco2.cycle import Health
from gate5.plant.sco2.declarations import (
    ACTION,
    CONSTRAINTS,
    GENERATING_MW,
    LOADED_MW,
    OBSERVATION,
    SENSORS,
    VARIABLES,
)
from gate5.plant.sco2.model import Inputs, Outputs, State, advance, evaluate
from gate5.plant.sco2.ops import ArrayOps
from gate5.plant.sco2.parameters import ACTUATORS, DT_S, Parameters
from gate5.plant.sco2.scenarios import SCENARIOS, Course, draw

_LOW = OBSERVATION.low.astype(np.float64)[:, None]
_HIGH = OBSERVATION.high.astype(np.float64)[:, None]
_RANGE = np.array([a.high - a.low for a in ACTUATORS])[:, None]
_TERMINAL_REWARD = -100.0
_GAINS = Path(__file__).with_name("pid_gains.json")


class SCO2Plant:
    """The shipped plant (docs/plant.md); keyword options override fields of ``Parameters``.

    Raises:
        PlantError: an option that ``Parameters`` does not have.
    """

    def __init__(self, **options: Any) -> None:
        self._parameters = _with_options(options)
        self._cycle = design.cycle(self._parameters, ArrayOps())
        self._names: list[str] = []
        self._started = False

    @property
    def name(self) -> str:
        return "sco2"

    @property
    def dt_s(self) -> float:
        return DT_S

    @property
    def observation_space(self) -> Box:
        return OBSERVATION

    @property
    def action_space(self) -> Box:
        return ACTION

    @property
    def scenarios(self) -> Mapping[str, Scenario]:
        return SCENARIOS

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return CONSTRAINTS

    @property
    def variables(self) -> tuple[Variable, ...]:
        return VARIABLES

    def baseline_gains(self) -> dict[str, Any] | None:
        """The tuned PID gains shipped for this plant, or ``None`` where the file is missing."""
        if not _GAINS.exists():
            return None
        gains: dict[str, Any] = _json.loads(_GAINS.read_text(encoding="utf-8"))
        return gains

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        """Start one episode of ``scenario`` per seed; see ``Plant.reset``."""
        return self.reset_mixed([scenario] * len(seeds), seeds)

    def reset_mixed(self, names: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start one episode per pair of scenario and seed, all in one batch.

        Raises:
            PlantError: a scenario that does not exist, no seed at all, or as many names as seeds were not given.
        """
        if len(names) != len(seeds) or not seeds:
            raise PlantError(f"{len(names)} scenarios and {len(seeds)} seeds: give one seed for each, at least one.")
        courses = [self._draw(name, seed) for name, seed in zip(names, seeds, strict=True)]
        self._names = list(names)
        count = len(seeds)
        self._steps = np.array([c.inputs.shape[0] - 1 for c in courses])
        self._inputs = np.zeros((count, int(self._steps.max()) + 1, 8))
        for i, course in enumerate(courses):
            self._inputs[i, : course.inputs.shape[0]] = course.inputs
        self._health = _gather_health(courses)
        self._t = np.zeros(count, dtype=np.intp)
        self._index = np.arange(count)
        self._over = np.zeros(count, dtype=np.bool_)
        self._state = self._start(courses, self._health)
        self._started = True
        self._pass()
        return self._observe()

    def reset_some(self, indices: Sequence[int], names: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start new episodes in some places of the running batch.

        Returns:
            Their first observations, float32 ``[len(indices), obs_dim]``.

        Raises:
            PlantError: no batch runs, a scenario does not exist, or the numbers differ.
        """
        if not self._started:
            raise PlantError("reset_some needs a running batch: call reset or reset_mixed first.")
        if not 0 < len(indices) == len(names) == len(seeds):
            raise PlantError(
                f"{len(indices)} places, {len(names)} scenarios, {len(seeds)} seeds: give equal numbers, at least one."
            )
        courses = [self._draw(name, seed) for name, seed in zip(names, seeds, strict=True)]
        longest = max(c.inputs.shape[0] for c in courses)
        if longest > self._inputs.shape[1]:
            self._inputs = np.pad(self._inputs, ((0, 0), (0, longest - self._inputs.shape[1]), (0, 0)))
        where = np.asarray(indices, dtype=np.intp)
        health = _gather_health(courses)
        state = self._start(courses, health)
        for whole, part in zip((*self._health, *self._state), (*health, *state), strict=True):
            whole[..., where] = part
        for i, course, name in zip(where.tolist(), courses, names, strict=True):
            self._inputs[i, : course.inputs.shape[0]] = course.inputs
            self._steps[i] = course.inputs.shape[0] - 1
            self._names[i] = name
        self._t[where] = 0
        self._over[where] = False
        self._pass()
        return self._observe()[where]

    def step(self, action: Float32) -> Step:
        """Advance every episode by one control step of 5 s; see ``Plant.step``."""
        if not self._started:
            raise PlantError("The plant has not been started: call reset before step.")
        wanted = np.asarray(action, dtype=np.float64)
        if wanted.shape != (self._t.size, len(ACTUATORS)):
            raise PlantError(
                f"The action has shape {wanted.shape}, but {self._t.size} episodes of this plant take "
                f"({self._t.size}, {len(ACTUATORS)})."
            )
        with np.errstate(all="ignore"):
            return self._step(np.clip(wanted.T, -1.0, 1.0))

    def _step(self, wanted: Float64) -> Step:
        over = self._over
        any_over = bool(over.any())
        old = self._state
        self._t = self._t + ~over
        self._u = Inputs(*np.ascontiguousarray(self._inputs[self._index, self._t].T))
        actuators = self._cycle.ops.move(old.actuators, wanted)
        new = advance(self._cycle, old, self._y, self._u, actuators)
        if any_over:
            new = State(*(np.where(over, a, b) for a, b in zip(old, new, strict=True)))
        self._state = new
        moved = (new.actuators - old.actuators) / _RANGE
        self._pass()
        values = self._values
        failed = ~self._y.valid
        broken = failed
        for constraint in _CATASTROPHIC:
            broken = broken | ~(constraint.margin(values[constraint.variable]) >= 0.0)
        reward = _reward(values, (moved * moved).sum(axis=0))
        reward = np.where(broken, _TERMINAL_REWARD, reward)
        if any_over:
            reward = np.where(over, 0.0, reward)
        truncated = (self._t >= self._steps) & ~broken
        self._over = broken | truncated
        return Step(self._observe(), reward, broken, truncated, dict(values), failed)

    def _pass(self) -> None:
        """The property pass at the present states and what is reported from it."""
        with np.errstate(all="ignore"):
            self._u = Inputs(*np.ascontiguousarray(self._inputs[self._index, self._t].T))
            self._y = evaluate(self._cycle, self._state, self._u, self._health)
            self._values = report(self._state, self._u, self._y)

    def _observe(self) -> Float32:
        rows = np.stack([self._values[name] for name, _, _ in SENSORS])
        bounded = np.where(np.isnan(rows), _LOW, np.clip(rows, _LOW, _HIGH))
        return np.ascontiguousarray(bounded.T, dtype=np.float32)

    def _draw(self, name: str, seed: int) -> Course:
        if name not in SCENARIOS:
            close = difflib.get_close_matches(str(name), SCENARIOS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SCENARIOS)}."
            raise PlantError(f"The sCO2 plant has no scenario {name!r}: {hint}")
        if int(seed) < 0:
            raise PlantError(f"The seed {seed} is negative; seeds are whole numbers from 0.")
        return draw(name, seed)

    def _start(self, courses: Sequence[Course], health: Health) -> State:
        first = np.stack([c.inputs[0] for c in courses], axis=1)
        u = Inputs(*first)
        start = [c.start for c in courses]
        operation = steady.Operation(
            power=np.array([s.power for s in start]) * 1e3,
            flow=np.array([s.flow for s in start]),
            p_low=np.array([s.p_low for s in start]),
            inlet_c=np.array([s.inlet_c for s in start]),
            turbine_c=np.array([s.turbine_c for s in start]),
            exhaust_c=u.exhaust_source,
            exhaust_flow=u.exhaust_flow,
            coolant_c=u.coolant,
            loaded=u.admitted,
        )
        with np.errstate(all="ignore"):
            return steady.solve(self._cycle, operation, health)


_CATASTROPHIC = tuple(c for c in CONSTRAINTS if c.catastrophic)


def report(x: State, u: Inputs, y: Outputs) -> dict[str, Any]:
    """Every declared variable at one step."""
    damper, flow_command, pressure_command, coolant_valve = x.actuators
    net = y.net_power * 1e-3
    return {
        "net_power": net,
        "net_power_setpoint": u.setpoint,
        "net_power_setpoint_rate": u.setpoint_rate,
        "net_power_error": u.setpoint - net,
        "turbine_inlet_temperature": y.turbine_c,
        "turbine_inlet_temperature_setpoint": u.turbine_setpoint,
        "compressor_inlet_temperature": y.inlet_c,
        "compressor_inlet_density": y.density,
        "low_pressure": x.p_low,
        "high_pressure": x.p_high,
        "mass_flow": x.flow,
        "through_flow": y.through,
        "surge_margin": y.surge_margin,
        "compressor_speed": y.compressor_speed,
        "turbine_metal_temperature": x.casing,
        "turbine_metal_rate": y.casing_rate * 60.0,
        "rotor_speed": x.speed,
        "heater_metal_temperature": x.metal,
        "exhaust_temperature": x.exhaust,
        "coolant_temperature": u.coolant,
        "compressor_outlet_temperature": y.outlet_c,
        "heater_inlet_temperature": y.heater_in_c,
        "turbine_outlet_temperature": y.exhaust_c,
        "precooler_inlet_temperature": y.precooler_c,
        "coolant_outlet_temperature": y.coolant_out_c,
        "damper": damper,
        "flow_command": flow_command,
        "pressure_command": pressure_command,
        "coolant_valve": coolant_valve,
        "stop_valve": x.valve,
        "bypass_valve": x.bypass,
        "breaker_closed": y.breaker,
        "tripped": u.tripped,
        "generating": y.breaker * (u.setpoint >= GENERATING_MW),
        "loaded": y.breaker * (u.setpoint >= LOADED_MW),
        "efficiency": y.net_power / np.maximum(y.heat, 1000.0),
        "heat_input": y.exhaust_heat * 1e-3,
        "heat_to_co2": y.heat * 1e-3,
        "heat_rejected": y.cooling * 1e-3,
        "recuperator_heat": y.recuperator_heat * 1e-3,
        "turbine_power": y.turbine_power * 1e-3,
        "compressor_power": y.compressor_power * 1e-3,
        "stored_power": y.stored * 1e-3,
        "turbine_flow": y.turbine_flow,
        "bypass_flow": y.bypass_flow,
        "turbine_efficiency": y.turbine_efficiency,
        "compressor_efficiency": y.compressor_efficiency,
    }


def _reward(values: Mapping[str, Any], moved: Any) -> Any:
    """Tracking, efficiency and actuator movement, as the specification weighs them."""
    miss = values["net_power_error"] * (1.0 / 10.0)
    tracking = np.maximum(1.0 - miss * miss, 0.0)
    efficiency = np.clip(values["efficiency"] * (1.0 / 0.40), 0.0, 2.0)
    return tracking + 0.3 * efficiency - (0.1 / len(ACTUATORS)) * moved


def _gather_health(courses: Sequence[Course]) -> Health:
    return Health(*(np.array(values) for values in zip(*(c.health for c in courses), strict=True)))


def _with_options(options: dict[str, Any]) -> Parameters:
    known = {f.name: f for f in dataclasses.fields(Parameters) if f.name != "design"}
    for key, value in options.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}."
            raise PlantError(f"The sCO2 plant has no option {key!r}: {hint}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < 1e6:
            raise PlantError(f"The sCO2 plant's option {key!r} is {value!r}; it must be a positive number.")
    changed: dict[str, Any] = {k: float(v) for k, v in options.items()}
    return dataclasses.replace(Parameters(), **changed)


__all__ = ["SCO2Plant", "report"]
