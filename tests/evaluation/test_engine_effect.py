"""The engine against the policy in closed loop: the same seeds, and no difference that is not a number looks small."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import EvaluationConfig
from gate5.evaluation import EngineEffect, EvaluationReport, EvaluationReporter, Reference, ScenarioComparison
from tests.support.tank import Constant, Tank

CONFIG = EvaluationConfig(episodes=3, seed=11, bootstrap=100)


def row(plant: Any, policy: Any, reference: Any) -> ScenarioComparison:
    return EvaluationReporter(plant, CONFIG).scenario("step", policy, None, reference=Reference("torch", reference))


def effect(plant: Any, policy: Any, reference: Any) -> EngineEffect:
    found = row(plant, policy, reference).reference
    assert found is not None
    return found


def test_the_same_policy_differs_by_nothing(tank: Tank, constant: type[Constant]) -> None:
    found = effect(tank, constant(0.1), constant(0.1))
    assert (found.return_mean, found.return_abs_max, found.action_abs_max) == (0.0, 0.0, 0.0)
    assert (found.variable, found.lengths_differ, found.episodes) == ("", 0, 3)


def test_a_coarser_arithmetic_shows_in_action_trajectory_and_return(tank: Tank, constant: type[Constant]) -> None:
    """The numbers are those of two separate evaluations on the same seeds."""
    reporter = EvaluationReporter(tank, CONFIG)
    ours, theirs = (reporter.scenario("step", constant(value), None).rl for value in (0.1001, 0.1))
    deltas = np.array(ours.returns, float) - np.array(theirs.returns, float)
    found = effect(tank, constant(0.1001), constant(0.1))
    assert found.action_abs_max == pytest.approx(1e-4, rel=1e-3)
    assert found.return_mean == pytest.approx(deltas.mean())
    assert found.return_abs_max == pytest.approx(np.abs(deltas).max())
    assert found.seed == 11 + int(np.abs(deltas).argmax())
    assert found.variable in ("upper", "level", "efficiency")
    assert found.variable_abs_max is not None
    assert found.variable_abs_max > 0
    assert found.reference_violations == theirs.violations


def test_episodes_that_end_elsewhere_are_counted(tank: Tank, constant: type[Constant]) -> None:
    """One pump floods the tank and ends the episode, the other does not; after the end nothing is compared."""
    found = effect(tank, constant(1.0), constant(0.1))
    assert found.lengths_differ == 3


def test_a_value_that_is_missing_in_one_of_the_two_outweighs_every_number(tank: Tank, constant: type[Constant]) -> None:
    class Lossy(type(tank)):  # type: ignore[misc]
        """Reports no level while the pump runs hard."""

        def _variables(self) -> dict[str, Any]:
            values: dict[str, Any] = super()._variables()
            return values | {"level": np.where(self.upper > 1.9, np.nan, values["level"])}

    found = effect(Lossy(), constant(0.5), constant(-0.2))
    assert (found.variable, found.variable_abs_max) == ("level", None)


def test_a_difference_that_is_not_a_number_fails_any_limit(tank: Tank, constant: type[Constant]) -> None:
    found = dataclasses.replace(effect(tank, constant(0.1), constant(0.1)), return_abs_max=None, return_mean=None)
    assert found.metrics()["return_abs_max"] == math.inf


def test_it_round_trips_has_its_metric_and_is_optional(tank: Tank, constant: type[Constant]) -> None:
    with_it = row(tank, constant(0.2), constant(0.1))
    assert ScenarioComparison.from_dict(with_it.to_dict()) == with_it
    metrics = EvaluationReport.of([with_it]).metrics()
    assert with_it.reference is not None
    assert metrics["evaluation.step.engine_effect.return_abs_max"] == with_it.reference.return_abs_max
    plain = with_it.to_dict()
    del plain["reference"], plain["baseline_name"]  # as an earlier version wrote it
    assert ScenarioComparison.from_dict(plain).reference is None
    without = EvaluationReporter(tank, CONFIG).scenario("step", constant(0.1), None)
    assert "evaluation.step.engine_effect.return_abs_max" not in without.metrics()


def test_progress_counts_the_reference_too(tank: Tank, constant: type[Constant]) -> None:
    seen: list[tuple[int, int]] = []
    reporter = EvaluationReporter(tank, CONFIG)
    reporter.scenario(
        "step", constant(0.1), constant(0.1), lambda a, b: seen.append((a, b)), Reference("r", constant(0))
    )
    assert seen[-1] == (540, 540)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
