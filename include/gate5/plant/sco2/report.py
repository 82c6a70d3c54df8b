"""What the plant reports at a step: every declared variable."""

from __future__ import annotations

from typing import Any

from gate5.plant.sco2.declarations import GENERATING_MW, LOADED_MW
from gate5.plant.sco2.model import Inputs, Outputs, State
from gate5.plant.sco2.objective import rates


def report(x: State, u: Inputs, y: Outputs, moved: Any, ops: Any) -> dict[str, Any]:
    """Every declared variable, floats or arrays, in the order of ``VARIABLES``.

    Args:
        moved: the four actuators' movement in this step, over their ranges.
    """
    damper, flow_command, pressure_command, coolant_valve = x.actuators
    net = y.net_power * 1e-3
    values = {
        "net_power": net,
        "net_power_setpoint": u.setpoint,
        "net_power_setpoint_rate": u.setpoint_rate,
        "net_power_error": u.setpoint - net,
        "turbine_inlet_temperature": y.turbine_c,
        "turbine_inlet_temperature_setpoint": u.turbine_setpoint,
        "compressor_inlet_temperature": y.inlet_c,
        "compressor_inlet_density": y.density,
        "low_pressure": x.p_low,
        "high_pressure": x.p_high,
        "mass_flow": x.flow,
        "through_flow": y.through,
        "surge_margin": y.surge_margin,
        "compressor_speed": y.compressor_speed,
        "turbine_metal_temperature": x.casing,
        "turbine_metal_rate": y.casing_rate * 60.0,
        "rotor_speed": x.speed,
        "heater_metal_temperature": x.metal,
        "exhaust_temperature": x.exhaust,
        "coolant_temperature": u.coolant,
        "compressor_outlet_temperature": y.outlet_c,
        "heater_inlet_temperature": y.heater_in_c,
        "turbine_outlet_temperature": y.exhaust_c,
        "precooler_inlet_temperature": y.precooler_c,
        "coolant_outlet_temperature": y.coolant_out_c,
        "damper": damper,
        "flow_command": flow_command,
        "pressure_command": pressure_command,
        "coolant_valve": coolant_valve,
        "stop_valve": x.valve,
        "bypass_valve": x.bypass,
        "breaker_closed": y.breaker,
        "tripped": u.tripped,
        "generating": y.breaker * (u.setpoint >= GENERATING_MW),
        "loaded": y.breaker * (u.setpoint >= LOADED_MW),
        "efficiency": y.net_power / ops.maximum(y.heat, 1000.0),
        "heat_input": y.exhaust_heat * 1e-3,
        "heat_to_co2": y.heat * 1e-3,
        "heat_rejected": y.cooling * 1e-3,
        "recuperator_heat": y.recuperator_heat * 1e-3,
        "turbine_power": y.turbine_power * 1e-3,
        "compressor_power": y.compressor_power * 1e-3,
        "stored_power": y.stored * 1e-3,
        "turbine_flow": y.turbine_flow,
        "bypass_flow": y.bypass_flow,
        "turbine_efficiency": y.turbine_efficiency,
        "compressor_efficiency": y.compressor_efficiency,
    }
    return values | rates(values, moved, ops)
