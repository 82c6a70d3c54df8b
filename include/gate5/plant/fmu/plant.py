"""``FMUPlant``: one instance of an FMU per episode, stepped one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gate5.errors import PlantError
from gate5.plant.base import Box, Constraint, Float32, Float64, Scenario, Step, Variable
from gate5.plant.declared import closest, declared_constraints, parse_options
from gate5.plant.fmu.library import FATAL, FMUInstance, FMULibrary
from gate5.plant.fmu.options import FMUOptions, Signal


class FMUPlant:
    """An FMU (FMI 2.0 or 3.0, co-simulation) as a plant; docs/own-plant.md shows the options.

    Variables are the observation's components by their names, ``reward``, and what constraints, reward and
    ``options.variables`` name. A call into the FMU that fails, or a value that is not finite, is a failed solver of
    that episode: a violation in the report. ``name`` has the file's hash, so that a report says which FMU it was.

    Raises:
        PlantError: the file is no such FMU, or an option does not fit it.
    """

    def __init__(self, path: str, **options: Any) -> None:
        self._options: FMUOptions = parse_options(FMUOptions, f"fmu:{path}", options)
        self._library = FMULibrary(path)
        self.name = f"fmu:{self._library.path.stem}@{self._library.sha256[:12]}"
        self.dt_s = self._options.dt_s
        self.observation_space = _box(self._options.observation)
        self.action_space = _box(self._options.action)
        self.scenarios: Mapping[str, Scenario] = {
            name: Scenario(name, i, s.steps, s.title or name, s.description)
            for i, (name, s) in enumerate(self._options.scenarios.items())
        }
        self._sources = self._check_names()
        self.variables: tuple[Variable, ...] = (
            *(Variable(name, self._unit(source), self._title(name, source)) for name, source in self._sources.items()),
            Variable("reward", "", "reward"),
        )
        self.constraints: tuple[Constraint, ...] = declared_constraints(
            self._options.constraints, [v.name for v in self.variables]
        )
        self._names, self._reads = tuple(self._sources), tuple(self._sources.values())
        self._row = {name: i for i, name in enumerate(self._names)}
        self._instances: list[FMUInstance] = []
        self._count = 0

    def __copy__(self) -> FMUPlant:
        """A second plant: it shares what is declared, never an instance that is under way."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._instances, other._count = [], 0
        return other

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        """Start one episode per seed; see ``Plant.reset``."""
        return self.reset_mixed([scenario] * len(seeds), seeds)

    def reset_mixed(self, names: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start one episode per pair of scenario and seed."""
        if len(names) != len(seeds) or not len(seeds):
            raise PlantError(f"{len(names)} scenarios and {len(seeds)} seeds: give one seed for each, at least one.")
        if len(seeds) > 1 and self._library.description.coSimulation.canBeInstantiatedOnlyOncePerProcess:
            raise PlantError(
                f"The FMU {self._library.path.name} can be instantiated only once per process, but {len(seeds)} "
                "episodes are to run together: set evaluation.episodes to 1."
            )
        self._count = len(seeds)
        self._courses: list[str] = [""] * self._count
        self._t = np.zeros(self._count, dtype=np.intp)
        self._over, self._failed, self._broken = (np.zeros(self._count, dtype=np.bool_) for _ in range(3))
        self._values = np.full((len(self._names), self._count), np.nan)
        return self.reset_some(range(self._count), names, seeds)

    def reset_some(self, indices: Sequence[int], names: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start new episodes in some places; their first observations ``[len(indices), obs_dim]``."""
        for name in names:
            if name not in self.scenarios:
                raise PlantError(f"The plant {self.name} has no scenario {name!r}: {closest(name, self.scenarios)}")
        for i, name, seed in zip(indices, names, seeds, strict=True):
            self._courses[i], self._t[i] = name, 0
            self._over[i] = self._failed[i] = self._broken[i] = False
            instance = self._instance(i)
            try:
                instance.start(self._start(name, int(seed)))
                self._apply(instance, i)
                self._values[:, i] = instance.read(self._reads)
            except Exception as error:  # noqa: BLE001  (FMPy raises its own and bare exceptions)
                _drop_if_fatal(instance, error)
                raise PlantError(
                    f"The FMU {self._library.path.name} cannot be initialised for {name} with seed {seed} ({error}); "
                    "check plant.options.start and the scenario's."
                ) from None
        return self._observe()[list(indices)]

    def step(self, action: Float32) -> Step:
        """Advance every episode that is not over; see ``Plant.step``."""
        wanted = np.clip(np.asarray(action, dtype=np.float32), self.action_space.low, self.action_space.high)
        if not self._count or wanted.shape != (self._count, self.action_space.size):
            raise PlantError(
                f"The action has shape {wanted.shape}, but {self._count} running episode(s) take "
                f"({self._count}, {self.action_space.size})."
            )
        reward = np.zeros(self._count)
        running = np.flatnonzero(~self._over).tolist()
        for i in running:
            reward[i] = self._step_one(i, wanted[i].astype(np.float64))
        lengths = np.array([self.scenarios[name].steps for name in self._courses])
        truncated = (self._t >= lengths) & ~self._broken
        self._over = self._broken | truncated
        for i in running:
            if self._over[i]:
                self._instance(i).end()
        values = dict(zip(self._names, np.where(self._failed, np.nan, self._values), strict=True))
        return Step(
            self._observe(), reward, self._broken.copy(), truncated, values | {"reward": reward}, self._failed.copy()
        )

    def _step_one(self, i: int, action: Float64) -> float:
        instance, time_s = self._instance(i), float(self._t[i]) * self.dt_s
        self._t[i] += 1
        try:
            self._apply(instance, i, time_s)
            instance.write([signal.source for signal in self._options.action], action.tolist())
            ends = instance.advance(time_s, self.dt_s)
            values = np.array(instance.read(self._reads))
            flag = self._options.terminated
            ends = ends or (flag is not None and instance.read([flag])[0] != 0.0)
            gained = self._reward(values, instance)
        except Exception as error:  # noqa: BLE001  (what breaks in a foreign simulator is a failed solver, not our crash)
            _drop_if_fatal(instance, error)
            self._failed[i] = self._broken[i] = True
            return 0.0
        if not (np.isfinite(values).all() and np.isfinite(gained)):
            self._failed[i] = self._broken[i] = True
            return 0.0
        self._values[:, i] = values
        self._broken[i] = ends
        return gained

    def _reward(self, values: Float64, instance: FMUInstance) -> float:
        reward = self._options.reward
        if reward.variable is not None:
            return instance.read([reward.variable])[0]
        total = reward.offset
        for term in reward.terms:
            value, *target = instance.read([term.variable, *([term.target] if isinstance(term.target, str) else [])])
            wanted = target[0] if target else float(term.target)
            total -= term.weight * ((value - wanted) / term.scale) ** 2
        return total

    def _start(self, name: str, seed: int) -> dict[str, Any]:
        scenario = self._options.scenarios[name]
        values: dict[str, Any] = {**self._options.start, **scenario.start}
        rng = np.random.default_rng([seed, self.scenarios[name].phase])
        values |= {key: float(rng.uniform(low, high)) for key, (low, high) in scenario.spread.items()}
        return values if self._options.seed is None else values | {self._options.seed: seed}

    def _apply(self, instance: FMUInstance, i: int, time_s: float = 0.0) -> None:
        """Set the scenario's inputs to their values at the beginning of a step."""
        for name, pairs in self._options.scenarios[self._courses[i]].inputs.items():
            times, values = zip(*pairs, strict=True)
            if self._library.is_float(name):
                value = float(np.interp(time_s, times, values))
            else:
                value = values[max(int(np.searchsorted(times, time_s, side="right")) - 1, 0)]
            instance.write([name], [value])

    def _observe(self) -> Float32:
        rows = self._values[[self._row[signal.name] for signal in self._options.observation]]
        space = self.observation_space
        return np.ascontiguousarray(np.clip(rows.T, space.low, space.high), dtype=np.float32)

    def _instance(self, i: int) -> FMUInstance:
        while len(self._instances) <= i:
            self._instances.append(FMUInstance(self._library, f"episode_{len(self._instances)}"))
        return self._instances[i]

    def _check_names(self) -> dict[str, str]:
        """Every variable that the options name is the FMU's; returns what is reported: name to the FMU's name."""
        options, known = self._options, self._library.known
        sources = {signal.name: signal.source for signal in options.observation}
        for name, source in sources.items():
            known(source, f"observation {name}")
        for signal in options.action:
            known(signal.source, f"action {signal.name}")
        for what, single in (
            ("reward", options.reward.variable),
            ("terminated", options.terminated),
            ("seed", options.seed),
            *(("a term of the reward", part) for term in options.reward.terms for part in (term.variable, term.target)),
        ):
            if isinstance(single, str):
                known(single, what)
        for name in options.variables:
            known(name, "variables")
            sources.setdefault(name, name)
        for constraint in options.constraints:
            for wanted in (constraint.variable, constraint.applies):
                if wanted is not None and wanted not in sources and wanted != "reward":
                    known(wanted, f"constraint {constraint.name}")
                    sources[wanted] = wanted
        for name in options.start:
            known(name, "start")
        for title, scenario in options.scenarios.items():
            for name in (*scenario.start, *scenario.spread, *scenario.inputs):
                known(name, f"scenario {title}")
        return sources

    def _unit(self, source: str) -> str:
        return str(self._library.variables[source].unit or "")

    def _title(self, name: str, source: str) -> str:
        return str(self._library.variables[source].description or name)


def _drop_if_fatal(instance: FMUInstance, error: Exception) -> None:
    if getattr(error, "status", None) == FATAL:
        instance.abandon()


def _box(signals: Sequence[Signal]) -> Box:
    low = [-np.inf if signal.low is None else signal.low for signal in signals]
    high = [np.inf if signal.high is None else signal.high for signal in signals]
    return Box(np.array(low, np.float32), np.array(high, np.float32), tuple(signal.name for signal in signals))
