"""``SCO2Plant``: a batch of 10 MWe supercritical-CO2 plants that step together."""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gate5.errors import PlantError
from gate5.io import canonical
from gate5.plant.base import Box, Constraint, Float32, Scenario, Step, Term, Variable
from gate5.plant.declared import with_limits
from gate5.plant.disturbance import ActuatorTravel, Disturbance, Signal, check_numbers
from gate5.plant.sco2.batch import ArrayBatch, FloatBatch, Standing
from gate5.plant.sco2.declarations import ACTION, CONSTRAINTS, VARIABLES
from gate5.plant.sco2.instruments import MEASURED_SIGNALS, SIGNALS, TRAVELS
from gate5.plant.sco2.objective import TERMS
from gate5.plant.sco2.observer import ERRORS, INTEGRALS, RATES, READINGS, Observer, layout
from gate5.plant.sco2.parameters import ACTUATORS, DT_S, Parameters
from gate5.plant.sco2.scenarios import SCENARIOS, Course, disturbances, draw, drawn
from gate5.plant.sco2.stress import classes
from gate5.plant.sco2.torch_plant import TorchPlant
from gate5.plant.stress import StressClass

_FULL = layout("full")
_LOW = _FULL.low.astype(np.float64)[:, None]
_HIGH = _FULL.high.astype(np.float64)[:, None]
_RAW = tuple(r.name for r in READINGS[: _FULL.size])
_GAINS = Path(__file__).with_name("pid_gains.json")
_ERRORS = Path(__file__).with_name("integration_error.json")


