"""What a controller sees: readings of sensors, what is known, and what is estimated from those two alone.

Two layouts. ``measured`` has nothing that no instrument or control system has; ``full`` is what policies before it saw:
a set-point's rate one step ahead, and the surge margin and the casing's rate as the model knows them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.plant.base import Box, Float32, Float64
from gate5.plant.sco2 import design
from gate5.plant.sco2.ops import ArrayOps
from gate5.plant.sco2.parameters import DT_S, Parameters


@dataclass(frozen=True)
class Reading:
    """One component of the observation and its range; ``instruments.py`` says how it comes about."""

    name: str
    low: float
    high: float


READINGS = tuple(
    Reading(name, low, high)
    for name, low, high in (
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
        ("turbine_inlet_error", -100.0, 100.0),
        ("turbine_inlet_temperature_rate", -5.0, 5.0),
        ("compressor_inlet_temperature_rate", -1.0, 1.0),
        ("net_power_error_integral", -300.0, 300.0),
        ("turbine_inlet_error_integral", -6000.0, 6000.0),
        ("compressor_inlet_error_integral", -300.0, 300.0),
    )
)
# Measurement to the integral of its error.
INTEGRALS = {
    "net_power": "net_power_error_integral",
    "turbine_inlet_temperature": "turbine_inlet_error_integral",
    "compressor_inlet_temperature": "compressor_inlet_error_integral",
}
# Measurement to its error, and to its filtered slope.
ERRORS = {"net_power": "net_power_error", "turbine_inlet_temperature": "turbine_inlet_error"}
RATES = {
    "turbine_inlet_temperature": "turbine_inlet_temperature_rate",
    "compressor_inlet_temperature": "compressor_inlet_temperature_rate",
}
INLET_AIM_C = 33.18  # where the PID holds the compressor inlet
_FULL = 30  # how many of the readings the layout ``full`` has

# Filter of a slope: its time constant in seconds. An integral runs only where its error is below the limit.
_SLOPES = {
    "turbine_metal_rate": ("turbine_metal_temperature", 30.0, 60.0),
    "turbine_inlet_temperature_rate": ("turbine_inlet_temperature", 10.0, 1.0),
    "compressor_inlet_temperature_rate": ("compressor_inlet_temperature", 5.0, 1.0),
    "net_power_setpoint_rate": ("net_power_setpoint", 0.0, 60.0),
}
_POWER_NEAR, _TURBINE_NEAR, _INLET_NEAR = 3.0, 60.0, 1.5


def layout(name: str) -> Box:
    """The observation's components of a layout, ``measured`` or ``full``."""
    readings = READINGS if name == "measured" else READINGS[:_FULL]
    low, high = (np.array([getattr(r, side) for r in readings], dtype=np.float32) for side in ("low", "high"))
    return Box(low, high, tuple(r.name for r in readings))


