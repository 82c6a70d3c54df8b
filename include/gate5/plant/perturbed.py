"""``PerturbedPlant``: a plant behind imperfect instruments, a late loop and worn actuators; a whole batch at once."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.errors import PlantError
from gate5.plant.base import Box, Constraint, Float32, Plant, Scenario, Step, Variable
from gate5.plant.declared import closest
from gate5.plant.disturbance import ActuatorTravel, Disturbance, Signal, disturbable
from gate5.plant.loop import Actuation, Instruments, Lateness, Readings
from gate5.plant.perturbation import NUMBER_KINDS, SIGNED, Perturbation, ends, targets


class PerturbedPlant:
    """A ``Plant`` that wraps one: what it reports stays true, what the controller sees and does is perturbed.

    An episode is drawn from its own scenario and seed alone, so that it is the same in every batch. Levels given as
    ranges are drawn for each episode (domain randomisation).

    Args:
        plant: declares its signals, actuators and disturbances (``gate5.plant.disturbance.Disturbable``).
        perturbations: applied together; none: the plant as it is.
        numbers: fixed values of disturbances, for every episode.

    Raises:
        PlantError: the plant declares nothing, or a perturbation acts on something that it does not have.
    """

    def __init__(
        self, plant: Plant, perturbations: Sequence[Perturbation] = (), numbers: Mapping[str, float] | None = None
    ) -> None:
        inner = disturbable(plant)
        if inner is None:
            raise PlantError(
                f"The plant {plant.name} declares no signals, actuators and disturbances, so nothing can be perturbed: "
                "declare them (docs/own-plant.md), or leave the perturbations out."
            )
        self.plant, self.perturbations, self.numbers = inner, tuple(perturbations), dict(numbers or {})
        for perturbation in self.perturbations:
            _check(perturbation, inner)
        self._count = 0

    @property
    def name(self) -> str:
        return self.plant.name

    @property
    def dt_s(self) -> float:
        return self.plant.dt_s

    @property
    def observation_space(self) -> Box:
        return self.plant.observation_space

    @property
    def action_space(self) -> Box:
        return self.plant.action_space

    @property
    def scenarios(self) -> Mapping[str, Scenario]:
        return self.plant.scenarios

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return self.plant.constraints

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self.plant.variables

    @property
    def signals(self) -> tuple[Signal, ...]:
        return self.plant.signals

    @property
    def actuators(self) -> tuple[ActuatorTravel, ...]:
        return self.plant.actuators

    def disturbances(self, scenario: str) -> tuple[Disturbance, ...]:
        """See the wrapped plant."""
        return self.plant.disturbances(scenario)

    def __getattr__(self, name: str) -> Any:
        if name == "plant":  # while a copy is made
            raise AttributeError(name)
        return getattr(self.plant, name)

    def __copy__(self) -> PerturbedPlant:
        """A second plant: the wrapped one is copied too, for both hold the running batch."""
        return PerturbedPlant(copy.copy(self.plant), self.perturbations, self.numbers)

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        """Start one episode of ``scenario`` per seed; see ``Plant.reset``."""
        return self.reset_mixed([scenario] * len(seeds), seeds)

    def reset_mixed(
        self,
        names: Sequence[str],
        seeds: Sequence[int],
        numbers: Sequence[Mapping[str, float]] | None = None,
        each: Sequence[Sequence[Perturbation]] | None = None,
    ) -> Float32:
        """Start one episode per pair of scenario and seed.

        Args:
            numbers: for each episode; they come before those of the perturbations.
            each: for each episode, perturbations of its own instead of the plant's.
        """
        for own in {id(p): p for of_episode in each or () for p in of_episode}.values():
            _check(own, self.plant)
        self._count = len(seeds)
        self._instruments = Instruments(self.plant, self._count)
        self._lateness = Lateness(self.plant.dt_s, self._count)
        self._actuation = Actuation(self.plant, self._count)
        drawn = self._draw(range(self._count), names, seeds, numbers, each)
        true = self.plant.reset_mixed(names, seeds, drawn)
        return self._see(true, np.arange(self._count))

    def reset_some(
        self,
        indices: Sequence[int],
        names: Sequence[str],
        seeds: Sequence[int],
        numbers: Sequence[Mapping[str, float]] | None = None,
    ) -> Float32:
        """Start new episodes in some places of the running batch."""
        places = [int(i) for i in indices]
        drawn = self._draw(places, names, seeds, numbers, None)
        true = self.plant.reset_some(places, names, seeds, drawn)
        return self._see(true, np.array(places, dtype=np.intp))

    def step(self, action: Float32) -> Step:
        """Advance every episode by one control step; ``variables`` are the plant's true ones."""
        wanted = np.asarray(action, dtype=np.float64)
        applied = self._lateness.act(self._actuation.move(wanted))
        step = self.plant.step(np.asarray(applied, dtype=np.float32))
        seen = self._lateness.see(self._instruments.read(step.obs))
        return Step(seen, step.reward, step.terminated, step.truncated, step.variables, step.solver_failed)

    @property
    def readings(self) -> Readings:
        """The running batch's instruments as they stand."""
        return self._instruments.standing

    @property
    def standing(self) -> tuple[Any, tuple[Float32, NDArray[np.intp]]]:
        """The running batch as it stands: the plant, and its lateness (``Lateness.standing``)."""
        plant: Any = self.plant
        return plant.standing, self._lateness.standing

    def _see(self, true: Float32, places: NDArray[np.intp]) -> Float32:
        readings = self._instruments.begin(true, places)
        self._actuation.begin(places)
        return self._lateness.begin(readings, places)

    def _draw(
        self,
        places: Sequence[int],
        names: Sequence[str],
        seeds: Sequence[int],
        numbers: Sequence[Mapping[str, float]] | None,
        each: Sequence[Sequence[Perturbation]] | None,
    ) -> list[dict[str, float]]:
        """Draw every episode's levels into the parts that apply them; returns the numbers for the plant."""
        found: list[dict[str, float]] = []
        for row, (place, scenario, seed) in enumerate(zip(places, names, seeds, strict=True)):
            if scenario not in self.scenarios:
                raise PlantError(
                    f"The plant {self.name} has no scenario {scenario!r}: {closest(scenario, self.scenarios)}"
                )
            rng = np.random.default_rng([int(seed), zlib.crc32(scenario.encode()), 77])
            given = dict(self.numbers)
            for part in (self._instruments, self._lateness, self._actuation):
                part.clear(place, rng)
            for perturbation in self.perturbations if each is None else each[row]:
                self._apply(perturbation, place, scenario, rng, given)
            found.append({**given, **(numbers[row] if numbers is not None else {})})
        return found

    def _apply(
        self, p: Perturbation, place: int, scenario: str, rng: np.random.Generator, given: dict[str, float]
    ) -> None:
        happens = rng.random() < p.chance
        start_s = rng.uniform(*ends(p.start_s))
        names = self._targets(p, scenario)
        if p.pick is not None:
            names = tuple(names[i] for i in rng.permutation(len(names))[: p.pick])
        low, high = ends(p.level)
        levels = rng.uniform(low, high, max(len(names), 1))
        if p.kind in SIGNED and low == high:
            levels = levels * rng.choice((-1.0, 1.0), levels.size)
        if not happens:
            return
        if p.kind in NUMBER_KINDS:
            self._numbers(p, names, levels, scenario, given)
        elif p.kind in ("delay", "latency"):
            self._lateness.set(p, place, float(levels[0]))
        else:
            part = self._actuation if p.kind in Actuation.KINDS else self._instruments
            for name, level in zip(names, levels.tolist(), strict=True):
                part.set(p.kind, place, name, level, start_s)

    def _targets(self, p: Perturbation, scenario: str) -> tuple[str, ...]:
        cached = self.__dict__.setdefault("_target_names", {})
        key = (p, scenario)
        if key not in cached:
            declared = {d.name for d in self.plant.disturbances(scenario)}
            chosen = p if p.kind not in NUMBER_KINDS else _present(p, declared)
            cached[key] = () if chosen is None else targets(chosen, self.plant, scenario)
        return cached[key]  # type: ignore[no-any-return]

    def _numbers(
        self,
        p: Perturbation,
        names: Sequence[str],
        levels: NDArray[np.float64],
        scenario: str,
        given: dict[str, float],
    ) -> None:
        declared = {d.name: d for d in self.plant.disturbances(scenario)}
        for name, level in zip(names, levels.tolist(), strict=False):
            d = declared[name]
            if p.kind == "number":
                given[name] = level
            elif p.kind == "parameter":
                given[name] = (1.0 if d.nominal is None else d.nominal) * (1.0 + level)
            else:
                given[name] = 0.5 * (d.low + d.high) + level * 0.5 * (d.high - d.low)


def _present(p: Perturbation, declared: set[str]) -> Perturbation | None:
    """A number that one scenario does not have is left out there; ``None``: none of the targets is there."""
    if not p.targets:
        return p
    here = tuple(name for name in p.targets if name in declared)
    return Perturbation(p.kind, p.level, here, p.start_s, p.pick, p.chance, p.samples) if here else None


def _check(p: Perturbation, plant: Any) -> None:
    """A target must be there in some scenario, and of another kind's in every one."""
    if p.kind not in NUMBER_KINDS:
        targets(p, plant, next(iter(plant.scenarios)))
        return
    declared = {d.name: d for name in plant.scenarios for d in plant.disturbances(name)}
    known = [d.name for d in declared.values() if p.kind == "number" or d.role == p.kind]
    for name in p.targets:
        if name not in known:
            raise PlantError(
                f"The perturbation {p.kind!r} of {name!r} cannot be made on the plant {plant.name}: "
                f"{closest(name, known)}"
            )
