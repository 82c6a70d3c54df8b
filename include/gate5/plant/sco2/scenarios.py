"""The seven scenarios: what acts on the plant over time, drawn from a seed.

A course is an array ``[steps + 1, 8]`` of ``model.Inputs`` plus where the episode starts. Nothing here touches an
actuator. Each course is drawn and computed for its own seed alone, so that it is the same in every batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Scenario
from gate5.plant.disturbance import Disturbance
from gate5.plant.sco2.cycle import Health
from gate5.plant.sco2.numbers import NUMBERS, Draws
from gate5.plant.sco2.parameters import DT_S, RATED_MW

Array = NDArray[np.float64]

SCENARIOS = {
    s.name: s
    for s in (
        Scenario("steady_state", 0, 120, "Steady state", "Rated power with small fluctuations of the exhaust."),
        Scenario("load_following", 1, 360, "Load following", "The power set-point moves between 0.7 and 1.3 of rated."),
        Scenario("ambient_disturbance", 2, 720, "Ambient disturbance", "The coolant swings by up to 10 C either way."),
        Scenario("eaf_transients", 3, 1080, "Arc-furnace transients", "A furnace heat in the exhaust: 200 to 1200 C."),
        Scenario("load_rejection", 4, 360, "Load rejection", "The set-point loses half of rated power in 30 s."),
        Scenario(
            "cold_startup", 5, 720, "Cold start-up", "From 200 C and 7.1 MPa through the critical pressure to load."
        ),
        Scenario("emergency_trip", 6, 360, "Emergency trip", "The turbine trips at rated power and is isolated."),
    )
}


@dataclass(frozen=True)
class Start:
    """Where an episode starts. ``power`` in MW (NaN: ``flow`` is given, through the bypass)."""

    power: float
    flow: float
    p_low: float
    inlet_c: float
    turbine_c: float


@dataclass(frozen=True)
class Course:
    """One episode's inputs ``[steps + 1, 8]`` (``model.Inputs``), the components' condition and the start."""

    inputs: Array
    health: Health
    start: Start


def draw(scenario: str, seed: int, given: Mapping[str, float] | None = None) -> Course:
    """The course of one episode; ``given`` replaces numbers that it would draw, by name (``disturbances``)."""
    return _course(scenario, Draws(_generator(scenario, seed), given or {}))


@functools.cache
def disturbances(scenario: str) -> tuple[Disturbance, ...]:
    """The numbers of a scenario's episodes: what they draw, and what they leave at its nominal value."""
    draws = Draws(_generator(scenario, 0), {"knots": NUMBERS["knots"].high})
    _course(scenario, draws)
    return tuple(NUMBERS[name] for name in draws.used)


def drawn(scenario: str, seed: int) -> dict[str, float]:
    """The numbers that an episode draws."""
    draws = Draws(_generator(scenario, seed), {})
    _course(scenario, draws)
    return {name: value for name, value in draws.used.items() if NUMBERS[name].role == "drawn"}


