"""Steady states: what states and actuators hold the plant at a given load and given temperatures.

Solved for a whole batch with a fixed number of secant steps, so that the result does not depend on the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate5.plant.sco2.cycle import Cycle, Health
from gate5.plant.sco2.model import State
from gate5.plant.sco2.parameters import ACTUATORS
from gate5.plant.sco2.properties import Co2

Array = NDArray[np.float64]
_SECANT_STEPS = 14
_BISECTIONS = 34


class Operation(NamedTuple):
    """What is held; arrays ``[B]``. ``power`` in kW net; ``NaN``: ``flow`` is given instead."""

    power: Array
    flow: Array
    p_low: Array
    inlet_c: Array
    turbine_c: Array
    exhaust_c: Array
    exhaust_flow: Array
    coolant_c: Array
    loaded: Array  # 1: through the turbine, 0: through the bypass


def solve(cycle: Cycle, o: Operation, health: Health) -> State:
    """The steady state at ``o``; actuators are clipped to their ranges where it asks for more than they have."""
    first, second = np.full(o.flow.shape, 70.0), np.full(o.flow.shape, 95.0)
    miss_first, miss_second = _power(cycle, o, first, health) - o.power, _power(cycle, o, second, health) - o.power
    for _ in range(_SECANT_STEPS):
        slope = miss_second - miss_first
        step = np.where(np.abs(slope) > 1e-9, miss_second * (second - first) / np.where(slope == 0, 1.0, slope), 0.0)
        first, miss_first = second, miss_second
        second = np.clip(second - step, ACTUATORS[1].low, ACTUATORS[1].high)
        miss_second = _power(cycle, o, second, health) - o.power
    flow = np.where(np.isnan(o.power), o.flow, second)
    return _state(cycle, o, flow, health)


def _power(cycle: Cycle, o: Operation, flow: Array, health: Health) -> Array:
    loop = _around(cycle, o, flow, health)
    p = cycle.p
    return np.asarray(loop["turbine"] * p.generator_efficiency - loop["compressor"] / p.motor_efficiency)


def _around(cycle: Cycle, o: Operation, flow: Array, health: Health) -> dict[str, Any]:
    co2, ops, z = cycle.co2, cycle.ops, cycle.z
    p_high = np.sqrt(o.p_low * o.p_low + (flow / z.stodola) ** 2 * (o.turbine_c + 273.15))
    low, high = co2.low.locate(o.p_low), co2.high.locate(p_high)
    h1 = _enthalpy(co2, low, o.inlet_c)
    c = cycle.compress(low, high, flow, h1, health.compressor)
    (h3,) = co2.high_pt.at(high, o.turbine_c)
    t3, s3 = co2.high_ph.at(high, h3)
    e = cycle.expand(low, o.p_low, p_high, (t3, s3, h3), (o.loaded, 1.0 - o.loaded), health.turbine)
    factor = cycle.flow_factor(flow)
    t2, t4 = co2.high_ph.at(high, c.outlet_h)[0], co2.low_ph.at(low, e.outlet_h)[0]
    most = ops.minimum(
        e.outlet_h - co2.low_pt.at(low, t2)[0],
        co2.high_pt.at(high, t4)[0] - c.outlet_h,
    )
    recuperated = cycle.recuperator_effectiveness(factor, health.recuperator) * most
    return {
        "p_high": p_high, "high": high, "low": low, "h1": h1, "h3": h3, "h_in": c.outlet_h + recuperated,
        "h5": e.outlet_h - recuperated, "recuperated": recuperated, "factor": factor, "turbine": e.power,
        "compressor": c.power,
    }  # fmt: skip


def _enthalpy(co2: Co2, low: Any, inlet_c: Array) -> Array:
    """The compressor inlet's enthalpy at a temperature, by bisection; near the critical point ``h(P, T)`` is steep."""
    under, over = np.full(inlet_c.shape, 200.0), np.full(inlet_c.shape, 700.0)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (under + over)
        cold = co2.low_ph.at(low, middle)[0] < inlet_c
        under, over = np.where(cold, middle, under), np.where(cold, over, middle)
    return np.asarray(0.5 * (under + over))


def _state(cycle: Cycle, o: Operation, flow: Array, health: Health) -> State:
    co2, p, z = cycle.co2, cycle.p, cycle.z
    loop = _around(cycle, o, flow, health)
    h_in, h5 = loop["h_in"], loop["h5"]
    h_metal = h_in + (loop["h3"] - h_in) / cycle.heater_effectiveness(loop["factor"])
    metal = co2.high_ph.at(loop["high"], h_metal)[0]
    conductance = flow * (loop["h3"] - h_in) / np.maximum(o.exhaust_c - metal, 1.0)
    share = conductance / (z.exhaust_conductance * o.exhaust_flow * health.heater)
    opening = np.where(share < 1.0, share / np.maximum(1.0 - share, 1e-9), 1.0)
    damper = (opening - p.damper_leak) / (1.0 - p.damper_leak)
    (h_coolant,) = co2.low_pt.at(loop["low"], o.coolant_c)
    effectiveness = (h5 - loop["h1"]) / (h5 - h_coolant)
    ntu = effectiveness / (1.0 - effectiveness) * loop["factor"]
    root = np.cbrt(ntu / (z.precooler_ntu * health.precooler))
    wanted = (damper, flow, o.p_low, root * root * root * root)
    actuators = np.stack([np.clip(w, a.low, a.high) for a, w in zip(ACTUATORS, wanted, strict=True)])
    return State(
        flow=flow, p_low=o.p_low.copy(), p_high=loop["p_high"], inlet_h=loop["h1"], recuperated=loop["recuperated"],
        metal=metal, casing=o.turbine_c.copy(), speed=o.loaded.copy(), valve=o.loaded.copy(), bypass=1.0 - o.loaded,
        exhaust=o.exhaust_c.copy(), actuators=actuators,
    )  # fmt: skip