class SCO2Plant:
    """The shipped plant (docs/plant.md); keyword options override fields of ``Parameters``.

    A batch of one runs in plain floats, a larger one in arrays; an episode is the same to the bit in either.

    Args:
        observation: ``measured`` (what sensors, the control system and estimates from both give) or ``full``
            (``gate5.plant.sco2.observer``).
        constraints: other limits for declared constraints, ``{"turbine_inlet_high": {"high": 705.0}}``.
        options: fields of ``Parameters``.

    Raises:
        PlantError: an option that ``Parameters`` does not have, or a constraint or limit that the plant does not have.
    """

    objective: tuple[Term, ...] = TERMS
    errors: Mapping[str, str] = ERRORS
    rates: Mapping[str, str] = RATES

    def __init__(
        self, *, observation: Any = "measured", constraints: Any = None, substeps: int = 1, **options: Any
    ) -> None:
        if isinstance(substeps, bool) or not isinstance(substeps, int) or not 1 <= substeps <= 100:
            raise PlantError(f"The sCO2 plant's option 'substeps' is {substeps!r}; give a whole number, 1 to 100.")
        self._substeps = substeps
        if observation not in ("measured", "full"):
            raise PlantError(f"The sCO2 plant's option 'observation' is {observation!r}; give measured or full.")
        self._constraints = CONSTRAINTS if constraints is None else with_limits(CONSTRAINTS, constraints, "sco2")
        self._parameters = _with_options(options)
        self._layout = layout(observation)
        self._observer = Observer(self._parameters) if observation == "measured" else None
        self._batch: ArrayBatch | FloatBatch | None = None
        self._count = 0

    @property
    def name(self) -> str:
        return "sco2"

    @property
    def dt_s(self) -> float:
        return DT_S

    @property
    def observation_space(self) -> Box:
        return self._layout

    @property
    def action_space(self) -> Box:
        return ACTION

    @property
    def scenarios(self) -> Mapping[str, Scenario]:
        return SCENARIOS

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return self._constraints

    @property
    def variables(self) -> tuple[Variable, ...]:
        return VARIABLES

    @property
    def signals(self) -> tuple[Signal, ...]:
        return SIGNALS if self._observer is None else MEASURED_SIGNALS

    @property
    def actuators(self) -> tuple[ActuatorTravel, ...]:
        return TRAVELS

    @property
    def integration_error(self) -> dict[str, float]:
        """By constraint: what the step of 5 s may put its smallest margin off (``gate5.plant.sco2.integration``)."""
        if self._substeps > 1 or not _ERRORS.exists():
            return {}
        errors: dict[str, float] = canonical.loads(_ERRORS.read_text(encoding="utf-8"))["errors"]
        return errors

    @property
    def stress(self) -> tuple[StressClass, ...]:
        """What can go wrong, level by level: the rows of the robustness matrix."""
        return classes(self.observation_space.names, self.signals)

    def disturbances(self, scenario: str) -> tuple[Disturbance, ...]:
        """The numbers of a scenario's episodes with their ranges.

        Raises:
            PlantError: there is no such scenario.
        """
        _check_scenario(scenario)
        return disturbances(scenario)

    def drawn(self, scenario: str, seed: int) -> dict[str, float]:
        """The numbers that the episode of a seed draws."""
        _check_scenario(scenario)
        return drawn(scenario, int(seed))

    def baseline_gains(self) -> dict[str, Any] | None:
        """The tuned PID gains shipped for this plant, or ``None`` where the file is missing."""
        if not _GAINS.exists():
            return None
        gains: dict[str, Any] = canonical.loads(_GAINS.read_text(encoding="utf-8"))
        return gains

    @property
    def integrals(self) -> Mapping[str, str]:
        """Measurement to the component of the observation that integrates its error; the layout ``full`` has none."""
        return {} if self._observer is None else INTEGRALS

    def observer(self) -> Observer | None:
        """A new observer for whoever changes readings before a controller sees them; none in the layout ``full``."""
        return None if self._observer is None else Observer(self._parameters)

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        """Start one episode of ``scenario`` per seed; see ``Plant.reset``."""
        return self.reset_mixed([scenario] * len(seeds), seeds)

    def reset_mixed(
        self, names: Sequence[str], seeds: Sequence[int], numbers: Sequence[Mapping[str, float]] | None = None
    ) -> Float32:
        """Start one episode per pair of scenario and seed, all in one batch.

        Args:
            numbers: for each episode, what replaces the numbers that it would draw (``disturbances``).

        Raises:
            PlantError: a scenario that does not exist, no seed at all, not as many names as seeds, or a number that is
                not declared or out of its range.
        """
        courses = _draw(names, seeds, numbers)
        if len(courses) == 1 and self._substeps == 1:
            self._batch = FloatBatch(self._parameters, courses, self._constraints)
        else:
            self._batch = ArrayBatch(self._parameters, courses, self._constraints, self._substeps)
        self._count = len(courses)
        if self._observer is not None:
            self._observer = copy.copy(self._observer)  # a shallow copy of a plant is a second plant
            self._observer.reset(self._count)
        self._over = np.zeros(self._count, dtype=np.bool_)
        self._seen = self._observe(self._batch)
        return self._seen

    def reset_some(
        self,
        indices: Sequence[int],
        names: Sequence[str],
        seeds: Sequence[int],
        numbers: Sequence[Mapping[str, float]] | None = None,
    ) -> Float32:
        """Start new episodes in some places of the running batch; see ``reset_mixed``.

        Returns:
            Their first observations, float32 ``[len(indices), obs_dim]``.

        Raises:
            PlantError: no batch runs, a scenario or a place does not exist, or the numbers differ.
        """
        batch = self._running()
        places = [int(i) for i in indices]
        if len(places) != len(names) or not all(0 <= i < self._count for i in places):
            raise PlantError(
                f"{len(names)} scenarios for the places {places} of a batch of {self._count}: "
                "give one scenario and one seed for each place of the batch."
            )
        batch.restart(places, _draw(names, seeds, numbers))
        self._over[places] = False
        self._seen = self._seen.copy()
        self._seen[places] = self._observe(batch, places)
        return self._seen[places]

    def step(self, action: Float32) -> Step:
        """Advance every episode by one control step of 5 s; see ``Plant.step``."""
        batch = self._running()
        wanted = np.asarray(action, dtype=np.float64)
        if wanted.shape != (self._count, len(ACTUATORS)):
            raise PlantError(
                f"The action has shape {wanted.shape}, but {self._count} episode(s) of this plant take "
                f"({self._count}, {len(ACTUATORS)})."
            )
        result = batch.step(wanted)
        # What an episode that is over last saw stays, whatever the observer still integrates.
        self._seen = np.where(self._over[:, None], self._seen, self._observe(batch))
        self._over = self._over | result.terminated | result.truncated
        return Step(
            obs=self._seen,
            reward=result.reward,
            terminated=result.terminated,
            truncated=result.truncated,
            variables=batch.variables(),
            solver_failed=result.failed,
        )

    def fork(self, copies: int) -> SCO2Plant:
        """A plant that holds each running episode ``copies`` times, in its present state; see ``ArrayBatch.fork``.

        Raises:
            PlantError: fewer than two episodes run.
        """
        batch = self._running()
        if isinstance(batch, FloatBatch):
            raise PlantError("One episode alone runs in plain floats and cannot be forked: start two or more.")
        twin = copy.copy(self)
        twin._batch, twin._count = batch.fork(copies), self._count * copies
        twin._over, twin._seen = np.repeat(self._over, copies), np.repeat(self._seen, copies, axis=0)
        if self._observer is not None:
            twin._observer = self._observer.fork(copies)
        return twin

    @property
    def standing(self) -> Standing:
        """The running batch as it stands (``ArrayBatch.standing``).

        Raises:
            PlantError: fewer than two episodes run.
        """
        batch = self._running()
        if isinstance(batch, FloatBatch):
            raise PlantError("One episode alone runs in plain floats and has no arrays: start two or more.")
        return batch.standing

    def differentiable(self) -> TorchPlant:
        """The same plant on torch tensors, with gradients.

        Raises:
            PlantError: the layout is not ``measured``, or a control step has several steps.
        """
        if self._observer is None or self._substeps > 1:
            raise PlantError(
                "Gradients of the sCO2 plant are known for the observation 'measured' and one step in a control step: "
                "leave the options 'observation' and 'substeps' as they are, or train without --gradient."
            )
        return TorchPlant(self._parameters, _RAW)

    def _running(self) -> ArrayBatch | FloatBatch:
        if self._batch is None:
            raise PlantError("The plant has not been started: call reset first.")
        return self._batch

    def _observe(self, batch: ArrayBatch | FloatBatch, begun: list[int] | None = None) -> Float32:
        """Sensor readings: inside their ranges, a missing value at the lower end; ``begun``: of new episodes alone."""
        rows = batch.rows(_RAW)
        if begun is not None:
            rows = rows[:, begun]
        if self._observer is None:
            return np.ascontiguousarray(np.fmin(np.fmax(rows, _LOW), _HIGH).T, dtype=np.float32)
        rows = np.concatenate([rows, np.zeros((len(READINGS) - len(_RAW), rows.shape[1]))])
        rows = self._observer.update(rows) if begun is None else self._observer.begin(begun, rows)
        return np.ascontiguousarray(rows.T, dtype=np.float32)


