"""Constraints as data: declared in a configuration's ``plant.options``, or a plant's own with other limits."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gate5.errors import PlantError
from gate5.plant.base import Constraint

_LIMITS = ("low", "high")


class Declaration(BaseModel):
    """A part of a plant's options: immutable, and closed against unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConstraintOptions(Declaration):
    """A declared constraint; see ``gate5.plant.base.Constraint``."""

    name: str
    variable: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    applies: str | None = None
    catastrophic: bool = False
    description: str = ""


def parse_options(model: type[Declaration], plant: str, options: Mapping[str, Any]) -> Any:
    """Validate a plant's options.

    Raises:
        PlantError: an option is unknown, of the wrong type or out of range; the text names it and lists all.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise PlantError(
            f"The options of the plant {plant} are wrong at {where!r}: {message} (got {first['input']!r}); "
            f"the options are {', '.join(model.model_fields)}."
        ) from None


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the close one, or all there are."""
    names = [str(item) for item in known]
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names) or 'none'}."


def declared_constraints(options: Sequence[ConstraintOptions], variables: Sequence[str]) -> tuple[Constraint, ...]:
    """The constraints that a configuration declares.

    Raises:
        PlantError: two share a name, one sets no limit, or needs a variable that the plant does not have.
    """
    constraints = tuple(Constraint(**option.model_dump()) for option in options)
    for index, constraint in enumerate(constraints):
        if constraint.name in [other.name for other in constraints[:index]]:
            raise PlantError(f"Two constraints have the name {constraint.name!r}: give each its own.")
        if constraint.low is None and constraint.high is None:
            raise PlantError(f"The constraint {constraint.name!r} sets no limit: give it `low`, `high` or both.")
        _check_limits(constraint)
        for name in (constraint.variable, constraint.applies):
            if name is not None and name not in variables:
                raise PlantError(
                    f"The constraint {constraint.name!r} needs the variable {name!r}: {closest(name, variables)}"
                )
    return constraints


def with_limits(constraints: tuple[Constraint, ...], limits: Any, plant: str) -> tuple[Constraint, ...]:
    """A plant's own constraints with other limits: ``{turbine_inlet_high: {high: 705}}``.

    Args:
        constraints: the plant's own.
        limits: constraint to ``{"low": number, "high": number}``; what is not named stays. ``None`` cannot be given: a
            limit may be moved, not taken away.
        plant: what an error calls the plant.

    Raises:
        PlantError: there is no such constraint or limit, or a limit is not a finite number.
    """
    if not isinstance(limits, Mapping):
        raise PlantError(
            f"The option `constraints` of the plant {plant} is {limits!r}; give limits by constraint, such as "
            "{turbine_inlet_high: {high: 705}}."
        )
    known = {constraint.name: constraint for constraint in constraints}
    for name, changes in limits.items():
        if name not in known:
            raise PlantError(f"The plant {plant} has no constraint {name!r}: {closest(str(name), known)}")
        if not isinstance(changes, Mapping) or not changes:
            raise PlantError(
                f"The constraint {name!r} gets {changes!r}; give `low`, `high` or both, such as {{high: 705}}."
            )
        known[name] = _with_changes(known[name], changes, plant)
    return tuple(known.values())


def _with_changes(constraint: Constraint, changes: Mapping[Any, Any], plant: str) -> Constraint:
    for side, value in changes.items():
        own = [name for name in _LIMITS if getattr(constraint, name) is not None]
        if side not in own:
            raise PlantError(
                f"The constraint {constraint.name!r} of the plant {plant} has no limit {side!r}; "
                f"it has {' and '.join(own)}."
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise PlantError(f"The limit {side!r} of the constraint {constraint.name!r} is {value!r}; give a number.")
    numbers: dict[str, Any] = {str(side): float(value) for side, value in changes.items()}
    moved = dataclasses.replace(constraint, **numbers)
    _check_limits(moved)
    return moved


def _check_limits(constraint: Constraint) -> None:
    low, high = constraint.low, constraint.high
    if low is not None and high is not None and not low <= high:
        raise PlantError(
            f"The constraint {constraint.name!r} has low {low:g} above high {high:g}, so that nothing could meet it: "
            "correct one of them."
        )
