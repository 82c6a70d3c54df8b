"""Running episodes: many at once in arrays, or a single one in plain floats, to the bit the same."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Bool, Constraint, Float64
from gate5.plant.sco2 import design, steady
from gate5.plant.sco2.cycle import Cycle, Health
from gate5.plant.sco2.declarations import CONSTRAINTS
from gate5.plant.sco2.model import Inputs, Outputs, State, advance, evaluate, spin
from gate5.plant.sco2.objective import TERMINAL_REWARD, reward
from gate5.plant.sco2.ops import ArrayOps, FloatOps
from gate5.plant.sco2.parameters import ACTUATORS, DT_S, Parameters
from gate5.plant.sco2.report import report
from gate5.plant.sco2.scenarios import Course

_ENDLESS = 10_000
_LUMPS = ("p_low", "p_high", "inlet_h", "recuperated", "metal", "casing")
_RANGES = tuple(a.high - a.low for a in ACTUATORS)
_RANGE = np.array(_RANGES)[:, None]


class Result(NamedTuple):
    """One step: ``reward``, ``terminated``, ``truncated`` and ``failed``, arrays ``[B]``."""

    reward: Float64
    terminated: Bool
    truncated: Bool
    failed: Bool


class Standing(NamedTuple):
    """Running episodes: their states ``[k, B]`` in the order of ``State``, their components' condition ``[5, B]``
    (``Health``), and their inputs from the start to the end, ``[B, steps + 1, 8]``."""

    memory: list[Float64]
    condition: Float64
    inputs: Float64


class ArrayBatch:
    """``B`` episodes in arrays ``[B]``."""

    def __init__(
        self,
        parameters: Parameters,
        courses: Sequence[Course],
        constraints: Sequence[Constraint] = CONSTRAINTS,
        substeps: int = 1,
    ) -> None:
        self._substeps = substeps
        self._ops = ArrayOps()
        self._catastrophic = tuple(c for c in constraints if c.catastrophic)
        self._cycle = design.cycle(parameters, self._ops)
        count = len(courses)
        self._steps = np.array([c.inputs.shape[0] - 1 for c in courses])
        self._inputs = np.zeros((count, int(self._steps.max()) + 1, 8))
        for i, course in enumerate(courses):
            self._inputs[i, : course.inputs.shape[0]] = course.inputs
        self._t: NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self._index = np.arange(count)
        self._over: Bool = np.zeros(count, dtype=np.bool_)
        self._health = _gather_health(courses)
        self._state = start(self._cycle, courses, self._health)
        self._moved = np.zeros((len(ACTUATORS), count))
        self._pass()

    def restart(self, indices: Sequence[int], courses: Sequence[Course]) -> None:
        """New episodes in some places."""
        where = np.asarray(indices, dtype=np.intp)
        longest = max(c.inputs.shape[0] for c in courses)
        if longest > self._inputs.shape[1]:
            self._inputs = np.pad(self._inputs, ((0, 0), (0, longest - self._inputs.shape[1]), (0, 0)))
        health = _gather_health(courses)
        state = start(self._cycle, courses, health)
        self._health = Health(*(_put(a, where, b) for a, b in zip(self._health, health, strict=True)))
        self._state = State(*(_put(a, where, b) for a, b in zip(self._state, state, strict=True)))
        self._steps = _put(self._steps, where, np.array([c.inputs.shape[0] - 1 for c in courses]))
        for i, course in zip(where.tolist(), courses, strict=True):
            self._inputs[i, : course.inputs.shape[0]] = course.inputs
        self._t = _put(self._t, where, 0)
        self._over = _put(self._over, where, False)
        self._moved = _put(self._moved, where, 0.0)
        self._pass()

    def fork(self, copies: int) -> ArrayBatch:
        """Each running episode ``copies`` times in a new batch, in its present state and under its present inputs.

        Those copies never see what the scenario brings later, and have no end but a broken limit.
        """
        twin = copy.copy(self)
        count = self._index.size * copies
        twin._health = Health(*(np.repeat(np.broadcast_to(h, self._index.shape), copies) for h in self._health))
        twin._state = State(*(np.repeat(x, copies, axis=-1) for x in self._state))
        twin._moved = np.repeat(self._moved, copies, axis=-1)
        held = np.repeat(self._inputs[self._index, self._t], copies, axis=0)
        twin._steps = np.full(count, _ENDLESS)
        twin._inputs = np.broadcast_to(held[:, None], (count, _ENDLESS, held.shape[1]))
        twin._t, twin._index = np.zeros(count, dtype=np.intp), np.arange(count)
        twin._over = np.repeat(self._over, copies)
        twin._pass()
        return twin

    @property
    def standing(self) -> Standing:
        """The running episodes as they stand."""
        memory = [*(np.broadcast_to(x, self._index.shape)[None] for x in self._state[:-1]), self._state.actuators]
        condition = np.stack([np.broadcast_to(h, self._index.shape) for h in self._health])
        return Standing(memory, condition, self._inputs)

    def step(self, wanted: Float64) -> Result:
        """Advance by one control step; ``wanted`` float64 ``[B, 4]``."""
        with np.errstate(all="ignore"):
            return self._step(np.clip(np.ascontiguousarray(wanted.T), -1.0, 1.0))

    def rows(self, names: Sequence[str]) -> Float64:
        """Variables as float64 ``[len(names), B]``."""
        return np.stack([self.values[name] for name in names])

    def variables(self) -> dict[str, Float64]:
        """Every declared variable, float64 ``[B]``."""
        return dict(self.values)

    def _step(self, wanted: Float64) -> Result:
        over, old = self._over, self._state
        any_over = bool(over.any())
        self._t = self._t + ~over
        inputs = self._read_inputs()
        actuators = self._ops.move(old.actuators, wanted)
        new, sound = self._integrate(old, inputs, actuators)
        if any_over:
            new = State(*(np.where(over, a, b) for a, b in zip(old, new, strict=True)))
        moved = (new.actuators - old.actuators) / _RANGE
        self._state, self._moved = new, np.where(over, self._moved, moved) if any_over else moved
        self._pass()
        failed = ~(self._outputs.valid & sound)
        broken = failed
        for constraint in self._catastrophic:
            broken = broken | ~(constraint.margin(self.values[constraint.variable]) >= 0.0)
        gained = np.where(broken, TERMINAL_REWARD, reward(self.values))
        if any_over:
            gained = np.where(over, 0.0, gained)
        truncated = (self._t >= self._steps) & ~broken
        self._over = broken | truncated
        return Result(gained, broken, truncated, failed)

    def _integrate(self, old: State, inputs: Inputs, actuators: Any) -> tuple[State, Any]:
        """The states one control step later, in ``substeps`` steps, and whether every pass on the way was valid."""
        dt, new, outputs, sound = DT_S / self._substeps, old, self._outputs, np.True_
        for i in range(self._substeps):
            if i:
                outputs = evaluate(self._cycle, new, inputs, self._health)
            new, middle = advance(self._cycle, new, outputs, inputs, actuators, self._health, dt)
            sound = sound & middle.y.valid
        return new._replace(speed=spin(self._cycle, old, self._outputs, inputs)), sound

    def _read_inputs(self) -> Inputs:
        return Inputs(*np.ascontiguousarray(self._inputs[self._index, self._t].T))

    def _pass(self) -> None:
        with np.errstate(all="ignore"):
            inputs = self._read_inputs()
            self._outputs: Outputs = evaluate(self._cycle, self._state, inputs, self._health)
            self.values: dict[str, Any] = report(self._state, inputs, self._outputs, self._moved, self._ops)


class FloatBatch:
    """One episode in plain floats: the same equations without NumPy's cost per call."""

    def __init__(
        self, parameters: Parameters, courses: Sequence[Course], constraints: Sequence[Constraint] = CONSTRAINTS
    ) -> None:
        self._ops = FloatOps()
        self._catastrophic = tuple(c for c in constraints if c.catastrophic)
        self._cycle = design.cycle(parameters, self._ops)
        self._arrays = design.cycle(parameters, ArrayOps())
        self.restart((0,), courses)

    def restart(self, indices: Sequence[int], courses: Sequence[Course]) -> None:
        """A new episode."""
        (course,) = courses
        begin = start(self._arrays, courses, _gather_health(courses))
        numbers: list[Any] = [float(v[0]) for v in begin[:-1]]
        self._state = State(*numbers, *[tuple(begin.actuators[:, 0].tolist())])
        self._health = course.health
        self._inputs: list[list[float]] = course.inputs.tolist()
        self._t = 0
        self._over = False
        self._ended = (False, False, False)
        self._moved = (0.0,) * len(ACTUATORS)
        self._pass()

    def step(self, wanted: Float64) -> Result:
        """Advance by one control step; ``wanted`` float64 ``[1, 4]``."""
        if self._over:
            return _single(0.0, *self._ended)
        self._t += 1
        inputs = Inputs(*self._inputs[self._t])
        old = self._state
        action = [min(max(a, -1.0), 1.0) for a in wanted[0].tolist()]
        new, sound = self._integrate(old, inputs, self._ops.move(old.actuators, action))
        self._state = new
        self._moved = tuple((b - a) / r for a, b, r in zip(old.actuators, new.actuators, _RANGES, strict=True))
        self._pass()
        failed = not (self._outputs.valid and sound)
        broken = failed or any(_breaks(c.low, c.high, self.values[c.variable]) for c in self._catastrophic)
        gained = TERMINAL_REWARD if broken else reward(self.values)
        truncated = self._t >= len(self._inputs) - 1 and not broken
        self._over, self._ended = broken or truncated, (broken, truncated, failed)
        return _single(gained, *self._ended)

    def rows(self, names: Sequence[str]) -> Float64:
        """Variables as float64 ``[len(names), 1]``."""
        values = self.values
        return np.array([values[name] for name in names], dtype=np.float64)[:, None]

    def variables(self) -> dict[str, Float64]:
        """Every declared variable, float64 ``[1]``."""
        columns = np.array(list(self.values.values()), dtype=np.float64)[:, None]
        return dict(zip(self.values, columns, strict=True))

    def _integrate(self, old: State, inputs: Inputs, actuators: Any) -> tuple[State, bool]:
        try:
            new, middle = advance(self._cycle, old, self._outputs, inputs, actuators, self._health)
        except (ZeroDivisionError, OverflowError):  # where an array has inf or NaN
            return old._replace(**dict.fromkeys(_LUMPS, math.nan), actuators=actuators), False
        return new._replace(speed=spin(self._cycle, old, self._outputs, inputs)), bool(middle.y.valid)

    def _pass(self) -> None:
        inputs = Inputs(*self._inputs[self._t])
        try:
            self._outputs = evaluate(self._cycle, self._state, inputs, self._health)
        except (ZeroDivisionError, OverflowError):  # where an array has inf or NaN
            self._outputs = Outputs(*(float("nan") for _ in Outputs._fields))._replace(valid=False)
        self.values = report(self._state, inputs, self._outputs, self._moved, self._ops)


