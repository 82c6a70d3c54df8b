"""The design point and the operating map against an independent calculation."""

from __future__ import annotations

import numpy as np
import pytest

from gate5.plant.sco2 import design, steady, validate
from gate5.plant.sco2.cycle import Health
from gate5.plant.sco2.model import Inputs, evaluate
from gate5.plant.sco2.ops import ArrayOps
from gate5.plant.sco2.parameters import Parameters


def test_design_point_has_the_published_numbers() -> None:
    """95 kg/s, 700 C, 18 MPa, 32.5 C, 7.5 MPa with 0.90 / 0.85 / 0.92 (CoolProp's own figures)."""
    p = Parameters()
    cycle = design.cycle(p, ArrayOps())
    one, d = np.ones(1), p.design
    health = Health(one, one, one, one)
    state = steady.solve(
        cycle,
        steady.Operation(
            power=np.array([np.nan]),
            flow=d.mass_flow * one,
            p_low=d.low_pressure * one,
            inlet_c=d.compressor_inlet_c * one,
            turbine_c=d.turbine_inlet_c * one,
            exhaust_c=d.exhaust_c * one,
            exhaust_flow=one,
            coolant_c=d.coolant_c * one,
            loaded=one,
        ),
        health,
    )
    y = evaluate(cycle, state, Inputs(10.0 * one, 0 * one, 700 * one, 900 * one, one, 18 * one, one, 0 * one), health)
    expected = {
        "turbine_power": (13_130.0, 10.0),
        "compressor_power": (2_730.0, 10.0),
        "heat": (27_190.0, 20.0),
        "recuperator_heat": (50_800.0, 100.0),
        "outlet_c": (85.7, 0.1),
        "exhaust_c": (583.7, 0.1),
        "heater_in_c": (469.6, 0.1),
        "precooler_c": (121.9, 0.1),
    }
    for name, (value, tolerance) in expected.items():
        assert float(getattr(y, name)[0]) == pytest.approx(value, abs=tolerance), name
    assert float(state.p_high[0]) == pytest.approx(18.0, abs=1e-6)
    assert float(state.actuators[0, 0]) == pytest.approx(d.damper, abs=1e-3)
    assert float(state.actuators[3, 0]) == pytest.approx(1.0, abs=1e-3)


def test_steady_states_agree_with_the_equation_of_state_over_the_map() -> None:
    deviations = validate.compare(validate.MAP[::3])
    assert len(deviations) == 17
    for deviation in deviations:
        assert deviation.relative < validate.STEADY_LIMIT, deviation


def test_a_solved_steady_state_stands_still() -> None:
    """Every rate of change is zero (to the tables' rounding) where the solver says steady."""
    _, _, y = validate.solve_map(validate.MAP[::5])
    assert np.abs(y.metal_rate).max() < 1e-4  # C/s
    assert np.abs(y.recuperated_rate).max() < 1e-4  # kJ/kg/s
    assert np.abs(y.inlet_rate).max() < 1e-4
    assert np.abs(y.p_high_rate).max() < 1e-6  # MPa/s


@pytest.mark.parametrize("scenario", ["load_rejection", "cold_startup", "emergency_trip"])
def test_energy_and_mass_balances_close_at_every_step(scenario: str) -> None:
    balance = validate.balances(scenario, range(3))
    assert balance.energy < 1e-9
    assert balance.mass < 1e-9


def test_a_colder_inlet_brings_the_compressor_nearer_to_surge() -> None:
    """Denser fluid, less volume flow: the reason why the inlet may not be cooled at will."""
    points = [validate.Point(10.0, 7.8, inlet, 700.0) for inlet in (34.0, 33.0, 32.3)]
    _, _, y = validate.solve_map(points)
    assert np.all(np.diff(y.surge_margin) < 0)
    assert np.all(np.diff(y.density) > 0)


def test_more_flow_lowers_the_effectiveness_of_the_recuperator() -> None:
    cycle = design.cycle(Parameters(), ArrayOps())
    flows = np.array([45.0, 95.0, 125.0])
    effectiveness = cycle.recuperator_effectiveness(cycle.flow_factor(flows), 1.0)
    assert np.all(np.diff(effectiveness) < 0)
    assert effectiveness[1] == pytest.approx(0.92)
