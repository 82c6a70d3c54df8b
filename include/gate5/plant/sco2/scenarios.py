"""The seven scenarios: what acts on the plant over time, drawn from a seed.

A course is an array ``[steps + 1, 8]`` of ``model.Inputs`` plus where the episode starts. Nothing here touches an
actuator. Each course is drawn and computed for its own seed alone, so that it is the same in every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Scenario
from gate5.plant.sco2.cycle import Health
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


def draw(scenario: str, seed: int) -> Course:
    """The course of one episode."""
    phase = SCENARIOS[scenario].phase
    rng = np.random.default_rng([int(seed), phase, 10])
    steps = SCENARIOS[scenario].steps
    t: Array = np.linspace(0.0, steps * DT_S, steps + 1)
    health = Health(
        heater=rng.uniform(0.94, 1.0),
        precooler=rng.uniform(0.92, 1.0),
        turbine=rng.uniform(0.985, 1.0),
        compressor=rng.uniform(0.985, 1.0),
    )
    inputs = _calm(rng, t)
    start = Start(RATED_MW, 0.0, rng.uniform(7.57, 7.63), rng.uniform(32.85, 33.15), 700.0)
    start = _COURSES[scenario](rng, t, inputs, start)
    inputs[:, 1] = np.append(np.diff(inputs[:, 0]), 0.0) * (60.0 / DT_S)
    if scenario == "emergency_trip":
        inputs[:, 1] = 0.0  # a trip announces itself to nobody
    return Course(inputs, health, start)


def _calm(rng: np.random.Generator, t: Array) -> Array:
    """Rated set-points, and an exhaust and a coolant that wander a little."""
    inputs = np.zeros((t.size, 8))
    inputs[:, 0] = RATED_MW
    inputs[:, 2] = 700.0
    inputs[:, 3] = 900.0 + rng.uniform(-20.0, 20.0) + _wander(rng, t, 6.0)
    inputs[:, 4] = 1.0 + rng.uniform(-0.03, 0.03) + _wander(rng, t, 0.01)
    inputs[:, 5] = 18.0 + rng.uniform(-2.0, 2.0) + _wander(rng, t, 0.3)
    inputs[:, 6] = 1.0
    return inputs


def _wander(rng: np.random.Generator, t: Array, amplitude: float) -> Array:
    """Two slow sines of random period and phase, zero at the start."""
    total = np.zeros_like(t)
    for share in (0.6, 0.4):
        period, phase = rng.uniform(200.0, 900.0), rng.uniform(0.0, 2.0 * np.pi)
        total += share * (np.sin(2.0 * np.pi * t / period + phase) - np.sin(phase))
    return amplitude * total


def _steady_state(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    return start


def _load_following(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    knots = int(rng.integers(4, 7))
    times = np.linspace(0.0, t[-1], knots + 1)
    times[1:-1] += rng.uniform(-40.0, 40.0, knots - 1)
    values = np.concatenate([[1.0], rng.uniform(0.7, 1.3, knots)])
    inputs[:, 0] = RATED_MW * np.interp(t, times, values)
    return start


def _ambient_disturbance(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    swing = rng.choice((-1.0, 1.0)) * rng.uniform(8.0, 10.0)
    inputs[:, 5] += swing * np.sin(2.0 * np.pi * t / 3600.0)
    inputs[:, 5] = np.clip(inputs[:, 5], 8.0, 28.0)
    return start


def _eaf_transients(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    share = rng.uniform(0.18, 0.24)
    begin = rng.uniform(300.0, 720.0)
    furnace = np.interp(t, begin + np.cumsum([0.0, 900.0, 1800.0, 300.0]), [200.0, 1200.0, 1200.0, 200.0])
    mixed = (1.0 - share) * inputs[:, 3] + share * _buffered(furnace, 300.0)
    inputs[:, 3] = mixed
    # The dispatcher asks for what the heater can give at 1.2 times its design conductance, a little later.
    inputs[:, 0] = np.clip(0.066 * (_buffered(mixed, 120.0) - 717.0), 3.5, 11.0)
    return Start(float(inputs[0, 0]), 0.0, start.p_low, start.inlet_c, float(min(700.0, mixed[0] - 45.0)))


def _load_rejection(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    begin = rng.uniform(120.0, 300.0)
    inputs[:, 0] = np.interp(t, [begin, begin + 30.0], [RATED_MW, RATED_MW * rng.uniform(0.48, 0.55)])
    return start


def _cold_startup(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    cold = rng.uniform(195.0, 205.0)
    inputs[:, 2] = np.interp(t, [0.0, 1800.0], [cold, 700.0])
    inputs[:, 3] -= np.interp(t, [0.0, rng.uniform(1080.0, 1320.0)], [600.0, 0.0])
    admitted = rng.uniform(420.0, 540.0)
    inputs[:, 6] = t >= admitted
    inputs[:, 0] = np.interp(t, [admitted + 120.0, admitted + 2520.0], [0.0, RATED_MW])
    return Start(np.nan, 45.0, rng.uniform(7.08, 7.12), start.inlet_c, cold)


def _emergency_trip(rng: np.random.Generator, t: Array, inputs: Array, start: Start) -> Start:
    begin = rng.uniform(120.0, 240.0)
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


_COURSES: dict[str, Callable[[np.random.Generator, Array, Array, Start], Start]] = {
    "steady_state": _steady_state,
    "load_following": _load_following,
    "ambient_disturbance": _ambient_disturbance,
    "eaf_transients": _eaf_transients,
    "load_rejection": _load_rejection,
    "cold_startup": _cold_startup,
    "emergency_trip": _emergency_trip,
}