def start(cycle: Cycle, courses: Sequence[Course], health: Health) -> State:
    """The states, arrays ``[B]``, at which episodes start: steady under their first inputs."""
    first = Inputs(*np.stack([c.inputs[0] for c in courses], axis=1))
    begin = [c.start for c in courses]
    operation = steady.Operation(
        power=np.array([s.power for s in begin]) * 1e3,
        flow=np.array([s.flow for s in begin]),
        p_low=np.array([s.p_low for s in begin]),
        inlet_c=np.array([s.inlet_c for s in begin]),
        turbine_c=np.array([s.turbine_c for s in begin]),
        exhaust_c=first.exhaust_source,
        exhaust_flow=first.exhaust_flow,
        coolant_c=first.coolant,
        loaded=first.admitted,
    )
    with np.errstate(all="ignore"):
        return steady.solve(cycle, operation, health)


def _breaks(low: float | None, high: float | None, value: float) -> bool:
    return not ((low is None or value >= low) and (high is None or value <= high))


def _single(gained: float, terminated: bool, truncated: bool, failed: bool) -> Result:
    return Result(np.array([gained]), np.array([terminated]), np.array([truncated]), np.array([failed]))


def _gather_health(courses: Sequence[Course]) -> Health:
    return Health(*(np.array(values) for values in zip(*(c.health for c in courses), strict=True)))


def _put(whole: NDArray[Any], where: NDArray[np.intp], part: Any) -> NDArray[Any]:
    """A copy with some places replaced: earlier steps' variables may share the array."""
    changed = whole.copy()
    changed[..., where] = part
    return changed
