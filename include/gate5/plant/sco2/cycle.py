"""The cycle's equations: from states to flows, temperatures, powers and the states' rates of change.

Written once for arrays and floats (``ops``). Only +, -, *, / and square roots, each exactly rounded: the results do not
depend on the batch. Enthalpies in kJ/kg, powers in kW inside, pressures in MPa, temperatures in C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from gate5.plant.sco2.parameters import KELVIN, WATER_CP, Parameters
from gate5.plant.sco2.properties import Co2


class Health(NamedTuple):
    """What varies from one episode to the next: the condition of the components (1 is new)."""

    heater: Any
    precooler: Any
    turbine: Any
    compressor: Any
    recuperator: Any = 1.0


class Compression(NamedTuple):
    inlet_c: Any
    density: Any
    outlet_h: Any
    power: Any
    speed: Any
    surge_margin: Any
    efficiency: Any


class Expansion(NamedTuple):
    flow: Any
    turbine_flow: Any
    bypass_flow: Any
    outlet_h: Any
    power: Any
    efficiency: Any


@dataclass(frozen=True)
class Sizes:
    """What the design point fixes (made by ``design.size``)."""

    stodola: float
    head: float
    inlet_density: float
    expansion: float
    exhaust_conductance: float
    heater_ntu: float
    recuperator_ntu: float
    precooler_ntu: float
    coolant_flow: float
    heater_capacity: float
    recuperator_mass: float
    precooler_mass: float
    high_capacity: float


class Cycle:
    """The components with their sizes; methods are pure functions of their arguments."""

    def __init__(self, co2: Co2, parameters: Parameters, sizes: Sizes, ops: Any) -> None:
        self.co2 = co2
        self.p = parameters
        self.z = sizes
        self.ops = ops

    def compress(self, low: Any, high: Any, flow: Any, inlet_h: Any, health: Any) -> Compression:
        """Compressor at variable speed: speed, efficiency and surge margin from flow and head.

        ``psi = head / U^2 = a - b x^2`` with ``x = phi / phi_d`` and ``phi = flow / (density U)`` has the closed form
        ``U^2 = (head + b c^2) / a``, ``c`` the inlet velocity; all relative to design.
        """
        ops, p, z = self.ops, self.p, self.z
        inlet_c, entropy, density = ops.lookup(self.co2.low_ph, low, inlet_h)
        (ideal_h,) = ops.lookup(self.co2.high_ps, high, entropy)
        head = ideal_h - inlet_h
        velocity = flow * (z.inlet_density / p.design.mass_flow) / density
        speed = ops.sqrt((head / z.head + p.head_curvature * velocity * velocity) / (1.0 + p.head_curvature))
        x = velocity / speed
        efficiency = ops.maximum(1.0 - p.compressor_map * (x - 1.0) * (x - 1.0), 0.4) * (
            p.compressor_efficiency * health
        )
        work = head / efficiency
        return Compression(
            inlet_c, density, inlet_h + work, flow * work, speed, x * (1.0 / p.surge_flow) - 1.0, efficiency
        )

    def swallow(self, p_low: Any, p_high: Any, inlet_c: Any) -> Any:
        """Stodola's ellipse: the flow that the open turbine takes, kg/s."""
        ops = self.ops
        return self.z.stodola * ops.sqrt(
            ops.maximum(p_high * p_high - p_low * p_low, 1e-6) / (inlet_c + KELVIN)
        )  # fmt: skip

    def expand(
        self, low: Any, p_low: Any, p_high: Any, inlet: tuple[Any, Any, Any], valves: tuple[Any, Any], health: Any
    ) -> Expansion:
        """Turbine (behind the stop valve) and bypass (throttling) in parallel, mixed at the outlet.

        Args:
            inlet: temperature, entropy, enthalpy.
            valves: opening of stop valve and bypass.
        """
        ops, p, z = self.ops, self.p, self.z
        inlet_c, entropy, inlet_h = inlet
        full = self.swallow(p_low, p_high, inlet_c)
        turbine_flow = valves[0] * full
        bypass_flow = valves[1] * full
        flow = turbine_flow + bypass_flow
        (ideal_h,) = ops.lookup(self.co2.low_ps, low, entropy)
        drop = ops.maximum(inlet_h - ideal_h, 1.0)
        nu = ops.sqrt(z.expansion / drop)
        # By Stodola the corrected flow m sqrt(T) / P depends on the pressure ratio alone.
        ratio = p_low / p_high
        design = p.design
        design_ratio = design.low_pressure / design.high_pressure
        corrected = ops.sqrt(ops.maximum(1.0 - ratio * ratio, 0.0) * (1.0 / (1.0 - design_ratio * design_ratio)))
        efficiency = ops.maximum(
            1.0
            - p.turbine_map_velocity * (nu - 1.0) * (nu - 1.0)
            - p.turbine_map_flow * (corrected - 1.0) * (corrected - 1.0),
            0.3,
        ) * (p.turbine_efficiency * health)
        work = efficiency * drop
        power = turbine_flow * work
        return Expansion(flow, turbine_flow, bypass_flow, inlet_h - power / flow, power, efficiency)

    def flow_factor(self, flow: Any) -> Any:
        """``(m / m_d)^0.25``: conductances grow with ``m^0.75``, so that NTU falls with ``m^0.25``."""
        return self.ops.sqrt(self.ops.sqrt(flow * (1.0 / self.p.design.mass_flow)))

    def heater_effectiveness(self, factor: Any) -> Any:
        """Metal to CO2, ``NTU / (1 + NTU)``."""
        return self.z.heater_ntu / (self.z.heater_ntu + factor)

    def recuperator_effectiveness(self, factor: Any, health: Any) -> Any:
        """Balanced counterflow: ``NTU / (1 + NTU)``."""
        ntu = self.z.recuperator_ntu * health
        return ntu / (ntu + factor)

    def precooler_effectiveness(self, factor: Any, valve: Any, health: Any) -> Any:
        """CO2 side against the coolant's inlet; conductance with coolant flow^0.75."""
        ops = self.ops
        root = ops.sqrt(valve)
        ntu = root * ops.sqrt(root) * (self.z.precooler_ntu * health)
        return ntu / (ntu + factor)

    def exhaust_conductance(self, damper: Any, exhaust_flow: Any, health: Any) -> Any:
        """Exhaust to heater metal, kW/K; saturates as the damper opens."""
        leak = self.p.damper_leak
        opening = leak + (1.0 - leak) * damper
        return opening / (1.0 + opening) * (exhaust_flow * health * self.z.exhaust_conductance)

    def coolant_outlet(self, coolant_c: Any, valve: Any, heat: Any) -> Any:
        """Coolant's outlet temperature from its own balance."""
        return coolant_c + heat / (valve * (self.z.coolant_flow * WATER_CP))
