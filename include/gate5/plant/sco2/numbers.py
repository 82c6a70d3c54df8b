"""The numbers that make an episode of the sCO2 plant, with the ranges that it declares; ``Draws`` hands them out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gate5.plant.disturbance import Disturbance, Role

_HEALTH = "fouling and wear between two overhauls"


def _number(
    name: str,
    low: float,
    high: float,
    unit: str,
    title: str,
    role: Role = "drawn",
    nominal: float | None = None,
    whole: bool = False,
    source: str = "",
) -> Disturbance:
    return Disturbance(name, role, low, high, unit, title, nominal, whole, source)


def _wander(what: str, title: str) -> list[Disturbance]:
    return [
        number
        for i in (1, 2)
        for number in (
            _number(f"{what}_period_{i}", 200.0, 900.0, "s", f"{title}: period of its slow wave {i}"),
            _number(f"{what}_phase_{i}", 0.0, 2.0 * math.pi, "rad", f"{title}: phase of its slow wave {i}"),
        )
    ]


def _factor(name: str, title: str) -> Disturbance:
    return _number(name, 0.9, 1.1, "1", title, "parameter", 1.0)


_ALL = (
    _number("heater_health", 0.94, 1.0, "1", "heater conductance over new", source=_HEALTH),
    _number("precooler_health", 0.92, 1.0, "1", "precooler conductance over new", source=_HEALTH),
    _number("turbine_health", 0.985, 1.0, "1", "turbine efficiency over new", source=_HEALTH),
    _number("compressor_health", 0.985, 1.0, "1", "compressor efficiency over new", source=_HEALTH),
    _number("exhaust_offset", -20.0, 20.0, "C", "exhaust temperature over 900 C"),
    *_wander("exhaust", "exhaust temperature"),
    _number("exhaust_flow_offset", -0.03, 0.03, "1", "exhaust flow over design"),
    *_wander("exhaust_flow", "exhaust flow"),
    _number("coolant_offset", -2.0, 2.0, "C", "coolant temperature over 18 C"),
    *_wander("coolant", "coolant temperature"),
    _number("start_low_pressure", 7.57, 7.63, "MPa", "low-side pressure at the start"),
    _number("start_inlet", 32.85, 33.15, "C", "compressor inlet temperature at the start"),
    _number("knots", 4.0, 6.0, "1", "changes of the power set-point", whole=True),
    *[_number(f"knot_shift_{i}", -40.0, 40.0, "s", f"shift of the power set-point's knot {i}") for i in range(1, 6)],
    *[_number(f"knot_{i}", 0.7, 1.3, "1", f"power set-point at knot {i} over rated") for i in range(1, 7)],
    _number("coolant_sign", -1.0, 1.0, "1", "direction of the coolant's swing", whole=True),
    _number("coolant_swing", 8.0, 10.0, "C", "size of the coolant's swing"),
    _number("furnace_share", 0.18, 0.24, "1", "the furnace's share of the exhaust"),
    _number("furnace_begin", 300.0, 720.0, "s", "begin of the furnace's heat"),
    _number("rejection_begin", 120.0, 300.0, "s", "begin of the load rejection"),
    _number("rejection_load", 0.48, 0.55, "1", "load after the rejection over rated"),
    _number("start_cold", 195.0, 205.0, "C", "turbine inlet temperature at a cold start"),
    _number("exhaust_rise", 1080.0, 1320.0, "s", "time that the exhaust takes to its level"),
    _number("admission", 420.0, 540.0, "s", "time of the turbine's admission"),
    _number("start_low_pressure_cold", 7.08, 7.12, "MPa", "low-side pressure at a cold start"),
    _number("trip_begin", 120.0, 240.0, "s", "time of the trip"),
    _number("start_turbine_offset", -5.0, 5.0, "C", "turbine inlet over its set-point at the start", "initial", 0.0),
    _number("start_pressure_offset", -0.05, 0.05, "MPa", "low side over its usual start", "initial", 0.0),
    _number("start_inlet_offset", -0.2, 0.2, "C", "compressor inlet over its usual start", "initial", 0.0),
    _number("trip_after", 60.0, 3600.0, "s", "a turbine trip besides the scenario", "event"),
    _factor("turbine_efficiency", "turbine efficiency over declared"),
    _factor("compressor_efficiency", "compressor efficiency over declared"),
    _factor("heater_conductance", "heater conductance over declared"),
    _factor("precooler_conductance", "precooler conductance over declared"),
    _factor("recuperator_conductance", "recuperator conductance over declared"),
    _factor("heat_input", "exhaust flow over declared"),
)  # fmt: skip
NUMBERS: Mapping[str, Disturbance] = {number.name: number for number in _ALL}


class Draws:
    """Hands out an episode's numbers: a given one, else the next of the episode's generator.

    The generator moves on for a given number too, so that replacing one changes no other.

    Args:
        rng: the episode's generator.
        given: numbers that replace drawn ones, by name.
    """

    def __init__(self, rng: np.random.Generator, given: Mapping[str, float]) -> None:
        self.rng, self.given = rng, given
        self.used: dict[str, float] = {}

    def __call__(self, name: str) -> float:
        """The number ``name``; where it is neither given nor drawn, its nominal value."""
        declared = NUMBERS[name]
        value = self.rng.uniform(declared.low, declared.high) if declared.role == "drawn" else declared.nominal
        return self._use(name, math.nan if value is None else float(value))

    def whole(self, name: str, drawn: float) -> int:
        """An integer that the caller drew, unless it is given; a value between two is rounded."""
        return math.floor(self._use(name, drawn) + 0.5)

    def sign(self, name: str, drawn: float) -> float:
        """-1 or 1 that the caller drew, unless it is given."""
        return 1.0 if self._use(name, drawn) >= 0.0 else -1.0

    def _use(self, name: str, drawn: float) -> float:
        self.used[name] = float(self.given.get(name, drawn))
        return self.used[name]
