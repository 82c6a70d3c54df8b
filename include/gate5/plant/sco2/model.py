"""The plant's dynamics: states, property passes, and how the states advance.

A pass (``evaluate``) gives every flow and every rate of change at the states. ``advance`` goes half a step with the
pass at its beginning, and the whole step with the pass there: the midpoint rule, of second order. Each lump's change
is exactly its net flow of the middle pass times the step, so energy and mass balances close to rounding. Lags without
a balance take the exact discrete factor.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from gate5.plant.sco2.cycle import Cycle, Health
from gate5.plant.sco2.parameters import DT_S


class State(NamedTuple):
    """What the plant remembers; each a float or an array ``[B]``; ``actuators`` four of them (``ACTUATORS``)."""

    flow: Any  # compressor mass flow, kg/s
    p_low: Any  # MPa
    p_high: Any  # MPa
    inlet_h: Any  # compressor inlet enthalpy, kJ/kg
    recuperated: Any  # enthalpy that the recuperator's metal gives to the cold side, kJ/kg
    metal: Any  # heater metal, C
    casing: Any  # turbine casing metal, C
    speed: Any  # rotor speed over rated
    valve: Any  # turbine stop valve, 0 to 1
    bypass: Any  # turbine bypass valve, 0 to 1
    exhaust: Any  # exhaust temperature at the heater, C
    actuators: Any


class Inputs(NamedTuple):
    """What acts on the plant from outside at one step."""

    setpoint: Any  # net power, MW
    setpoint_rate: Any  # MW/min
    turbine_setpoint: Any  # turbine inlet temperature, C
    exhaust_source: Any  # exhaust temperature before the duct, C
    exhaust_flow: Any  # over design
    coolant: Any  # C
    admitted: Any  # 1: the start-up sequence lets the turbine run
    tripped: Any  # 1: the trip has happened


class Outputs(NamedTuple):
    """One property pass: temperatures C, enthalpies kJ/kg, flows kg/s, powers kW, rates per second."""

    inlet_c: Any
    density: Any
    outlet_h: Any
    outlet_c: Any
    heater_in_h: Any
    heater_in_c: Any
    turbine_h: Any
    turbine_c: Any
    exhaust_h: Any
    exhaust_c: Any
    precooler_h: Any
    precooler_c: Any
    cooled_h: Any
    coolant_out_c: Any
    through: Any
    turbine_flow: Any
    bypass_flow: Any
    compressor_power: Any
    turbine_power: Any
    exhaust_heat: Any
    heat: Any
    recuperator_heat: Any
    cooling: Any
    compressor_speed: Any
    surge_margin: Any
    compressor_efficiency: Any
    turbine_efficiency: Any
    metal_rate: Any
    recuperated_rate: Any
    inlet_rate: Any
    p_high_rate: Any
    casing_rate: Any
    stored: Any
    breaker: Any
    net_power: Any
    valid: Any


def lag(tau_s: float, dt: float = DT_S) -> float:
    """Share of a first-order lag's way gone in one step."""
    return 1.0 - math.exp(-dt / tau_s)


def evaluate(cycle: Cycle, x: State, u: Inputs, health: Health) -> Outputs:
    """One pass around the loop: compressor, recuperator, heater, turbine, recuperator, precooler."""
    ops, co2, p, z = cycle.ops, cycle.co2, cycle.p, cycle.z
    damper, _, _, coolant_valve = x.actuators
    low, high = ops.locate(co2.low, x.p_low), ops.locate(co2.high, x.p_high)
    c = cycle.compress(low, high, x.flow, x.inlet_h, health.compressor)
    factor = cycle.flow_factor(x.flow)
    h_in = c.outlet_h + x.recuperated
    (h_metal,) = ops.lookup(co2.high_pt, high, x.metal)
    h3 = h_in + cycle.heater_effectiveness(factor) * (h_metal - h_in)
    (t2, _), (t_in, _), (t3, s3) = ops.lookup_each(co2.high_ph, high, c.outlet_h, h_in, h3)
    e = cycle.expand(low, x.p_low, x.p_high, (t3, s3, h3), (x.valve, x.bypass), health.turbine)
    t4 = ops.lookup(co2.low_ph, low, e.outlet_h)[0]
    (h_pinch_cold,), (h_coolant,) = ops.lookup_each(co2.low_pt, low, t2, u.coolant)
    (h_pinch_hot,) = ops.lookup(co2.high_pt, high, t4)
    most = ops.minimum(e.outlet_h - h_pinch_cold, h_pinch_hot - c.outlet_h)
    q_hot = cycle.recuperator_effectiveness(factor, health.recuperator) * most
    h5 = e.outlet_h - q_hot
    t5 = ops.lookup(co2.low_ph, low, h5)[0]
    cooled = h5 - cycle.precooler_effectiveness(factor, coolant_valve, health.precooler) * (h5 - h_coolant)
    exhaust_heat = cycle.exhaust_conductance(damper, u.exhaust_flow, health.heater) * (x.exhaust - x.metal)
    heat, cooling = e.flow * (h3 - h_in), e.flow * (h5 - cooled)
    metal_rate = (exhaust_heat - heat) / z.heater_capacity
    recuperated_rate = e.flow * (q_hot - x.recuperated) * (1.0 / z.recuperator_mass)
    inlet_rate = e.flow * (cooled - x.inlet_h) * (1.0 / z.precooler_mass)
    gathered = x.flow - e.flow
    stored = z.heater_capacity * metal_rate + z.recuperator_mass * recuperated_rate
    stored = stored + z.precooler_mass * inlet_rate + gathered * (c.outlet_h - x.inlet_h)
    pace = x.valve * (1.0 / p.casing_loaded_s - 1.0 / p.casing_isolated_s) + 1.0 / p.casing_isolated_s
    casing_rate = (t3 - x.casing) * pace
    breaker = ops.at_least(x.valve, 0.99)
    valid = ops.inside(
        (
            x.p_low,
            x.p_high,
            x.inlet_h,
            c.outlet_h,
            h_in,
            h3,
            e.outlet_h,
            h5,
            x.metal,
            t2,
            t4,
            u.coolant,
            s3,
            e.flow,
            c.speed,
            most,
            h5 - h_coolant,
        )
    )
    return Outputs(
        c.inlet_c, c.density, c.outlet_h, t2, h_in, t_in, h3, t3, e.outlet_h, t4, h5, t5, cooled,
        cycle.coolant_outlet(u.coolant, coolant_valve, cooling), e.flow, e.turbine_flow, e.bypass_flow,
        c.power, e.power, exhaust_heat, heat, e.flow * q_hot, cooling, c.speed, c.surge_margin, c.efficiency,
        e.efficiency, metal_rate, recuperated_rate, inlet_rate, gathered / z.high_capacity, casing_rate, stored,
        breaker, breaker * e.power * p.generator_efficiency - c.power * (1.0 / p.motor_efficiency), valid,
    )  # fmt: skip


