"""The robustness matrix of one scenario: each class at each level, for each controller on the same episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from gate5.errors import PlantError
from gate5.io.canonical import number
from gate5.plant.base import Controller
from gate5.plant.declared import closest
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.stress import StressClass
from gate5.robustness.rollout import Episodes, Progress, rollout

#: The row that nothing is done to; the others are compared with it.
PLAIN = "as declared"


@dataclass(frozen=True)
class Cell:
    """One controller, one class, one level.

    Attributes:
        expected: whether the plant has to expect this level.
        violating: number of violating episodes.
        margin: smallest, in ``unit``, at the constraint that comes closest; ``None``: none applied.
        return_mean: of the episodes' returns, the plant's objective.
        travel: strokes of the actuators per hour.
    """

    controller: str
    name: str
    title: str
    level: float
    unit: str
    expected: bool
    episodes: int
    violating: int
    constraint: str
    margin: float | None
    margin_unit: str
    return_mean: float | None
    travel: float | None
    source: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cell:
        """The inverse of ``asdict``; keys that a newer version added are ignored."""
        return cls(**{f.name: data[f.name] for f in fields(cls)})


@dataclass(frozen=True)
class Matrix:
    """One scenario's cells.

    Attributes:
        applicable: false where the plant declares no classes.
        no_current: why the channel's current release did not drive; empty: it did.
    """

    scenario: str
    applicable: bool
    cells: tuple[Cell, ...] = ()
    no_current: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "format": 1,
            "scenario": self.scenario,
            "applicable": self.applicable,
            "cells": [asdict(cell) for cell in self.cells],
            "no_current": self.no_current,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Matrix:
        """The inverse of ``to_dict``."""
        cells = tuple(Cell.from_dict(c) for c in data["cells"])
        return cls(data["scenario"], bool(data["applicable"]), cells, str(data.get("no_current") or ""))

    def of(self, controller: str) -> tuple[Cell, ...]:
        """The cells of one controller."""
        return tuple(cell for cell in self.cells if cell.controller == controller)

    def inapplicable(self) -> dict[str, str]:
        """The numbers that the rules ask for, where nothing declared can go wrong."""
        asked = ("expected.violating_episodes", "beyond.violating_episodes", "beyond.more_than_baseline")
        why = "the plant declares nothing that can go wrong"
        return {} if self.applicable else {f"stress.{self.scenario}.{name}": why for name in asked}

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate: ``stress.SCENARIO.expected.violating_episodes`` and so on."""
        if not self.applicable:
            return dict.fromkeys(self.inapplicable())
        start, flat = f"stress.{self.scenario}", dict[str, float | None]()
        policy = self.of("policy")
        for part, cells in (
            ("expected", [c for c in policy if c.expected]),
            ("beyond", [c for c in policy if not c.expected]),
        ):
            flat[f"{start}.{part}.episodes"] = float(sum(c.episodes for c in cells))
            flat[f"{start}.{part}.violating_episodes"] = float(sum(c.violating for c in cells))
            others = [c for c in self.of("baseline") if c.expected == (part == "expected")]
            if others:
                theirs = float(sum(c.violating for c in others))
                flat[f"{start}.{part}.baseline_violating_episodes"] = theirs
                flat[f"{start}.{part}.more_than_baseline"] = float(sum(c.violating for c in cells)) - theirs
            now = [c for c in self.of("current") if c.expected == (part == "expected")]
            known = float(sum(c.violating for c in now)) if now else None
            flat[f"{start}.{part}.current.violating_episodes"] = known
            more = None if known is None else float(sum(c.violating for c in cells)) - known
            flat[f"{start}.{part}.current.more_than_it"] = more
        for cell in policy:
            flat[f"{start}.{cell.name}.{cell.level:g}.violating_episodes"] = float(cell.violating)
        noisy = [c for c in policy if c.name == "noise" and c.level == 1.0]
        plain = [c for c in policy if c.name == PLAIN]
        if noisy and plain and noisy[0].travel is not None and plain[0].travel:
            flat[f"{start}.travel_under_noise"] = noisy[0].travel
            flat[f"{start}.travel_factor_under_noise"] = noisy[0].travel / plain[0].travel
        return flat


def breakdown(cells: Sequence[Cell]) -> float | None:
    """The lowest level at which an episode violates, of one class and one controller; ``None``: at none."""
    broken = [cell.level for cell in cells if cell.violating]
    return min(broken) if broken else None


def drive(
    plant: PerturbedPlant,
    controllers: Mapping[str, Controller],
    scenario: str,
    classes: Sequence[StressClass],
    seeds: Sequence[int],
    progress: Progress | None = None,
    plants: Mapping[str, PerturbedPlant] | None = None,
) -> Matrix:
    """Drive every class at every level, all of a controller's episodes in one batch.

    Args:
        plant: its own perturbations (the declared instruments) are in every cell whose class is not of their kind.
        controllers: by the name that the cells carry: ``policy``, ``baseline``, ``current``.
        classes: those of other scenarios are left out.
        seeds: of each cell's episodes, the same in every cell.
        progress: called as ``progress(done_steps, total_steps)``.
        plants: by controller, the same plant with other observations.

    Raises:
        PlantError: a class names a scenario that the plant does not have: it would be driven nowhere.
    """
    for entry in classes:
        for name in entry.scenarios:
            if name not in plant.scenarios:
                raise PlantError(
                    f"The stress class {entry.name!r} of the plant {plant.name} is for the scenario {name!r} and "
                    f"would be driven nowhere: {closest(name, plant.scenarios)}"
                )
    rows = [(PLAIN, StressClass(PLAIN, "nothing further", (), (1.0,), 1.0), 1.0, plant.perturbations)]
    for entry in classes:
        if entry.scenarios and scenario not in entry.scenarios:
            continue
        for level in entry.levels:
            own = entry.at(level)
            kinds = {p.kind for p in own}
            base = tuple(p for p in plant.perturbations if p.kind not in kinds)
            rows.append((entry.name, entry, level, (*base, *own)))
    each: list[Sequence[Perturbation]] = [perturbations for *_, perturbations in rows for _ in seeds]
    cells: list[Cell] = []
    steps, total = plant.scenarios[scenario].steps, len(controllers)
    for i, (name, controller) in enumerate(controllers.items()):

        def report(done: int, whole: int, i: int = i) -> None:
            if progress is not None:
                progress(i * steps + done * steps // whole, total * steps)

        driven = (plants or {}).get(name, plant)
        found = rollout(driven, controller, scenario, list(seeds) * len(rows), each=each, progress=report)
        for j, (_, entry, level, _) in enumerate(rows):
            cells.append(_cell(name, entry, level, found, range(j * len(seeds), (j + 1) * len(seeds))))
    return Matrix(scenario, True, tuple(cells))


def _cell(controller: str, entry: StressClass, level: float, found: Episodes, part: range) -> Cell:
    own = np.array(part)
    worst = int(own[np.argmin(found.shares[own])])
    row = found.binding(worst)
    constraint = None if row is None else found.constraints[row]
    return Cell(
        controller=controller,
        name=entry.name,
        title=entry.title,
        level=float(level),
        unit=entry.unit,
        expected=level <= entry.expected,
        episodes=len(part),
        violating=int(found.violating[own].sum()),
        constraint="" if constraint is None else constraint.name,
        margin=None if row is None else number(found.margins[row, worst]),
        margin_unit="" if constraint is None else constraint.unit,
        return_mean=number(found.returns[own].mean()),
        travel=number(found.travel[own].mean()),
        source=entry.source,
    )
