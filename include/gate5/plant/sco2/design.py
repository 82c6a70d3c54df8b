"""Sizes the components so that the design point is a steady state."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gate5.plant.sco2 import properties
from gate5.plant.sco2.cycle import Cycle, Sizes
from gate5.plant.sco2.parameters import KELVIN, WATER_CP, Parameters

_COOLANT_RISE_C = 20.0


@lru_cache(maxsize=8)
def size(p: Parameters) -> Sizes:
    """Stodola's constant, map references, conductances and capacities from the design point and the time constants."""
    co2 = properties.load()
    d = p.design
    low, high = co2.low.locate_one(d.low_pressure), co2.high.locate_one(d.high_pressure)
    (h1,) = co2.low_pt.at_one(low, d.compressor_inlet_c)
    _, s1, density = co2.low_ph.at_one(low, h1)
    head = co2.high_ps.at_one(high, s1)[0] - h1
    h2 = h1 + head / p.compressor_efficiency
    (h3,) = co2.high_pt.at_one(high, d.turbine_inlet_c)
    drop = h3 - co2.low_ps.at_one(low, co2.high_ph.at_one(high, h3)[1])[0]
    h4 = h3 - p.turbine_efficiency * drop
    t2, t4 = co2.high_ph.at_one(high, h2)[0], co2.low_ph.at_one(low, h4)[0]
    most = min(h4 - co2.low_pt.at_one(low, t2)[0], co2.high_pt.at_one(high, t4)[0] - h2)
    q = p.recuperator_effectiveness * most
    h_in = h2 + q
    h_metal = h_in + (h3 - h_in) / p.heater_effectiveness
    metal = co2.high_ph.at_one(high, h_metal)[0]
    heat = d.mass_flow * (h3 - h_in)
    opening = p.damper_leak + (1.0 - p.damper_leak) * d.damper
    conductance = heat / (d.exhaust_c - metal)
    precooler = (h4 - q - h1) / (h4 - q - co2.low_pt.at_one(low, d.coolant_c)[0])
    span = d.high_pressure**2 - d.low_pressure**2
    to_co2 = d.mass_flow * p.heater_effectiveness * (h_metal - h_in) / (metal - co2.high_ph.at_one(high, h_in)[0])
    return Sizes(
        stodola=d.mass_flow * float(np.sqrt((d.turbine_inlet_c + KELVIN) / span)),
        head=head,
        inlet_density=density,
        expansion=drop,
        exhaust_conductance=conductance * (1.0 + opening) / opening,
        heater_ntu=_ntu(p.heater_effectiveness),
        recuperator_ntu=_ntu(p.recuperator_effectiveness),
        precooler_ntu=_ntu(precooler),
        coolant_flow=d.mass_flow * (h4 - q - h1) / (WATER_CP * _COOLANT_RISE_C),
        heater_capacity=p.heater_s * (conductance + to_co2),
        recuperator_mass=p.recuperator_s * d.mass_flow,
        precooler_mass=p.precooler_s * d.mass_flow,
        high_capacity=p.high_pressure_s * d.mass_flow * d.high_pressure / span,
    )


def cycle(p: Parameters, ops: Any) -> Cycle:
    """The sized cycle for arrays or floats."""
    return Cycle(properties.load(), p, size(p), ops)


def _ntu(effectiveness: float) -> float:
    return effectiveness / (1.0 - effectiveness)
