"""The tables against CoolProp, and both forms of the lookup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.errors import PlantError
from gate5.plant.sco2 import properties, property_map
from gate5.plant.sco2.make_tables import FILE, GRIDS
from gate5.plant.sco2.ops import DOMAIN


def test_tables_are_small_enough_to_ship() -> None:
    assert FILE.stat().st_size < 3_000_000


def test_compressor_inlet_region_agrees_with_the_equation_of_state() -> None:
    """Around the critical point (30.98 C, 7.377 MPa), between the nodes: a coarse grid would fail here first."""
    import CoolProp

    coolprop: Any = CoolProp
    fluid = coolprop.AbstractState("HEOS", "CO2")
    co2 = properties.load()
    rng = np.random.default_rng(1)
    p, t = rng.uniform(7.4, 9.0, 400), rng.uniform(31.2, 36.0, 400)
    for pressure, temperature in zip(p, t, strict=True):
        fluid.update(coolprop.PT_INPUTS, pressure * 1e6, temperature + 273.15)
        place = co2.low.locate_one(pressure)
        found, entropy, density = co2.low_ph.at_one(place, fluid.hmass() / 1e3)
        assert found == pytest.approx(temperature, abs=0.01)
        assert entropy == pytest.approx(fluid.smass() / 1e3, rel=1e-5)
        assert density == pytest.approx(fluid.rhomass(), rel=1e-3)


def test_high_side_agrees_with_the_equation_of_state() -> None:
    import CoolProp

    coolprop: Any = CoolProp
    fluid = coolprop.AbstractState("HEOS", "CO2")
    co2 = properties.load()
    rng = np.random.default_rng(2)
    for pressure, temperature in zip(rng.uniform(9, 23, 300), rng.uniform(100, 780, 300), strict=True):
        fluid.update(coolprop.PT_INPUTS, pressure * 1e6, temperature + 273.15)
        enthalpy, entropy = fluid.hmass() / 1e3, fluid.smass() / 1e3
        place = co2.high.locate_one(pressure)
        assert co2.high_pt.at_one(place, temperature)[0] == pytest.approx(enthalpy, abs=0.05)
        found, s = co2.high_ph.at_one(place, enthalpy)
        assert found == pytest.approx(temperature, abs=0.05)
        assert s == pytest.approx(entropy, abs=1e-4)


def test_isentropic_enthalpies_agree_with_the_equation_of_state() -> None:
    import CoolProp

    coolprop: Any = CoolProp
    fluid = coolprop.AbstractState("HEOS", "CO2")
    co2 = properties.load()
    rng = np.random.default_rng(3)
    for pressure, entropy in zip(rng.uniform(9, 23, 200), rng.uniform(1.3, 1.75, 200), strict=True):
        fluid.update(coolprop.PSmass_INPUTS, pressure * 1e6, entropy * 1e3)
        found = co2.high_ps.at_one(co2.high.locate_one(pressure), entropy)[0]
        assert found == pytest.approx(fluid.hmass() / 1e3, abs=0.02)


@settings(max_examples=200, deadline=None)
@given(p=st.floats(6.7, 9.5), h=st.floats(205.0, 1495.0))
def test_floats_and_arrays_give_the_same_bits(p: float, h: float) -> None:
    co2 = properties.load()
    one = co2.low_ph.at_one(co2.low.locate_one(p), h)
    many = co2.low_ph.at(co2.low.locate(np.array([p, 8.0])), np.array([h, 300.0]))
    assert [float(v[0]) for v in many] == list(one)


def test_every_lookup_of_the_domain_lies_in_its_table() -> None:
    """The solver check must refuse a state before the tables end."""
    grids = {g.name: g for g in GRIDS}
    for (low, high), name, axis in (
        (DOMAIN[0], "low_ph", "pressure"),
        (DOMAIN[1], "high_ph", "pressure"),
        (DOMAIN[2], "low_ph", "other"),
        (DOMAIN[5], "high_ph", "other"),
        (DOMAIN[6], "low_ph", "other"),
        (DOMAIN[8], "high_pt", "other"),
        (DOMAIN[9], "low_pt", "other"),
        (DOMAIN[12], "low_ps", "other"),
    ):
        first, last, _ = getattr(grids[name], axis)
        assert first <= low < high <= last, (name, axis)


def test_a_missing_table_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(PlantError, match="make_tables"):
        properties.load(tmp_path / "co2.npz")


def test_a_table_with_holes_is_refused(tmp_path: Path) -> None:
    with np.load(FILE) as data:
        arrays = {key: data[key].copy() for key in data.files}
    arrays["low_ph.t"][3, 4] = np.nan
    broken = tmp_path / "co2.npz"
    np.savez(broken, **arrays)
    with pytest.raises(PlantError, match=r"low_ph\.t"):
        properties.load(broken)


def test_error_map_covers_the_critical_point_and_stays_small() -> None:
    """A table too coarse near the critical point shows in the density first."""
    pressures, temperatures = property_map.PRESSURES[::6], property_map.TEMPERATURES[::6]
    found = property_map.errors(pressures, temperatures)
    assert found.density.max() < 1e-3
    assert found.temperature.max() < 0.02
    picture = property_map.picture(property_map.errors())
    assert picture.count("<rect") > 100
    assert "critical point" in picture
