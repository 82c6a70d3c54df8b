"""``rollout``: many episodes at once, of which only what a verdict needs is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate5.errors import EvaluationError, PlantError
from gate5.plant.base import Bool, Constraint, Controller, Float64, Plant, Step
from gate5.plant.declared import closest
from gate5.plant.disturbance import disturbable
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.stress import integration_error

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Episodes:
    """What came of ``B`` episodes.

    Attributes:
        constraints: the plant's.
        returns: sum of rewards, ``[B]``; NaN where a reward was not finite.
        violating: whether the episode broke a constraint, its solver failed, an action was not finite, or it ended
            early for no declared reason, ``[B]``: the same as ``Evaluator`` counts.
        margins: smallest distance to each limit in the constraint's unit, ``[constraints, B]``; ``inf`` where it never
            applied, ``-inf`` where the value was not finite.
        times_s: when that was, ``[constraints, B]``.
        broke: solver failures, actions that were not finite, and unexplained ends, ``[B]``.
        travel: strokes of the actuators per hour, mean over the actuators, ``[B]``; NaN where the plant reports none.
        steps: control steps until the end, ``[B]``.
        errors: integration error of each constraint's margin (``gate5.plant.stress``), ``[constraints]``.
    """

    constraints: tuple[Constraint, ...]
    returns: Float64
    violating: Bool
    margins: Float64
    times_s: Float64
    broke: Bool
    travel: Float64
    steps: NDArray[np.intp]
    errors: Float64

    @property
    def shares(self) -> Float64:
        """The smallest margin of each episode over all constraints, each in its own scale (``scale``), ``[B]``.

        Negative exactly where the episode violates.
        """
        return self._smallest(self.margins)

    @property
    def net_shares(self) -> Float64:
        """The same of what each margin leaves beyond the integration error."""
        return self._smallest(self.margins - self.errors[:, None])

    def _smallest(self, margins: Float64) -> Float64:
        scaled = margins / self._scales[:, None]
        return np.where(self.broke, -np.inf, np.min(scaled, axis=0, initial=np.inf))

    @property
    def _scales(self) -> Float64:
        return np.array([scale(c) for c in self.constraints], dtype=np.float64)

    def binding(self, episode: int, *, net: bool = False) -> int | None:
        """Which constraint has the smallest margin in its own scale; ``None``: none applied.

        Args:
            net: less the integration error.
        """
        margins = self.margins[:, episode] - (self.errors if net else 0.0)
        if not (margins < np.inf).any():
            return None
        return int(np.argmin(margins / self._scales))

    @classmethod
    def join(cls, parts: Sequence[Episodes]) -> Episodes:
        """Parts one after the other."""

        def along(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts], axis=-1)

        first = parts[0]
        return cls(
            first.constraints, along("returns"), along("violating"), along("margins"), along("times_s"),
            along("broke"), along("travel"), along("steps"), first.errors,
        )  # fmt: skip


def scale(constraint: Constraint) -> float:
    """What makes margins of different constraints comparable: half of the room between two limits, else 5 % of one."""
    if constraint.low is not None and constraint.high is not None:
        return max(0.5 * (constraint.high - constraint.low), 1e-9)
    limit = constraint.high if constraint.low is None else constraint.low
    return max(0.05 * abs(limit or 0.0), 1e-2)


def rollout(
    plant: Plant,
    controller: Controller,
    scenario: str,
    seeds: Sequence[int],
    numbers: Sequence[Mapping[str, float]] | None = None,
    *,
    each: Sequence[Sequence[Perturbation]] | None = None,
    batch: int = 1024,
    progress: Progress | None = None,
) -> Episodes:
    """Drive one episode per seed, ``batch`` of them at once.

    Args:
        numbers: for each episode, disturbances that replace drawn ones; the plant must declare some.
        each: for each episode, its perturbations; the plant must be a ``PerturbedPlant``.
        batch: an episode of a plant is the same in every batch, so that this only sets the speed and the memory.
        progress: called as ``progress(done_steps, total_steps)``.

    Raises:
        PlantError: the plant has no such scenario or disturbance.
        EvaluationError: an action has the wrong shape, or a variable that a constraint needs is not reported.
    """
    seeds = list(seeds)
    parts, chunks = [], range(0, len(seeds), batch)
    steps = plant.scenarios[scenario].steps if scenario in plant.scenarios else 0
    for i, start in enumerate(chunks):
        part = slice(start, start + batch)
        start_of = _Start(
            scenario,
            seeds[part],
            None if numbers is None else list(numbers[part]),
            None if each is None else list(each[part]),
        )

        def report(done: int, i: int = i) -> None:
            if progress is not None:
                progress(i * steps + done, len(chunks) * steps)

        parts.append(_drive(plant, controller, start_of, report))
    return Episodes.join(parts)


class _Start(NamedTuple):
    scenario: str
    seeds: Sequence[int]
    numbers: Sequence[Mapping[str, float]] | None
    each: Sequence[Sequence[Perturbation]] | None

    def begin(self, plant: Plant) -> Any:
        """The first observations."""
        names = [self.scenario] * len(self.seeds)
        if self.each is not None:
            if not isinstance(plant, PerturbedPlant):
                raise EvaluationError(f"The plant {plant.name} is not perturbed, so episodes have no perturbations.")
            return plant.reset_mixed(names, self.seeds, self.numbers, self.each)
        if self.numbers is None:
            return plant.reset(self.scenario, self.seeds)
        inner = disturbable(plant)
        if inner is None:
            raise EvaluationError(f"The plant {plant.name} declares no disturbances, so none can be given.")
        return inner.reset_mixed(names, self.seeds, self.numbers)


def _drive(plant: Plant, controller: Controller, start: _Start, report: Callable[[int], None]) -> Episodes:
    count, space = len(start.seeds), plant.action_space
    obs = start.begin(plant)
    controller.reset(count)
    tally = _Tally(plant, count)
    last = np.tile(0.5 * (space.low + space.high), (count, 1)).astype(np.float32)
    for t in range(plant.scenarios[start.scenario].steps):
        action, _ = controller.predict(obs)
        if np.shape(action) != (count, space.size):
            raise EvaluationError(
                f"The controller gave actions of shape {np.shape(action)} for {count} observations; the plant "
                f"{plant.name} takes {(count, space.size)}."
            )
        finite: Bool = np.asarray(np.isfinite(action).all(axis=1))
        last = np.where(finite[:, None], action, last).astype(np.float32)
        step = plant.step(last)
        tally.add(t, step, ~finite)
        obs = step.obs
        report(t + 1)
        if not tally.live.any():
            break
    return tally.episodes()


class _Tally:
    """Keeps what ``Episodes`` holds, step by step."""

    def __init__(self, plant: Plant, count: int) -> None:
        self._constraints, self._dt = plant.constraints, plant.dt_s
        self.live: Bool = np.ones(count, dtype=np.bool_)
        shape = (len(self._constraints), count)
        self._margins, self._times = np.full(shape, np.inf), np.zeros(shape)
        self._returns, self._steps = np.zeros(count), np.zeros(count, dtype=np.intp)
        self._bad, self._broke = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        self._errors = _errors(plant)
        declared = disturbable(plant)
        self._actuators = () if declared is None else declared.actuators
        self._travel: Float64 = np.zeros(count)
        self._positions: Any = None

    def add(self, t: int, step: Step, nonfinite: Bool) -> None:
        live, bad = self.live, step.solver_failed | nonfinite
        self._returns += np.where(live, step.reward, 0.0)
        self._steps += live
        broken = np.zeros_like(live)
        for row, constraint in enumerate(self._constraints):
            applies = live
            if constraint.applies is not None:
                applies = live & (_variable(step, constraint.applies) != 0.0)
            margin = constraint.margin(_variable(step, constraint.variable))
            broken |= applies & ~(margin >= 0.0)
            margin = np.where(applies, np.where(np.isnan(margin), -np.inf, margin), np.inf)
            smaller = margin < self._margins[row]
            self._margins[row] = np.where(smaller, margin, self._margins[row])
            self._times[row] = np.where(smaller, (t + 1) * self._dt, self._times[row])
        unexplained = step.terminated & ~broken & ~bad
        self._broke |= live & (bad | unexplained)
        self._bad |= live & (broken | bad | unexplained)
        self._move(step, live)
        self.live = live & ~(step.terminated | step.truncated)

    def _move(self, step: Step, live: Bool) -> None:
        found = [(step.variables[a.name], a.span) for a in self._actuators if a.name in step.variables]
        if not found:
            return
        positions = np.array([value / span for value, span in found])
        if self._positions is not None:
            self._travel += np.where(live, np.abs(positions - self._positions).mean(axis=0), 0.0)
        self._positions = positions

    def episodes(self) -> Episodes:
        hours = np.maximum(self._steps, 1) * self._dt / 3600.0
        travel = self._travel / hours if self._positions is not None else np.full(hours.shape, np.nan)
        returns = np.where(np.isfinite(self._returns), self._returns, np.nan)
        return Episodes(
            tuple(self._constraints), returns, self._bad, self._margins, self._times, self._broke, travel, self._steps,
            self._errors,
        )  # fmt: skip


def _errors(plant: Plant) -> Float64:
    """The integration error of each constraint's margin, ``[constraints]``; what is not declared counts as exact.

    Raises:
        PlantError: one is of no constraint, or would widen a margin.
    """
    declared, names = integration_error(plant), [c.name for c in plant.constraints]
    for name, value in declared.items():
        if name not in names:
            raise PlantError(
                f"The plant {plant.name} declares an integration error of {name!r}, which is no constraint, so that it "
                f"would count for none: {closest(name, names)}"
            )
        if not (math.isfinite(value) and value >= 0.0):
            raise PlantError(
                f"The plant {plant.name} declares the integration error {value} of {name!r}: give 0 or more."
            )
    return np.array([declared.get(name, 0.0) for name in names], dtype=np.float64)


def _variable(step: Step, name: str) -> Float64:
    value = step.variables.get(name)
    if value is None:
        raise EvaluationError(f"The plant does not report the variable {name!r}, which a constraint needs.")
    return value