def _generator(scenario: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([int(seed), SCENARIOS[scenario].phase, 10])


def _course(scenario: str, draws: Draws) -> Course:
    steps = SCENARIOS[scenario].steps
    t: Array = np.linspace(0.0, steps * DT_S, steps + 1)
    heater, precooler = draws("heater_health"), draws("precooler_health")
    turbine, compressor = draws("turbine_health"), draws("compressor_health")
    inputs = _calm(draws, t)
    start = Start(RATED_MW, 0.0, draws("start_low_pressure"), draws("start_inlet"), 700.0)
    start = _COURSES[scenario](draws, t, inputs, start)
    inputs[:, 1] = np.append(np.diff(inputs[:, 0]), 0.0) * (60.0 / DT_S)
    if scenario == "emergency_trip":
        inputs[:, 1] = 0.0  # a trip announces itself to nobody
    elif scenario != "cold_startup":
        _trip(inputs, t, draws("trip_after"))
    inputs[:, 4] *= draws("heat_input")
    health = Health(
        heater=heater * draws("heater_conductance"),
        precooler=precooler * draws("precooler_conductance"),
        turbine=turbine * draws("turbine_efficiency"),
        compressor=compressor * draws("compressor_efficiency"),
        recuperator=draws("recuperator_conductance"),
    )
    start = Start(
        start.power,
        start.flow,
        start.p_low + draws("start_pressure_offset"),
        start.inlet_c + draws("start_inlet_offset"),
        start.turbine_c + draws("start_turbine_offset"),
    )
    return Course(inputs, health, start)


def _trip(inputs: Array, t: Array, begin: float) -> None:
    """A turbine trip besides the scenario, from ``begin`` on; NaN: none."""
    tripped = t >= begin
    if tripped.any():
        inputs[tripped, 7] = 1.0
        inputs[tripped, :2] = 0.0
        inputs[:, 2] -= np.maximum(t - begin, 0.0) / 60.0


def _calm(draws: Draws, t: Array) -> Array:
    """Rated set-points, and an exhaust and a coolant that wander a little."""
    inputs = np.zeros((t.size, 8))
    inputs[:, 0] = RATED_MW
    inputs[:, 2] = 700.0
    inputs[:, 3] = 900.0 + draws("exhaust_offset") + _wander(draws, "exhaust", t, 6.0)
    inputs[:, 4] = 1.0 + draws("exhaust_flow_offset") + _wander(draws, "exhaust_flow", t, 0.01)
    inputs[:, 5] = 18.0 + draws("coolant_offset") + _wander(draws, "coolant", t, 0.3)
    inputs[:, 6] = 1.0
    return inputs


def _wander(draws: Draws, what: str, t: Array, amplitude: float) -> Array:
    """Two slow sines of random period and phase, zero at the start."""
    total = np.zeros_like(t)
    for i, share in ((1, 0.6), (2, 0.4)):
        period, phase = draws(f"{what}_period_{i}"), draws(f"{what}_phase_{i}")
        total += share * (np.sin(2.0 * np.pi * t / period + phase) - np.sin(phase))
    return amplitude * total


def _steady_state(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    return start


def _load_following(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    knots = draws.whole("knots", float(draws.rng.integers(4, 7)))
    times = np.linspace(0.0, t[-1], knots + 1)
    times[1:-1] += [draws(f"knot_shift_{i}") for i in range(1, knots)]
    values = [1.0, *(draws(f"knot_{i}") for i in range(1, knots + 1))]
    inputs[:, 0] = RATED_MW * np.interp(t, times, values)
    return start


def _ambient_disturbance(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    swing = draws.sign("coolant_sign", draws.rng.choice((-1.0, 1.0))) * draws("coolant_swing")
    inputs[:, 5] += swing * np.sin(2.0 * np.pi * t / 3600.0)
    inputs[:, 5] = np.clip(inputs[:, 5], 8.0, 28.0)
    return start


def _eaf_transients(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    share = draws("furnace_share")
    begin = draws("furnace_begin")
    furnace = np.interp(t, begin + np.cumsum([0.0, 900.0, 1800.0, 300.0]), [200.0, 1200.0, 1200.0, 200.0])
    mixed = (1.0 - share) * inputs[:, 3] + share * _buffered(furnace, 300.0)
    inputs[:, 3] = mixed
    # The dispatcher asks for what the heater can give at 1.2 times its design conductance, a little later.
    inputs[:, 0] = np.clip(0.066 * (_buffered(mixed, 120.0) - 717.0), 3.5, 11.0)
    return Start(float(inputs[0, 0]), 0.0, start.p_low, start.inlet_c, float(min(700.0, mixed[0] - 45.0)))


def _load_rejection(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    begin = draws("rejection_begin")
    inputs[:, 0] = np.interp(t, [begin, begin + 30.0], [RATED_MW, RATED_MW * draws("rejection_load")])
    return start


def _cold_startup(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    cold = draws("start_cold")
    inputs[:, 2] = np.interp(t, [0.0, 1800.0], [cold, 700.0])
    inputs[:, 3] -= np.interp(t, [0.0, draws("exhaust_rise")], [600.0, 0.0])
    admitted = draws("admission")
    inputs[:, 6] = t >= admitted
    inputs[:, 0] = np.interp(t, [admitted + 120.0, admitted + 2520.0], [0.0, RATED_MW])
    return Start(np.nan, 45.0, draws("start_low_pressure_cold"), start.inlet_c, cold)


def _emergency_trip(draws: Draws, t: Array, inputs: Array, start: Start) -> Start:
    begin = draws("trip_begin")
    tripped = t >= begin
    inputs[:, 7] = tripped
    inputs[tripped, 0] = 0.0
    inputs[:, 2] -= np.maximum(t - begin, 0.0) / 60.0
    return start


def _buffered(values: Array, tau_s: float) -> Array:
    """A first-order lag, settled at the start."""
    share = 1.0 - np.exp(-DT_S / tau_s)
    out = np.empty_like(values)
    state = float(values[0])
    for i, value in enumerate(values.tolist()):
        state += share * (value - state)
        out[i] = state
    return out


_COURSES: dict[str, Callable[[Draws, Array, Array, Start], Start]] = {
    "steady_state": _steady_state,
    "load_following": _load_following,
    "ambient_disturbance": _ambient_disturbance,
    "eaf_transients": _eaf_transients,
    "load_rejection": _load_rejection,
    "cold_startup": _cold_startup,
    "emergency_trip": _emergency_trip,
}
