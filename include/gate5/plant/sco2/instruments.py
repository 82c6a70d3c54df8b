"""The sCO2 plant's instruments: for each observed variable how it comes about, its class, noise and lag.

Sources, with the values at the design point:

- IEC 60751:2022, platinum resistance thermometers: class AA 0.1 + 0.0017 |t|, class A 0.15 + 0.002 |t|, C.
- IEC 60584-1:2013, thermocouples type N, class 1: the larger of 1.5 C and 0.4 % of |t|.
- Pressure transmitters (IEC 61298-2 for how accuracy is tested): 0.1 % of span, noise 0.02 % of span.
- ISO 5167-4:2022, Venturi tubes: 1 % of the flow; noise 0.3 %.
- IEC 62053-22:2020, active energy, class 0.2 S: 0.2 % of rated.
- Thermowells: 10 s in dense fast CO2 and water, 20 s in exhaust (makers state 5 to 30 s; ASME PTC 19.3 TW for their
  design); casing thermocouples without a well 5 s.
"""

from __future__ import annotations

from gate5.plant.disturbance import ActuatorTravel, Signal
from gate5.plant.sco2.parameters import ACTUATORS

_RTD_AA, _RTD_A = "IEC 60751 class AA", "IEC 60751 class A"
_COUPLE = "IEC 60584-1 type N class 1"
_PRESSURE = "transmitter, 0.1 % of span (tested by IEC 61298-2)"
_WELL_S, _GAS_WELL_S, _CASING_S = 10.0, 20.0, 5.0


def _measured(name: str, accuracy: float, noise: float, lag_s: float, source: str) -> Signal:
    return Signal(name, "measured", accuracy, noise, lag_s, source=source)


def _known(name: str) -> Signal:
    return Signal(name, "known", source="the control system's own")


SIGNALS = (
    _measured("net_power", 0.02, 0.005, 0.0, "IEC 62053-22 class 0.2 S"),
    _known("net_power_setpoint"),
    _known("net_power_setpoint_rate"),
    Signal("net_power_error", "computed", terms=(("net_power_setpoint", 1.0), ("net_power", -1.0)),
           source="set-point minus measurement"),
    _measured("turbine_inlet_temperature", 2.8, 0.3, _WELL_S, _COUPLE),
    _known("turbine_inlet_temperature_setpoint"),
    _measured("compressor_inlet_temperature", 0.155, 0.02, _WELL_S, _RTD_AA),
    Signal("compressor_inlet_density", "estimated", 5.0, 1.5, _WELL_S,
           source="from pressure and temperature; close to the critical point 0.1 C is 10 to 40 kg/m3"),
    _measured("low_pressure", 0.004, 0.0008, 0.0, _PRESSURE),
    _measured("high_pressure", 0.024, 0.005, 0.0, _PRESSURE),
    _measured("mass_flow", 0.95, 0.3, 0.0, "ISO 5167-4 Venturi tube"),
    _measured("through_flow", 0.95, 0.3, 0.0, "ISO 5167-4 Venturi tube"),
    Signal("surge_margin", "unmeasurable", source="needs the compressor's true map and inlet density"),
    _measured("compressor_speed", 0.001, 0.0002, 0.0, "toothed wheel, 0.1 %"),
    _measured("turbine_metal_temperature", 2.8, 0.2, _CASING_S, _COUPLE),
    Signal("turbine_metal_rate", "estimated", 0.05, 0.1, _CASING_S, source="filtered slope of the casing thermocouple"),
    _measured("rotor_speed", 0.001, 0.0002, 0.0, "toothed wheel, 0.1 %"),
    _measured("heater_metal_temperature", 3.0, 0.3, _CASING_S, _COUPLE),
    _measured("exhaust_temperature", 3.6, 0.5, _GAS_WELL_S, _COUPLE),
    _measured("coolant_temperature", 0.19, 0.02, _WELL_S, _RTD_A),
    _measured("compressor_outlet_temperature", 0.32, 0.03, _WELL_S, _RTD_A),
    _measured("heater_inlet_temperature", 1.9, 0.2, _WELL_S, _COUPLE),
    _measured("turbine_outlet_temperature", 2.3, 0.3, _WELL_S, _COUPLE),
    _measured("precooler_inlet_temperature", 0.39, 0.05, _WELL_S, _RTD_A),
    _measured("coolant_outlet_temperature", 0.25, 0.03, _WELL_S, _RTD_A),
    _known("damper"),
    _known("flow_command"),
    _known("pressure_command"),
    _known("coolant_valve"),
    _known("stop_valve"),
    _known("bypass_valve"),
    _known("breaker_closed"),
    _known("tripped"),
)  # fmt: skip

# What ``Observer`` computes from the other readings in the layout ``measured``.
_OBSERVED = (
    ("net_power_setpoint_rate", "slope of the set-point, backward"),
    ("net_power_error", "set-point minus measurement"),
    ("turbine_inlet_error", "set-point minus measurement, close to the set-point"),
    ("surge_margin", "from measured flow, density and speed by the compressor's map"),
    ("turbine_metal_rate", "slope of the casing thermocouple, filtered over 30 s"),
    ("turbine_inlet_temperature_rate", "slope, filtered over 10 s"),
    ("compressor_inlet_temperature_rate", "slope, filtered over 5 s"),
    ("net_power_error_integral", "of the error, where it is small and the generator on the grid"),
    ("turbine_inlet_error_integral", "of the error, where it is small"),
    ("compressor_inlet_error_integral", "of the error, where it is small"),
)
MEASURED_SIGNALS = (
    *(signal for signal in SIGNALS if signal.name not in dict(_OBSERVED)),
    *(Signal(name, "computed", source=source) for name, source in _OBSERVED),
)

TRAVELS = tuple(
    ActuatorTravel(a.name, 2.0 * a.rate / (a.high - a.low), a.high - a.low, "the actuator's rate limit (docs/plant.md)")
    for a in ACTUATORS
)
