"""``EvaluationReporter``: the policy against the baseline, scenario by scenario, on the same seeds."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.config.evaluation import EvaluationConfig
from gate5.errors import EvaluationError, Gate5Error, PlantError
from gate5.evaluation.current import CurrentRelease, same_plant
from gate5.evaluation.engine_effect import Reference, engine_effect
from gate5.evaluation.evaluator import Evaluator
from gate5.evaluation.recording import Progress, Recording
from gate5.evaluation.report import EvaluationReport
from gate5.evaluation.results import (
    ControllerResult,
    CurrentComparison,
    Difference,
    EngineEffect,
    ScenarioComparison,
)
from gate5.evaluation.statistics import effect_size, mean, paired_bootstrap
from gate5.evaluation.terms import TermResult, compare_terms, per_episode
from gate5.plant.base import Controller, Plant, objective
from gate5.plant.declared import closest

TRACE_STEPS = 60


class EvaluationReporter:
    """Compares two controllers on a plant.

    Args:
        env: the plant.
        config: scenarios, episodes, seed, confidence.
        interval_confidence: of the differences' intervals, where it is not ``config.confidence``.
        evaluator_factory: makes the evaluator from the plant and the confidence; default ``Evaluator``.

    Raises:
        PlantError: the configuration names a scenario that the plant does not have.
    """

    def __init__(
        self,
        env: Plant,
        config: EvaluationConfig,
        evaluator_factory: Callable[[Plant, float], Evaluator] | None = None,
        *,
        interval_confidence: float | None = None,
    ) -> None:
        self.plant, self.config = env, config
        self.interval_confidence = interval_confidence or config.confidence
        self.scenarios = tuple(config.scenarios) if config.scenarios is not None else tuple(env.scenarios)
        for name in self.scenarios:
            self._check(name)
        terms = [term.name for term in objective(env)]
        for name in config.margins:
            if name not in terms:
                raise PlantError(
                    f"evaluation.margins names the term {name!r}, which the objective of {env.name} does not have: "
                    f"{closest(name, terms)}"
                )
        self._arrays: dict[str, dict[str, NDArray[Any]]] = {}
        self.evaluator = (evaluator_factory or Evaluator)(env, config.confidence)

    @property
    def seeds(self) -> list[int]:
        """Episode ``i`` runs on seed ``config.seed + i``, for the policy and for the baseline."""
        return [self.config.seed + i for i in range(self.config.episodes)]

    def scenario(
        self,
        name: str,
        policy: Controller,
        baseline: Controller | None,
        progress: Progress | None = None,
        reference: Reference | None = None,
        current: CurrentRelease | str | None = None,
    ) -> ScenarioComparison:
        """Run the controllers through one scenario, all on the same seeds.

        Args:
            name: the scenario; the plant is told it.
            policy, baseline: who drives; ``None``: no comparison.
            progress: called as ``progress(done_steps, total_steps)``, all controllers counted.
            reference: another form of the same policy that drives the same episodes, to see what the engine changes.
            current: the channel's current release, or why it does not drive; either stands in the row.
        """
        self._check(name)
        steps = self.plant.scenarios[name].steps
        total = steps * (1 + (baseline is not None) + (reference is not None) + isinstance(current, CurrentRelease))

        def part(start: int) -> Progress | None:
            return None if progress is None else lambda done, _: progress(start + done, total)

        rl, tape = self.evaluator.run(policy, name, self.seeds, part(0))
        other: ControllerResult | None = None
        second: Recording | None = None
        if baseline is not None:
            other, second = self.evaluator.run(baseline, name, self.seeds, part(steps))
        self._arrays[name] = _trajectories(tape, second, self.plant.dt_s)
        row = self._comparison(name, rl, tape, other, second)
        effect = None
        if reference is not None:
            effect = self._effect(name, (rl, tape), reference, part(steps * (1 + (baseline is not None))))
        now = CurrentComparison(why_not=current) if isinstance(current, str) else None
        if isinstance(current, CurrentRelease):
            now = self._current(name, (rl, tape), current, part(total - steps))
        called = "" if baseline is None else str(getattr(baseline, "name", "PID"))
        return dataclasses.replace(row, baseline_name=called, reference=effect, current=now)

    def run(
        self, policy: Controller, baseline: Controller | None, progress: Callable[[str, int, int], None] | None = None
    ) -> EvaluationReport:
        """All scenarios, one after the other; ``progress(scenario, done_steps, total_steps)``."""

        def of(name: str) -> Progress | None:
            return None if progress is None else lambda done, total: progress(name, done, total)

        return self.report([self.scenario(name, policy, baseline, of(name)) for name in self.scenarios])

    def report(self, rows: Sequence[ScenarioComparison]) -> EvaluationReport:
        """Join the rows of scenarios that were run here or elsewhere.

        Raises:
            EvaluationError: see ``EvaluationReport.of``.
        """
        return EvaluationReport.of(rows)

    def trajectories(self, name: str) -> dict[str, NDArray[Any]]:
        """The first seed's episode of a scenario that ``scenario`` has run, for ``evaluation/<name>.npz``.

        ``t_s`` and, for ``rl``, ``baseline`` and ``current``, ``rl/<variable>``, ``rl/reward``, ``rl/action/<i>``, each
        ``[steps]`` with NaN after the episode's end.

        Raises:
            EvaluationError: it has not been run.
        """
        if name not in self._arrays:
            raise EvaluationError(f"The scenario {name!r} has not been run yet, so there are no trajectories of it.")
        return self._arrays[name]

    def _comparison(
        self, name: str, rl: ControllerResult, tape: Recording, other: ControllerResult | None, second: Recording | None
    ) -> ScenarioComparison:
        scenario, space = self.plant.scenarios[name], self.plant.action_space
        actions = space.names or tuple(str(i) for i in range(space.size))
        return ScenarioComparison(
            plant=self.plant.name,
            scenario=name,
            phase=scenario.phase,
            title=scenario.title,
            description=scenario.description,
            steps=scenario.steps,
            dt_s=self.plant.dt_s,
            seed=self.config.seed,
            episodes=self.config.episodes,
            confidence=self.config.confidence,
            bootstrap=self.config.bootstrap,
            variables=tuple({"name": v.name, "unit": v.unit, "title": v.title} for v in self.plant.variables),
            actions=tuple(actions),
            rl=rl,
            baseline=other,
            difference=None if other is None else self._difference(rl, other),
            trace=trace(tape if second is None else second),
            terms=self._terms(
                per_episode(self.plant, tape), None if second is None else per_episode(self.plant, second)
            ),
        )

    def _effect(
        self, name: str, engine: tuple[ControllerResult, Recording], reference: Reference, progress: Progress | None
    ) -> EngineEffect:
        driven = self.evaluator.run(reference.controller, name, self.seeds, progress)
        first = self.config.seed
        return engine_effect(reference.name, engine, driven, tuple(self.plant.variables), first, self.plant.dt_s)

    def _current(
        self, name: str, policy: tuple[ControllerResult, Recording], current: CurrentRelease, progress: Progress | None
    ) -> CurrentComparison:
        rl, tape = policy
        try:
            same_plant(self.plant, current.plant, name, self.seeds, tape)
            evaluator = self.evaluator if current.plant is self.plant else self._evaluator_of(current.plant)
            result, other = evaluator.run(current.controller, name, self.seeds, progress)
        except Gate5Error as error:
            return CurrentComparison(current.release, current.driver, why_not=str(error))
        self._arrays[name] |= _episode("current", other)
        return CurrentComparison(
            current.release, current.driver, result, self._difference(rl, result),
            self._terms(per_episode(self.plant, tape), per_episode(self.plant, other)),
        )  # fmt: skip

    def _evaluator_of(self, plant: Plant) -> Evaluator:
        return type(self.evaluator)(plant, self.config.confidence)

    def _terms(
        self, policy: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]] | None
    ) -> tuple[TermResult, ...]:
        return compare_terms(
            self.plant,
            policy,
            other,
            self.config.margins,
            confidence=self.config.confidence,
            resamples=self.config.bootstrap,
            seed=self.config.seed,
        )

    def _difference(self, rl: ControllerResult, baseline: ControllerResult) -> Difference:
        pairs = list(zip(rl.returns, baseline.returns, strict=True))
        deltas = [a - b for a, b in pairs if a is not None and b is not None]
        if len(deltas) < len(pairs):
            return Difference(None, None, None, None, len(pairs), 0)
        interval = paired_bootstrap(
            deltas, confidence=self.interval_confidence, resamples=self.config.bootstrap, seed=self.config.seed
        )
        low, high = (None, None) if interval is None else interval
        return Difference(mean(deltas), low, high, effect_size(deltas), len(deltas), sum(d > 0 for d in deltas))

    def _check(self, name: str) -> None:
        known = list(self.plant.scenarios)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}."
            raise PlantError(f"The plant {self.plant.name} has no scenario {name!r}: {hint}")


def trace(tape: Recording) -> tuple[str, ...]:
    """Running hashes of all that was reported, after each ``TRACE_STEPS`` steps and at the end."""
    digest, marks = hashlib.sha256(), []
    steps = tape.values.shape[1]
    for start in range(0, steps, TRACE_STEPS):
        part = np.ascontiguousarray(tape.values[:, start : start + TRACE_STEPS])
        digest.update(part.tobytes())
        marks.append(digest.hexdigest()[:16])
    return tuple(marks)


def _trajectories(tape: Recording, second: Recording | None, dt_s: float) -> dict[str, NDArray[Any]]:
    """The first episode as arrays of full length, NaN after its end."""
    arrays: dict[str, NDArray[Any]] = {"t_s": dt_s * np.arange(1, tape.values.shape[1] + 1)}
    return arrays | _episode("rl", tape) | ({} if second is None else _episode("baseline", second))


def _episode(who: str, tape: Recording) -> dict[str, NDArray[Any]]:
    live = tape.live[:, 0]
    arrays = {f"{who}/{name}": np.where(live, tape.values[row, :, 0], np.nan) for row, name in enumerate(tape.names)}
    arrays[f"{who}/reward"] = np.where(live, tape.reward[:, 0], np.nan)
    for i in range(tape.action.shape[2]):
        arrays[f"{who}/action/{i}"] = np.where(live, tape.action[:, 0, i], np.nan)
    return arrays
