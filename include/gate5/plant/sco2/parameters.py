"""The plant's numbers: design point, components, time constants, actuators. Units: MPa, C, kJ/kg, kg/s, kW/K, s."""

from __future__ import annotations

from dataclasses import dataclass

DT_S = 5.0
KELVIN = 273.15
CRITICAL_PRESSURE_MPA = 7.3773
CRITICAL_TEMPERATURE_C = 30.978
RATED_MW = 10.0
WATER_CP = 4.18


@dataclass(frozen=True)
class Actuator:
    """One actuator: its range in physical units and how far it moves in one control step."""

    name: str
    low: float
    high: float
    rate: float
    unit: str
    title: str


ACTUATORS = (
    Actuator("damper", 0.0, 1.0, 0.05, "1", "exhaust damper, share of full opening"),
    Actuator("flow_command", 40.0, 130.0, 5.0, "kg/s", "compressor mass flow command"),
    Actuator("pressure_command", 7.0, 9.0, 0.2, "MPa", "low-side pressure command (inventory control)"),
    Actuator("coolant_valve", 0.05, 2.5, 0.1, "1", "coolant flow relative to design"),
)


@dataclass(frozen=True)
class DesignPoint:
    """Where the components are sized (docs/plant.md gives the sources)."""

    mass_flow: float = 95.0
    turbine_inlet_c: float = 700.0
    high_pressure: float = 18.0
    compressor_inlet_c: float = 32.5
    low_pressure: float = 7.5
    coolant_c: float = 18.0
    exhaust_c: float = 900.0
    damper: float = 0.5


@dataclass(frozen=True)
class Parameters:
    """Component parameters; the defaults are the shipped plant."""

    design: DesignPoint = DesignPoint()
    turbine_efficiency: float = 0.90
    compressor_efficiency: float = 0.85
    recuperator_effectiveness: float = 0.92
    heater_effectiveness: float = 0.93
    generator_efficiency: float = 0.985
    motor_efficiency: float = 0.96
    # Compressor map: psi / psi_d = a - b x^2 with a - b = 1, x = phi / phi_d; efficiency eta_d (1 - k (x - 1)^2).
    head_curvature: float = 0.35
    compressor_map: float = 0.5
    surge_flow: float = 0.65
    # Turbine map: eta_d (1 - k (nu - 1)^2 - l (corrected flow - 1)^2), nu = blade to spouting velocity over design.
    turbine_map_velocity: float = 0.30
    turbine_map_flow: float = 0.10
    # Time constants at the design point.
    heater_s: float = 60.0
    recuperator_s: float = 30.0
    precooler_s: float = 30.0
    high_pressure_s: float = 30.0
    low_pressure_s: float = 30.0
    mass_flow_s: float = 20.0
    low_capacity: float = 3000.0  # kg/MPa: near the critical point the low side is compressible
    casing_loaded_s: float = 480.0
    casing_isolated_s: float = 2400.0
    inertia_s: float = 4.0  # kinetic energy at rated speed over rated turbine power
    stop_valve_s: float = 0.6
    coast_s: float = 240.0
    run_up_s: float = 30.0
    exhaust_buffer_s: float = 60.0
    damper_leak: float = 0.02
