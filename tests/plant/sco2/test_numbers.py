"""The numbers that make an episode: declared, replaceable one by one, and inside their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from gate5.plant.sco2 import SCO2Plant
from gate5.plant.sco2.numbers import NUMBERS
from gate5.plant.sco2.scenarios import SCENARIOS, disturbances, draw, drawn


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_drawn_is_declared_and_in_its_range(scenario: str) -> None:
    declared = {d.name: d for d in disturbances(scenario)}
    for seed in range(30):
        for name, value in drawn(scenario, seed).items():
            assert declared[name].low <= value <= declared[name].high, (scenario, seed, name)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_episode_is_its_numbers(scenario: str) -> None:
    """Another seed with the same numbers is the same episode, to the bit; one number changed is another."""
    numbers = drawn(scenario, 5)
    own, copied = draw(scenario, 5), draw(scenario, 6, numbers)
    assert np.array_equal(own.inputs, copied.inputs)
    assert own.health == copied.health
    assert repr(own.start) == repr(copied.start)
    assert draw(scenario, 5, {"turbine_health": 0.99}).health.turbine == 0.99


def test_a_replaced_number_changes_no_other() -> None:
    before, after = drawn("load_following", 3), dict(drawn("load_following", 3))
    course = draw("load_following", 3, {"exhaust_offset": 20.0})
    assert before == after
    assert course.health == draw("load_following", 3).health


def test_every_number_belongs_to_a_scenario() -> None:
    used = {d.name for name in SCENARIOS for d in disturbances(name)}
    assert used == set(NUMBERS)


def test_the_plant_observes_only_signals_that_it_declares() -> None:
    plant = SCO2Plant()
    declared = {s.name for s in plant.signals}
    assert set(plant.observation_space.names) <= declared
    assert all(s.source for s in plant.signals)
    assert {a.name for a in plant.actuators} == set(plant.action_space.names)
    terms = {name for s in plant.signals for name, _ in s.terms}
    assert terms <= declared
