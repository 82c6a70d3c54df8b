"""The search finds what is there, spends what it was given, and comes to the same every time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from gate5.errors import ConfigError, PlantError
from gate5.io import canonical
from gate5.plant.base import Box, Constraint, Float32, Scenario, Step, Variable
from gate5.plant.disturbance import ActuatorTravel, Disturbance, Signal
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.stress import StressClass
from gate5.robustness import matrix
from gate5.robustness.cases import case_of, closeness, drive
from gate5.robustness.rollout import rollout
from gate5.robustness.search import LEAST, search, usable

SIZE = 12


class Bowl:
    """One step long; ``level`` is the distance from a hidden point in the middle of nowhere, ``flat`` never moves."""

    name, dt_s = "bowl", 1.0
    observation_space = Box(np.zeros(1, np.float32), np.ones(1, np.float32), ("x",))
    action_space = Box(-np.ones(1, np.float32), np.ones(1, np.float32), ("u",))
    scenarios: Mapping[str, Scenario] = {"only": Scenario("only", 0, 1, "", "")}
    variables: tuple[Variable, ...] = (Variable("level", "m", ""), Variable("flat", "m", ""))
    constraints: tuple[Constraint, ...] = (
        Constraint("level", "level", 0.5, None, "m"),
        Constraint("flat", "flat", 0.99, None, "m"),
    )
    signals: tuple[Signal, ...] = ()
    actuators: tuple[ActuatorTravel, ...] = ()
    hidden = np.random.default_rng(5).uniform(0.2, 0.8, SIZE)

    def disturbances(self, scenario: str) -> tuple[Disturbance, ...]:
        return tuple(Disturbance(f"d{i}", "drawn", 0.0, 1.0, "1", "") for i in range(SIZE))

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        return self.reset_mixed([scenario] * len(seeds), seeds, [{}] * len(seeds))

    def reset_mixed(
        self, names: Sequence[str], seeds: Sequence[int], numbers: Sequence[Mapping[str, float]] | None = None
    ) -> Float32:
        self.x = np.array([[n.get(f"d{i}", 0.5) for i in range(SIZE)] for n in numbers or ()])
        return np.zeros((len(seeds), 1), np.float32)

    def reset_some(self, *_: object, **__: object) -> Float32:
        raise NotImplementedError

    def step(self, action: Float32) -> Step:
        count = len(self.x)
        level = np.sqrt(((self.x - self.hidden) ** 2).sum(axis=1))
        no, yes = np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_)
        variables = {"level": level, "flat": np.full(count, 1.0), "never": np.zeros(count)}
        return Step(np.zeros((count, 1), np.float32), np.zeros(count), no, yes, variables, no)


IDLE = SimpleNamespace(reset=lambda batch: None, predict=lambda obs: (np.zeros((len(obs), 1), np.float32), None))


def test_it_finds_the_hidden_point_and_is_not_held_by_a_limit_that_never_moves() -> None:
    found = search(Bowl(), IDLE, "only", seed=3, control_steps=20_000)
    assert found.smallest["level"] == pytest.approx(-0.5, abs=0.02)
    assert found.found_by == "search"
    assert np.allclose([found.numbers[f"d{i}"] for i in range(SIZE)], Bowl.hidden, atol=0.02)
    rng = np.random.default_rng(0)
    blind = rollout(
        Bowl(),
        IDLE,
        "only",
        [0] * 20_000,
        [{f"d{i}": u for i, u in enumerate(p)} for p in rng.random((20_000, SIZE))],
    )
    assert blind.margins[0].min() > found.smallest["level"] + 0.2, "as many random episodes find far less"


@pytest.mark.parametrize("budget", [LEAST, 50, 257, 700])
def test_the_budget_is_kept_and_the_outcome_repeats(budget: int) -> None:
    first, second = (search(Bowl(), IDLE, "only", seed=3, control_steps=budget) for _ in range(2))
    assert first == second
    assert 0.9 * budget - 4 <= first.evaluations <= budget
    shares = [share for _, share in first.curve]
    assert shares == sorted(shares, reverse=True), "the worst so far never gets better"
    other = search(Bowl(), IDLE, "only", seed=4, control_steps=budget)
    assert other.numbers != first.numbers


def test_a_budget_that_pays_for_no_search_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"control_steps is 3, which pays for 3 episodes of only: give at least 8\."):
        search(Bowl(), IDLE, "only", seed=3, control_steps=3)


class Fixed(Bowl):
    """Draws nothing."""

    def disturbances(self, scenario: str) -> tuple[Disturbance, ...]:
        return (Disturbance("event", "event", 0.0, 1.0, "1", ""),)


def test_where_an_episode_draws_nothing_it_is_the_worst() -> None:
    """Seen: a budget of two millions "pays for 2000000 episodes of only: give at least 8"."""
    found = search(Fixed(), IDLE, "only", seed=3, control_steps=2_000_000)
    assert (found.numbers, found.evaluations) == ({}, 1)
    assert found.smallest["flat"] == pytest.approx(0.01)


def test_where_no_limit_ever_holds_the_search_can_be_written_down() -> None:
    """Seen: a traceback, because infinity is not JSON."""
    plant = Bowl()
    plant.constraints = tuple(dataclasses.replace(c, applies="never") for c in Bowl.constraints)
    plant.variables = (*Bowl.variables, Variable("never", "", ""))
    found = search(plant, IDLE, "only", seed=3, control_steps=300)
    assert found.smallest == {}
    assert canonical.dumps([list(point) for point in found.curve])


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        ({"levl": 0.1}, "'levl', which is no constraint, so that it would count for none: did you mean 'level'"),
        ({"level": -0.1}, "declares the integration error -0.1 of 'level': give 0 or more"),
        ({"level": float("nan")}, "give 0 or more"),
    ],
)
def test_an_integration_error_that_would_not_count_is_refused(declared: dict[str, float], match: str) -> None:
    plant = Bowl()
    plant.integration_error = declared  # type: ignore[attr-defined]
    with pytest.raises(PlantError, match=match):
        search(plant, IDLE, "only", seed=3, control_steps=300)


def test_a_stress_class_for_a_scenario_that_is_not_there_is_refused() -> None:
    """It was driven nowhere, and `robust_as_expected` passed without it."""
    lost = StressClass("cold", "a cold day", (Perturbation("noise", 1.0),), expected=1.0, scenarios=("onyl",))
    with pytest.raises(PlantError, match=r"'cold' .* driven nowhere: did you mean 'only'"):
        matrix.drive(PerturbedPlant(Bowl()), {"policy": IDLE}, "only", [lost], [1])


def test_of_two_cases_the_one_in_which_a_limit_holds_is_the_worse() -> None:
    """Seen: where a kept case met no limit any more it was taken for the worst, and the rule did not apply."""
    about = {"sensors": False, "candidate": "", "found_by": "search"}
    held = case_of(Bowl(), "only", 3, {}, drive(Bowl(), IDLE, "only", 3, {}), **about)
    none = dataclasses.replace(held, constraint="", share=None, value_margin=None)
    broken = dataclasses.replace(none, violates=True)
    assert held.share is not None
    assert held.share > 0
    assert sorted((none, held, broken), key=closeness) == [broken, held, none]


def test_an_earlier_case_is_used_only_where_its_numbers_still_fit() -> None:
    declared = Bowl().disturbances("only")
    assert usable({"d0": 1.0}, declared)
    assert not usable({"d0": 1.1}, declared)
    assert not usable({"gone": 0.5}, declared)