class Observer:
    """Computes the estimated components from the others, with the memory that slopes and integrals need.

    Whoever disturbs the sensors of an observation gives it to an observer of its own (``SCO2Plant.observer``), so that
    what is estimated follows what was read.
    """

    def __init__(self, parameters: Parameters) -> None:
        names = [r.name for r in READINGS]
        self.at = {name: i for i, name in enumerate(names)}
        self.low = np.array([r.low for r in READINGS])[:, None]
        self.high = np.array([r.high for r in READINGS])[:, None]
        self._slope_of = [(self.at[name], self.at[of], tau, unit) for name, (of, tau, unit) in _SLOPES.items()]
        self.sources = [of for _, of, _, _ in self._slope_of]
        self.targets = [target for target, _, _, _ in self._slope_of]
        self.keep = np.array([tau / (tau + DT_S) for _, _, tau, _ in self._slope_of])[:, None]
        self.unit = np.array([unit / DT_S for _, _, _, unit in self._slope_of])[:, None]
        sizes = design.cycle(parameters, ArrayOps()).z
        self.velocity = sizes.inlet_density / parameters.design.mass_flow / parameters.surge_flow
        self.reset(1)

    def reset(self, batch: int) -> None:
        """Forget the past; ``batch`` episodes start with the next update."""
        self._slope: Float64 = np.zeros((len(self.targets), batch))
        self._before: Float64 = np.full((len(self.targets), batch), np.nan)
        self._integral: Float64 = np.zeros((3, batch))

    @property
    def past(self) -> tuple[Float64, Float64, Float64]:
        """What it remembers: slopes, what they are slopes of, integrals; each ``[.., B]``."""
        return self._slope, self._before, self._integral

    def fork(self, copies: int) -> Observer:
        """An observer that remembers each episode's past ``copies`` times."""
        twin = copy.copy(self)
        twin._slope, twin._before, twin._integral = (
            np.repeat(past, copies, axis=1) for past in (self._slope, self._before, self._integral)
        )
        return twin

    def begin(self, places: Sequence[int], rows: Float64) -> Float64:
        """New episodes at some places of the batch; ``rows``: their first readings, float64 ``[36, len(places)]``."""
        where = np.asarray(places, dtype=np.intp)
        first = copy.copy(self)
        first.reset(where.size)
        rows = first.update(rows)
        for name in ("_slope", "_before", "_integral"):
            whole = getattr(self, name).copy()
            whole[:, where] = getattr(first, name)
            setattr(self, name, whole)
        return rows

    def observe(self, obs: Float32) -> Float32:
        """Readings ``[B, 36]`` as a plant or a sensor model gives them, the estimated ones computed anew."""
        rows = self.update(np.asarray(obs, dtype=np.float64).T.copy())
        return np.ascontiguousarray(rows.T, dtype=np.float32)

    def update(self, rows: Float64) -> Float64:
        """The same on float64 ``[36, B]``, in place: one control step later."""
        at: Any = self.at
        np.fmin(np.fmax(rows, self.low), self.high, out=rows)
        source = rows[self.sources]
        begun = np.isnan(self._before[0])
        change = np.where(begun, 0.0, (source - self._before) * self.unit)
        self._slope = np.where(begun, 0.0, self.keep * self._slope + (1.0 - self.keep) * change)
        self._before = source
        rows[self.targets] = self._slope
        error = rows[at["net_power_setpoint"]] - rows[at["net_power"]]
        rows[at["net_power_error"]] = error
        speed = np.maximum(rows[at["compressor_speed"]] * rows[at["compressor_inlet_density"]], 1e-3)
        rows[at["surge_margin"]] = rows[at["mass_flow"]] * self.velocity / speed - 1.0
        hot = rows[at["turbine_inlet_temperature_setpoint"]] - rows[at["turbine_inlet_temperature"]]
        inlet = INLET_AIM_C - rows[at["compressor_inlet_temperature"]]
        rows[at["turbine_inlet_error"]] = hot
        errors = np.stack([error * rows[at["breaker_closed"]], hot, inlet])
        # Anti-windup: an integral rests where its error is large, or its actuator is at the end that it asks for.
        command = np.stack([rows[at[name]] for name in INTEGRATED])
        stuck = ((command >= MOST) & (errors * SENSE > 0.0)) | ((command <= LEAST) & (errors * SENSE < 0.0))
        near = (np.abs(errors) < NEAR) & ~stuck
        self._integral = np.where(begun, 0.0, self._integral + DT_S * np.where(near, errors, 0.0))
        self._integral = np.clip(self._integral, self.low[-3:], self.high[-3:])
        rows[-3:] = self._integral
        return np.clip(rows, self.low, self.high, out=rows)


NEAR = np.array([_POWER_NEAR, _TURBINE_NEAR, _INLET_NEAR])[:, None]
# The integrals' actuators, how they answer a positive error, and where they are at an end.
INTEGRATED = ("flow_command", "damper", "coolant_valve")
SENSE = np.array([1.0, 1.0, -1.0])[:, None]
LEAST, MOST = np.array([40.5, 0.005, 0.06])[:, None], np.array([129.5, 0.995, 2.49])[:, None]
