"""Constraints as data: limits that are moved act on the plant, and a declaration that cannot hold is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.candidate import PlantConfig
from gate5.errors import PlantError
from gate5.plant.base import Constraint
from gate5.plant.declared import ConstraintOptions, declared_constraints, with_limits
from gate5.plant.registry import open_plant
from gate5.plant.sco2.declarations import CONSTRAINTS

numbers = st.floats(-1e9, 1e9)


def sco2(**limits: Any) -> Any:
    return open_plant(PlantConfig(options={"constraints": limits}))


def test_a_moved_limit_replaces_that_limit_and_nothing_else() -> None:
    plant = sco2(turbine_inlet_high={"high": 705}, low_pressure={"low": 7.5})
    for given_, own in zip(plant.constraints, CONSTRAINTS, strict=True):
        if own.name == "turbine_inlet_high":
            assert (given_.low, given_.high, given_.unit) == (None, 705.0, "C")
        elif own.name == "low_pressure":
            assert (given_.low, given_.high, given_.applies) == (7.5, 8.8, "generating")
        else:
            assert given_ == own
    assert open_plant(PlantConfig()).constraints == CONSTRAINTS, "another plant keeps the declared limits"


@pytest.mark.parametrize("seeds", [[3], [3, 4]])
def test_a_moved_catastrophic_limit_ends_the_episode(seeds: list[int]) -> None:
    """The plant must stop at the limit that the report shows, in plain floats and in arrays."""
    action = np.zeros((len(seeds), 4), np.float32)
    plant = sco2(turbine_inlet_critical={"high": 650})
    plant.reset("steady_state", seeds)
    assert plant.step(action).terminated.all()
    plant = sco2()
    plant.reset("steady_state", seeds)
    assert not plant.step(action).terminated.any()


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"turbine_inlet_hihg": {"high": 705}}, "did you mean 'turbine_inlet_high'"),
        ({"turbine_inlet_high": {"low": 705}}, "no limit 'low'; it has high"),
        ({"turbine_inlet_high": {"high": "705 C"}}, "'705 C'; give a number"),
        ({"turbine_inlet_high": {"high": None}}, "None; give a number"),
        ({"turbine_inlet_high": 705}, "{high: 705}"),
        ({"low_pressure": {"low": 9.0}}, "low 9 above high 8.8"),
        (705, "turbine_inlet_high: {high: 705}"),
    ],
)
def test_a_wrong_limit_is_one_sentence(limits: Any, says: str) -> None:
    with pytest.raises(PlantError) as error:
        open_plant(PlantConfig(options={"constraints": limits}))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ([{"name": "a", "variable": "speeed", "high": 1}], "did you mean 'speed'"),
        ([{"name": "a", "variable": "speed", "high": 1, "applies": "rnning"}], "did you mean 'running'"),
        ([{"name": "a", "variable": "speed"}], "sets no limit"),
        ([{"name": "a", "variable": "speed", "high": 1}] * 2, "Two constraints"),
        ([{"name": "a", "variable": "speed", "high": 1, "low": 2}], "low 2 above high 1"),
    ],
)
def test_a_declaration_that_cannot_hold_is_one_sentence(declared: list[dict[str, Any]], says: str) -> None:
    options = [ConstraintOptions(**item) for item in declared]
    with pytest.raises(PlantError, match=says):
        declared_constraints(options, ["speed", "running"])


@given(numbers, numbers, numbers)
def test_tightening_a_limit_never_widens_the_margin(limit: float, tightening: float, value: float) -> None:
    own = (Constraint("c", "v", None, limit, ""),)
    (moved,) = with_limits(own, {"c": {"high": limit - abs(tightening)}}, "p")
    values = np.array([value])
    assert moved.margin(values)[0] <= own[0].margin(values)[0]
