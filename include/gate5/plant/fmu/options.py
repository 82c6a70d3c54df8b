"""What a configuration says about an FMU: which of its variables are observed, moved, rewarded and bounded."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import Field, field_validator, model_validator

from gate5.plant.declared import ConstraintOptions, Declaration

Value = bool | int | float | str


class Signal(Declaration):
    """One component of the observation or the action.

    An observation outside ``low`` to ``high`` shows the end of the range, as a sensor does; the variable of the same
    name keeps the FMU's own value.
    """

    name: str = Field(description="what gate5 calls it")
    variable: str = Field("", description="the FMU's name; empty: the same")
    low: float | None = Field(None, description="null: unbounded, for an observation only")
    high: float | None = None

    @property
    def source(self) -> str:
        return self.variable or self.name


class RewardTerm(Declaration):
    """``- weight * ((variable - target) / scale) ** 2``."""

    variable: str
    target: float | str = Field(0.0, description="a number, or a variable that holds it")
    scale: float = Field(1.0, gt=0)
    weight: float = Field(1.0, ge=0)


class Reward(Declaration):
    """A variable of the FMU, or ``offset`` less quadratic terms."""

    variable: str | None = None
    offset: float = 0.0
    terms: tuple[RewardTerm, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Reward:
        if (self.variable is None) == (not self.terms):
            raise ValueError("give either `variable`, the FMU's own reward, or `terms`")
        return self


class FMUScenario(Declaration):
    """A course of events: start values, random start values, and inputs over time."""

    steps: int = Field(ge=1)
    title: str = ""
    description: str = ""
    start: dict[str, Value] = Field(default_factory=dict, description="set before initialisation")
    spread: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="start values drawn uniformly from [low, high] by the episode's seed"
    )
    inputs: dict[str, tuple[tuple[float, float], ...]] = Field(
        default_factory=dict, description="[seconds, value] pairs, linear between them; a Boolean or Integer is held"
    )

    @field_validator("inputs")
    @classmethod
    def _in_order(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, pairs in value.items():
            times = [pair[0] for pair in pairs]
            if not times or any(b <= a for a, b in itertools.pairwise(times)):
                raise ValueError(f"the times of {name!r} must increase, at least one: {times}")
        return value

    @field_validator("spread")
    @classmethod
    def _ordered(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, (low, high) in value.items():
            if not low <= high:
                raise ValueError(f"the spread of {name!r} has low {low:g} above high {high:g}")
        return value


class FMUOptions(Declaration):
    """The options of an ``fmu:`` plant."""

    dt_s: float = Field(gt=0, description="control step in seconds: one doStep")
    observation: tuple[Signal, ...] = Field(min_length=1)
    action: tuple[Signal, ...] = Field(min_length=1)
    reward: Reward
    scenarios: dict[str, FMUScenario] = Field(min_length=1)
    variables: tuple[str, ...] = Field((), description="further variables to report")
    constraints: tuple[ConstraintOptions, ...] = ()
    start: dict[str, Value] = Field(default_factory=dict, description="start values of every scenario")
    seed: str | None = Field(None, description="an integer variable that gets the episode's seed before initialisation")
    terminated: str | None = Field(None, description="a variable that is not zero once the FMU has ended the episode")

    @model_validator(mode="after")
    def _names_differ(self) -> FMUOptions:
        for what in ("observation", "action"):
            names = [signal.name for signal in getattr(self, what)]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two components of the {what} have the name {name!r}")
        for signal in self.action:
            if signal.low is None or signal.high is None or not signal.low < signal.high:
                raise ValueError(f"the action {signal.name!r} needs low < high, it has {signal.low} and {signal.high}")
        return self
