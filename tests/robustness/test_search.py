"""The search finds what is there, spends what it was given, and comes to the same every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from gate5.errors import ConfigError
from gate5.plant.base import Box, Constraint, Float32, Scenario, Step, Variable
from gate5.plant.disturbance import ActuatorTravel, Disturbance, Signal
from gate5.robustness.rollout import rollout
from gate5.robustness.search import LEAST, search, usable

SIZE = 12


class Bowl:
    """One step long; ``level`` is the distance from a hidden point in the middle of nowhere, ``flat`` never moves."""

    name, dt_s = "bowl", 1.0
    observation_space = Box(np.zeros(1, np.float32), np.ones(1, np.float32), ("x",))
    action_space = Box(-np.ones(1, np.float32), np.ones(1, np.float32), ("u",))
    scenarios: Mapping[str, Scenario] = {"only": Scenario("only", 0, 1, "", "")}
    variables = (Variable("level", "m", ""), Variable("flat", "m", ""))
    constraints = (Constraint("level", "level", 0.5, None, "m"), Constraint("flat", "flat", 0.99, None, "m"))
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
        variables = {"level": level, "flat": np.full(count, 1.0)}
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


def test_an_earlier_case_is_used_only_where_its_numbers_still_fit() -> None:
    declared = Bowl().disturbances("only")
    assert usable({"d0": 1.0}, declared)
    assert not usable({"d0": 1.1}, declared)
    assert not usable({"gone": 0.5}, declared)