class Middle(NamedTuple):
    """The states half a step on, and the pass there, whose flows the whole step takes."""

    x: State
    y: Outputs


def advance(
    cycle: Cycle, x: State, y: Outputs, u: Inputs, actuators: Any, health: Health, dt: float = DT_S
) -> tuple[State, Middle]:
    """The states one step later, but for the rotor's (``spin``).

    Args:
        y: the pass at ``x``.
        u: the inputs of the new step.
        actuators: their new positions.
        dt: the step in seconds; the plant's own is the control step.

    Returns:
        The new states, and the middle of the step; where its pass is not valid, neither is the step.
    """
    half = _go(cycle, x, x.flow, y, u, actuators, 0.5 * dt)
    middle = evaluate(cycle, half, u, health)
    return _go(cycle, x, half.flow, middle, u, actuators, dt), Middle(half, middle)


def _go(cycle: Cycle, x: State, flow: Any, y: Outputs, u: Inputs, actuators: Any, dt: float) -> State:
    """From ``x`` with the rates of a pass ``y``, at which the compressor's flow is ``flow``."""
    ops, p = cycle.ops, cycle.p
    # The loop's own imbalance, as the low side's lag lets it grow: kg/s over kg/MPa times the lag's time constant.
    pressure = actuators[2] - x.p_low + (y.through - flow) * (p.low_pressure_s / p.low_capacity)
    # The stop valve shuts within a step and opens in two minutes; the bypass opens in two steps.
    valve = ops.minimum(u.admitted * (1.0 - u.tripped), x.valve + dt / 120.0)
    return State(
        flow=x.flow + lag(p.mass_flow_s, dt) * (actuators[1] - x.flow),
        p_low=x.p_low + lag(p.low_pressure_s, dt) * pressure,
        p_high=x.p_high + dt * y.p_high_rate,
        inlet_h=x.inlet_h + dt * y.inlet_rate,
        recuperated=x.recuperated + dt * y.recuperated_rate,
        metal=x.metal + dt * y.metal_rate,
        casing=x.casing + dt * y.casing_rate,
        speed=x.speed,
        valve=valve,
        bypass=ops.minimum(1.0 - valve, x.bypass + 0.5 * (dt / DT_S)),
        exhaust=x.exhaust + lag(p.exhaust_buffer_s, dt) * (u.exhaust_source - x.exhaust),
        actuators=actuators,
    )


def spin(cycle: Cycle, x: State, y: Outputs, u: Inputs) -> Any:
    """The rotor's speed one control step after ``x``; nothing in the cycle depends on it.

    What the turbine still gives while its stop valve shuts goes into the rotor, and the step in which that happens
    shows the peak.
    """
    ops, p = cycle.ops, cycle.p
    target = u.admitted * (1.0 - u.tripped)
    push = u.tripped * x.valve * y.turbine_power * (p.stop_valve_s / (p.inertia_s * _RATED_TURBINE_KW))
    spun = ops.sqrt(x.speed * x.speed + push)
    pace = lag(p.coast_s) + target * (lag(p.run_up_s) - lag(p.coast_s))
    return spun + pace * (1.0 - u.tripped * x.valve) * (target - spun)


_RATED_TURBINE_KW = 13_130.0