def _draw(
    names: Sequence[str], seeds: Sequence[int], numbers: Sequence[Mapping[str, float]] | None = None
) -> list[Course]:
    if len(names) != len(seeds) or not len(seeds):
        raise PlantError(f"{len(names)} scenarios and {len(seeds)} seeds: give one seed for each, at least one.")
    if numbers is not None and len(numbers) != len(seeds):
        raise PlantError(f"{len(numbers)} sets of numbers for {len(seeds)} episodes: give one for each.")
    for name in names:
        _check_scenario(name)
    for seed in seeds:
        if int(seed) < 0:
            raise PlantError(f"The seed {seed} is negative; seeds are whole numbers from 0.")
    if numbers is None:
        return [draw(name, int(seed)) for name, seed in zip(names, seeds, strict=True)]
    for name, given in zip(names, numbers, strict=True):
        check_numbers(given, disturbances(name), "sco2", name)
    return [draw(name, int(seed), given) for name, seed, given in zip(names, seeds, numbers, strict=True)]


def _check_scenario(name: str) -> None:
    if name not in SCENARIOS:
        close = difflib.get_close_matches(str(name), SCENARIOS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SCENARIOS)}."
        raise PlantError(f"The sCO2 plant has no scenario {name!r}: {hint}")


def _with_options(options: dict[str, Any]) -> Parameters:
    known = [f.name for f in dataclasses.fields(Parameters) if f.name != "design"] + ["constraints", "observation"]
    for key, value in options.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}."
            raise PlantError(f"The sCO2 plant has no option {key!r}: {hint}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < 1e6:
            raise PlantError(f"The sCO2 plant's option {key!r} is {value!r}; it must be a positive number.")
    changed: dict[str, Any] = {k: float(v) for k, v in options.items()}
    return dataclasses.replace(Parameters(), **changed)
