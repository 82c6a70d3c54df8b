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
    Constraint("overspeed", "rotor_speed", None, 1.10, "1",
               description="The rotor stays below its overspeed limit."),
)  # fmt: skip

# Observed variables with the range of their sensors; a reading outside shows the end of the range.
SENSORS: tuple[tuple[str, float, float], ...] = (
    ("net_power", -10.0, 25.0),
    ("net_power_setpoint", 0.0, 15.0),
    ("net_power_setpoint_rate", -15.0, 15.0),
    ("net_power_error", -25.0, 25.0),
    ("turbine_inlet_temperature", 0.0, 1000.0),
    ("turbine_inlet_temperature_setpoint", 0.0, 1000.0),
    ("compressor_inlet_temperature", 0.0, 100.0),
    ("compressor_inlet_density", 0.0, 1000.0),
    ("low_pressure", 6.0, 10.0),
    ("high_pressure", 6.0, 30.0),
    ("mass_flow", 0.0, 150.0),
    ("through_flow", 0.0, 200.0),
    ("surge_margin", -1.0, 2.0),
    ("compressor_speed", 0.0, 2.0),
    ("turbine_metal_temperature", 0.0, 1000.0),
    ("turbine_metal_rate", -100.0, 100.0),
    ("rotor_speed", 0.0, 1.5),
    ("heater_metal_temperature", 0.0, 1200.0),
    ("exhaust_temperature", 0.0, 1300.0),
    ("coolant_temperature", 0.0, 50.0),
    ("heater_inlet_temperature", 0.0, 1000.0),
    ("turbine_outlet_temperature", 0.0, 1000.0),
    ("precooler_inlet_temperature", 0.0, 500.0),
    ("damper", 0.0, 1.0),
    ("flow_command", 40.0, 130.0),
    ("pressure_command", 7.0, 9.0),
    ("coolant_valve", 0.0, 2.5),
    ("stop_valve", 0.0, 1.0),
    ("breaker_closed", 0.0, 1.0),
    ("tripped", 0.0, 1.0),
)

OBSERVATION = Box(
    np.array([low for _, low, _ in SENSORS], dtype=np.float32),
    np.array([high for _, _, high in SENSORS], dtype=np.float32),
    tuple(name for name, _, _ in SENSORS),
)
ACTION = Box(
    np.full(len(ACTUATORS), -1.0, dtype=np.float32),
    np.full(len(ACTUATORS), 1.0, dtype=np.float32),
    tuple(a.name for a in ACTUATORS),
)
