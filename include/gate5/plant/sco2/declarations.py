"""What the sCO2 plant declares: variables, constraints, observation and action."""

from __future__ import annotations

import numpy as np

from gate5.plant.base import Box, Constraint, Variable
from gate5.plant.sco2.parameters import ACTUATORS

LOADED_MW = 7.0
GENERATING_MW = 2.0

VARIABLES = tuple(
    Variable(name, unit, title)
    for name, unit, title in (
        ("net_power", "MW", "net electric power"),
        ("net_power_setpoint", "MW", "set-point of the net power"),
        ("net_power_setpoint_rate", "MW/min", "rate of the power set-point"),
        ("net_power_error", "MW", "set-point minus net power"),
        ("turbine_inlet_temperature", "C", "turbine inlet temperature"),
        ("turbine_inlet_temperature_setpoint", "C", "set-point of the turbine inlet temperature"),
        ("compressor_inlet_temperature", "C", "compressor inlet temperature"),
        ("compressor_inlet_density", "kg/m3", "compressor inlet density"),
        ("low_pressure", "MPa", "low-side pressure"),
        ("high_pressure", "MPa", "high-side pressure"),
        ("mass_flow", "kg/s", "compressor mass flow"),
        ("through_flow", "kg/s", "flow through turbine and bypass"),
        ("surge_margin", "1", "compressor surge margin"),
        ("compressor_speed", "1", "compressor speed over design"),
        ("turbine_metal_temperature", "C", "turbine casing metal temperature"),
        ("turbine_metal_rate", "C/min", "rate of the casing metal temperature"),
        ("rotor_speed", "1", "turbine rotor speed over rated"),
        ("heater_metal_temperature", "C", "heater metal temperature"),
        ("exhaust_temperature", "C", "exhaust temperature at the heater"),
        ("coolant_temperature", "C", "coolant inlet temperature"),
        ("compressor_outlet_temperature", "C", "compressor outlet temperature"),
        ("heater_inlet_temperature", "C", "recuperator cold outlet, heater inlet"),
        ("turbine_outlet_temperature", "C", "turbine (and bypass) outlet temperature"),
        ("precooler_inlet_temperature", "C", "recuperator hot outlet, precooler inlet"),
        ("coolant_outlet_temperature", "C", "coolant outlet temperature"),
        ("damper", "1", "exhaust damper position"),
        ("flow_command", "kg/s", "mass flow command after its rate limit"),
        ("pressure_command", "MPa", "low-side pressure command after its rate limit"),
        ("coolant_valve", "1", "coolant flow over design"),
        ("stop_valve", "1", "turbine stop valve"),
        ("bypass_valve", "1", "turbine bypass valve"),
        ("breaker_closed", "bool", "the generator is on the grid"),
        ("tripped", "bool", "the turbine has tripped"),
        ("generating", "bool", "on the grid with a set-point of at least 2 MW"),
        ("loaded", "bool", "on the grid with a set-point of at least 7 MW"),
        ("efficiency", "1", "net power over heat to the CO2"),
        ("heat_input", "MW", "exhaust to heater metal"),
        ("heat_to_co2", "MW", "heater metal to CO2"),
        ("heat_rejected", "MW", "CO2 to coolant"),
        ("recuperator_heat", "MW", "hot side to recuperator metal"),
        ("turbine_power", "MW", "turbine shaft power"),
        ("compressor_power", "MW", "compressor shaft power"),
        ("stored_power", "MW", "heat going into metal, inventory and precooler"),
        ("turbine_flow", "kg/s", "flow through the turbine"),
        ("bypass_flow", "kg/s", "flow through the bypass"),
        ("turbine_efficiency", "1", "turbine isentropic efficiency"),
        ("compressor_efficiency", "1", "compressor isentropic efficiency"),
        ("power_deviation", "MW", "net power off its set-point, either way"),
        ("turbine_inlet_deviation", "C", "turbine inlet off its set-point, either way"),
        ("creep_rate", "h/h", "creep life used beyond that at 700 C"),
        ("fatigue_rate", "starts/h", "fatigue of the casing in cold starts"),
        ("actuator_travel", "strokes/h", "travel of the four actuators"),
        ("specification_reward", "1", "the specification's reward"),
    )
)

CONSTRAINTS = (
    Constraint("compressor_inlet", "compressor_inlet_temperature", 32.2, 34.0, "C",
               description="The compressor inlet stays just above the critical temperature."),
    Constraint("compressor_inlet_critical", "compressor_inlet_temperature", 31.5, None, "C", catastrophic=True,
               description="Below this, liquid may reach the compressor."),
    Constraint("turbine_inlet_high", "turbine_inlet_temperature", None, 770.0, "C",
               description="The heater outlet stays within the material's long-term limit."),
    Constraint("turbine_inlet_low", "turbine_inlet_temperature", 665.0, None, "C", applies="loaded",
               description="Under load the turbine inlet stays hot."),
    Constraint("turbine_inlet_critical", "turbine_inlet_temperature", None, 780.0, "C", catastrophic=True,
               description="The material fails above this."),
    Constraint("high_pressure_high", "high_pressure", None, 22.0, "MPa",
               description="The high side stays within its design pressure."),
    Constraint("high_pressure_low", "high_pressure", 14.0, None, "MPa", applies="loaded",
               description="Under load the high side keeps its pressure."),
    Constraint("high_pressure_critical", "high_pressure", None, 23.5, "MPa", catastrophic=True,
               description="The safety valves open at this pressure."),
    Constraint("low_pressure", "low_pressure", 7.4, 8.8, "MPa", applies="generating",
               description="On the grid the low side stays above the critical pressure and below its design pressure."),
    Constraint("surge", "surge_margin", 0.05, None, "1",
               description="The compressor keeps its distance from the surge line."),
    Constraint("net_power", "net_power", 0.5, None, "MW", applies="generating",
               description="On the grid the plant does not draw power."),
    Constraint("turbine_metal_rate", "turbine_metal_rate", -2.0, 2.0, "C/min", applies="tripped",
               description="After a trip the casing cools and heats slowly."),
    Constraint("turbine_metal_rate_start", "turbine_metal_rate", -20.0, 20.0, "C/min",
               description="Start-up heats the casing no faster than its programme and a fifth; docs/plant.md."),
    Constraint("overspeed", "rotor_speed", None, 1.10, "1",
               description="The rotor stays below its overspeed limit."),
)  # fmt: skip

ACTION = Box(
    np.full(len(ACTUATORS), -1.0, dtype=np.float32),
    np.full(len(ACTUATORS), 1.0, dtype=np.float32),
    tuple(a.name for a in ACTUATORS),
)
