"""``Case``: one episode that anyone can drive again, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from gate5.errors import WorkspaceError
from gate5.io import canonical
from gate5.io.canonical import number
from gate5.plant.base import Controller, Plant
from gate5.robustness.rollout import Episodes, rollout


@dataclass(frozen=True)
class Case:
    """The worst episode that was found in a scenario, and what it came to.

    Attributes:
        plant: its name; ``options`` are in the run's configuration.
        seed: what is not in ``numbers`` follows from it (the instruments' noise).
        numbers: the disturbances, by name.
        sensors: whether the declared instruments were in the loop.
        constraint, unit: which limit came closest; empty: none applied.
        value_margin: distance to that limit, in ``unit``; negative: broken.
        error: what the plant's own step may put that margin off (``gate5.plant.stress.integration_error``).
        share: margin less error in the constraint's own scale (``rollout.scale``), as the search compares it.
        violates: whether a constraint was broken, the solver failed, or an action was not finite.
        candidate: SHA-256 of the policy's graph that it was found for.
        found_by: ``search``, ``random`` or ``earlier candidate``.
    """

    plant: str
    scenario: str
    seed: int
    numbers: dict[str, float]
    sensors: bool
    constraint: str
    unit: str
    value_margin: float | None
    error: float
    share: float | None
    time_s: float | None
    violates: bool
    candidate: str
    found_by: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"format": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Case:
        """The inverse of ``to_dict``.

        Raises:
            WorkspaceError: ``data`` is no such case.
        """
        try:
            return cls(**{f.name: data[f.name] for f in fields(cls)})
        except (KeyError, TypeError) as error:
            raise WorkspaceError(f"This is no case of `gate5 falsify` ({error!r}).") from None

    @property
    def margin(self) -> float | None:
        """What the case leaves beyond the integration error; negative: nothing. ``None``: no limit ever applied."""
        if self.value_margin is None:
            return -math.inf if self.violates else None
        return self.value_margin - self.error

    def sentence(self) -> str:
        """What happened, for a person."""
        if not self.constraint:
            return "no constraint applied" if not self.violates else "the solver failed or an action was not finite"
        off = f" (integration error {self.error:.3g})" if self.error else ""
        size = "not finite" if self.value_margin is None else f"{self.value_margin:.4g} {self.unit}{off}"
        what = "is broken" if self.violates else "is kept"
        return f"{self.constraint} {what}, margin {size} at {self.time_s or 0.0:g} s"

    @property
    def identity(self) -> str:
        """The hash of what makes the episode, whatever it came to."""
        names = ("plant", "scenario", "numbers", "seed", "sensors")
        return canonical.digest({name: getattr(self, name) for name in names})


def closeness(case: Case) -> float:
    """What orders cases, the worst first: the share; one in which no limit ever held is farther than any other."""
    if case.share is None:
        return -math.inf if case.violates else math.inf
    return case.share


def read_case(data: bytes, source: str) -> Case:
    """A case from a file's bytes.

    Raises:
        WorkspaceError: they are not one; ``source`` is what the text calls them.
    """
    try:
        return Case.from_dict(canonical.loads(data))
    except (ValueError, AttributeError) as error:
        raise WorkspaceError(f"{source} is no case of `gate5 falsify` ({error}).") from None


def drive(plant: Plant, controller: Controller, scenario: str, seed: int, numbers: Mapping[str, float]) -> Episodes:
    """One episode by itself, as the plant drives it: batch 1."""
    return rollout(plant, controller, scenario, [seed], [numbers])


def case_of(
    plant: Plant, scenario: str, seed: int, numbers: Mapping[str, float], found: Episodes, **about: Any
) -> Case:
    """The case of one driven episode; ``about``: ``sensors``, ``candidate``, ``found_by``."""
    row = found.binding(0, net=True)
    constraint = None if row is None else found.constraints[row]
    return Case(
        plant=plant.name,
        scenario=scenario,
        seed=seed,
        numbers={name: float(value) for name, value in sorted(numbers.items())},
        constraint="" if constraint is None else constraint.name,
        unit="" if constraint is None else constraint.unit,
        value_margin=None if row is None else number(found.margins[row, 0]),
        error=0.0 if row is None else float(found.errors[row]),
        share=number(found.net_shares[0]),
        time_s=None if row is None or not np.isfinite(found.margins[row, 0]) else number(found.times_s[row, 0]),
        violates=bool(found.violating[0]),
        **about,
    )
