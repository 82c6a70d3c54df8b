"""What a plant is: a batch of episodes that step together, with named scenarios and declared constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Box:
    """Bounds of an observation or an action, one pair per component (float32, shape ``[n]``)."""

    low: Float32
    high: Float32
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return int(self.low.shape[0])


@dataclass(frozen=True)
class Scenario:
    """One named course of events that a policy has to master.

    Attributes:
        name: identifier, ``emergency_trip``.
        phase: its number in the specification (0 to 6).
        steps: length of a full episode in control steps.
        title: what a report calls it.
        description: what happens, one sentence.
    """

    name: str
    phase: int
    steps: int
    title: str
    description: str


@dataclass(frozen=True)
class Constraint:
    """``low <= variable <= high``, checked at every step at which it applies.

    Attributes:
        name: identifier, ``turbine_inlet_high``.
        variable: which of the plant's variables it bounds.
        low, high: the limits in the variable's unit; ``None`` where there is none on that side.
        unit: of the variable.
        applies: name of a boolean variable of the plant that says when the constraint holds; ``None``: always.
        catastrophic: the episode ends where it is broken.
        description: one sentence.
    """

    name: str
    variable: str
    low: float | None
    high: float | None
    unit: str
    applies: str | None = None
    catastrophic: bool = False
    description: str = ""

    def margin(self, values: Float64) -> Float64:
        """Distance to the nearer limit, in the variable's unit; negative (or NaN) where the constraint is broken."""
        margin = np.full(values.shape, np.inf)
        if self.low is not None:
            margin = np.minimum(margin, values - self.low)
        if self.high is not None:
            margin = np.minimum(margin, self.high - values)
        return np.asarray(margin, dtype=np.float64)


@dataclass(frozen=True)
class Variable:
    """Something that the plant reports at every step: name, unit and what it is."""

    name: str
    unit: str
    title: str


@dataclass(frozen=True)
class Term:
    """One part of what an operator pays for, as a rate that the plant reports at every step.

    An episode's value is the mean of its variable over the steps; more is worse, except where ``reported_only``.

    Attributes:
        name: identifier, ``power_deviation``.
        variable: which of the plant's variables it is.
        unit: of the variable.
        weight: cost in ``currency`` per hour at a value of one; 0: shown, but not part of the objective.
        margin: non-inferiority: how much worse than the baseline, in the unit, still counts as no worse.
        source: where the weight comes from, one sentence.
        currency: of the weight.
        reported_only: no cost, and more is better (a reward of another definition).
        essential: a release that is worse in it is refused; of the others the report tells.
    """

    name: str
    variable: str
    unit: str
    weight: float
    margin: float
    source: str = ""
    title: str = ""
    currency: str = "EUR"
    reported_only: bool = False
    essential: bool = False


def objective(plant: Plant) -> tuple[Term, ...]:
    """The terms that a plant declares (its attribute ``objective``); none: its reward is all there is."""
    return tuple(getattr(plant, "objective", ()))


@dataclass(frozen=True)
class Step:
    """One control step of ``B`` episodes.

    Attributes:
        obs: float32 ``[B, obs_dim]``, physical units.
        reward: float64 ``[B]``.
        terminated: bool ``[B]``, a catastrophic limit was broken or the solver failed.
        truncated: bool ``[B]``, the scenario is over.
        variables: every declared variable, float64 ``[B]``; booleans that ``Constraint.applies`` names are 0 or 1.
        solver_failed: bool ``[B]``; a failed solver counts as a violation.
    """

    obs: Float32
    reward: Float64
    terminated: Bool
    truncated: Bool
    variables: Mapping[str, Float64]
    solver_failed: Bool


@runtime_checkable
class Plant(Protocol):
    """A batch of plants. Episodes that have ended keep their last state; the evaluator ignores them."""

    @property
    def name(self) -> str: ...

    @property
    def dt_s(self) -> float:
        """Control step in seconds."""
        ...

    @property
    def observation_space(self) -> Box: ...

    @property
    def action_space(self) -> Box: ...

    @property
    def scenarios(self) -> Mapping[str, Scenario]: ...

    @property
    def constraints(self) -> tuple[Constraint, ...]: ...

    @property
    def variables(self) -> tuple[Variable, ...]: ...

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        """Start one episode per seed; returns the first observations, float32 ``[len(seeds), obs_dim]``.

        Raises:
            PlantError: the scenario does not exist (the text lists those that do).
        """
        ...

    def step(self, action: Float32) -> Step:
        """Advance every episode by one control step.

        Args:
            action: float32 ``[B, act_dim]``; clipped to the action space.
        """
        ...


class Controller(Protocol):
    """Anything that drives a plant: an engine, a PyTorch policy, a PID."""

    def reset(self, batch: int) -> None:
        """Forget the past; ``batch`` episodes start."""
        ...

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions float32 ``[B, act_dim]`` for observations float32 ``[B, obs_dim]``; ``None`` is SB3's state."""
        ...
