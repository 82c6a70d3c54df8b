"""Compares the plant with CoolProp's equation of state, and closes its balances.

    python -m gate5.plant.sco2.validate [--out FOLDER]

The reference is calculated here from CoolProp alone, not from the shipped tables: the same component models
(efficiency, effectiveness, Stodola), every property from the equation of state. Exit code 1 where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate5.plant.sco2 import design, property_map, steady
from gate5.plant.sco2.batch import start
from gate5.plant.sco2.cycle import Cycle, Health
from gate5.plant.sco2.model import Inputs, Middle, Outputs, State, advance, evaluate
from gate5.plant.sco2.ops import ArrayOps
from gate5.plant.sco2.parameters import ACTUATORS, DT_S, KELVIN, Parameters
from gate5.plant.sco2.scenarios import SCENARIOS, draw

Array = NDArray[np.float64]
STEADY_LIMIT = 0.005
BALANCE_LIMIT = 0.001
_BALANCE_SEEDS = range(8)


class Point(NamedTuple):
    """One steady operating point: MW, MPa, C."""

    power: float
    p_low: float
    inlet_c: float
    turbine_c: float


# The operating map: part load to overload, low side from just above the critical pressure, inlet over its window.
MAP = tuple(
    Point(power, p_low, inlet, turbine)
    for power in (3.5, 7.0, 10.0, 13.0)
    for p_low in (7.42, 7.5, 7.6, 7.8)
    for inlet in (32.2, 32.5, 33.0, 34.0)
    for turbine in (665.0, 700.0, 760.0)
)


class Deviation(NamedTuple):
    """The worst relative difference of one quantity over the map."""

    quantity: str
    relative: float
    plant: float
    reference: float
    point: Point


def solve_map(points: Sequence[Point] = MAP) -> tuple[Cycle, State, Outputs]:
    """The plant's own steady states at the points, with new components."""
    cycle = design.cycle(Parameters(), ArrayOps())
    power, p_low, inlet, turbine = (np.array(column) for column in zip(*points, strict=True))
    one = np.ones(len(points))
    zero = 0.0 * one
    health = Health(one, one, one, one)
    # A hotter exhaust and a colder coolant than usual, so that no actuator is at its end anywhere on the map.
    operation = steady.Operation(power * 1e3, zero, p_low, inlet, turbine, 950.0 * one, one, 8.0 * one, one)
    state = steady.solve(cycle, operation, health)
    inputs = Inputs(power, zero, turbine, 950.0 * one, one, 8.0 * one, one, zero)
    return cycle, state, evaluate(cycle, state, inputs, health)


def compare(points: Sequence[Point] = MAP) -> list[Deviation]:
    """The worst relative difference of each quantity between the plant and the equation of state."""
    cycle, state, y = solve_map(points)
    worst: dict[str, Deviation] = {}
    for i, point in enumerate(points):
        expected = reference(cycle, point, float(state.flow[i]), float(state.p_high[i]))
        for name, value in _plant_values(state, y, i).items():
            relative = abs(value / expected[name] - 1.0)
            if name not in worst or relative > worst[name].relative:
                worst[name] = Deviation(name, relative, value, expected[name], point)
    return list(worst.values())


def reference(cycle: Cycle, point: Point, flow: float, p_high: float) -> dict[str, float]:
    """The cycle at one point from CoolProp; ``flow`` and ``p_high`` are the plant's (Stodola's law is checked)."""
    p, z, eos = cycle.p, cycle.z, _Eos()
    h1, s1, density = eos.pt(point.p_low, point.inlet_c)
    head = eos.ps(p_high, s1) - h1
    velocity = flow * z.inlet_density / p.design.mass_flow / density
    speed = ((head / z.head + p.head_curvature * velocity**2) / (1.0 + p.head_curvature)) ** 0.5
    x = velocity / speed
    h2 = h1 + head / (p.compressor_efficiency * max(1.0 - p.compressor_map * (x - 1.0) ** 2, 0.4))
    h3, s3, _ = eos.pt(p_high, point.turbine_c)
    drop = h3 - eos.ps(point.p_low, s3)
    d = p.design
    corrected = ((1.0 - (point.p_low / p_high) ** 2) / (1.0 - (d.low_pressure / d.high_pressure) ** 2)) ** 0.5
    nu = (z.expansion / drop) ** 0.5
    shape = 1.0 - p.turbine_map_velocity * (nu - 1.0) ** 2 - p.turbine_map_flow * (corrected - 1.0) ** 2
    h4 = h3 - p.turbine_efficiency * max(shape, 0.3) * drop
    t2, t4 = eos.ph(p_high, h2), eos.ph(point.p_low, h4)
    factor = (flow / d.mass_flow) ** 0.25
    most = min(h4 - eos.pt(point.p_low, t2)[0], eos.pt(p_high, t4)[0] - h2)
    q = z.recuperator_ntu / (z.recuperator_ntu + factor) * most
    h_in, h5 = h2 + q, h4 - q
    net = flow * ((h3 - h4) * p.generator_efficiency - (h2 - h1) / p.motor_efficiency)
    return {
        "mass flow": z.stodola * ((p_high**2 - point.p_low**2) / (point.turbine_c + KELVIN)) ** 0.5,
        "compressor inlet T": point.inlet_c, "compressor inlet density": density, "compressor outlet T": t2,
        "heater inlet T": eos.ph(p_high, h_in), "turbine inlet T": point.turbine_c, "turbine outlet T": t4,
        "precooler inlet T": eos.ph(point.p_low, h5), "compressor speed": speed,
        "surge flow ratio": x / p.surge_flow, "turbine power": flow * (h3 - h4), "compressor power": flow * (h2 - h1),
        "net power": net, "heat to CO2": flow * (h3 - h_in), "recuperator duty": flow * q,
        "heat rejected": flow * (h5 - h1), "efficiency": net / (flow * (h3 - h_in)),
    }  # fmt: skip


def _plant_values(x: State, y: Outputs, i: int) -> dict[str, float]:
    values = {
        "mass flow": y.through, "compressor inlet T": y.inlet_c, "compressor inlet density": y.density,
        "compressor outlet T": y.outlet_c, "heater inlet T": y.heater_in_c, "turbine inlet T": y.turbine_c,
        "turbine outlet T": y.exhaust_c, "precooler inlet T": y.precooler_c, "compressor speed": y.compressor_speed,
        "surge flow ratio": y.surge_margin + 1.0, "turbine power": y.turbine_power,
        "compressor power": y.compressor_power, "net power": y.net_power, "heat to CO2": y.heat,
        "recuperator duty": y.recuperator_heat, "heat rejected": y.cooling, "efficiency": y.net_power / y.heat,
    }  # fmt: skip
    return {name: float(value[i]) for name, value in values.items()}


class Balance(NamedTuple):
    """The worst residual over the steps of one scenario, relative to the flow through the plant."""

    scenario: str
    energy: float
    mass: float


def balances(scenario: str, seeds: Sequence[int], spread: float = 0.05) -> Balance:
    """Run a scenario with moving actuators and compare each step's change of the states with the net flows."""
    courses = [draw(scenario, seed) for seed in seeds]
    cycle = design.cycle(Parameters(), ArrayOps())
    health = Health(*(np.array(v) for v in zip(*(c.health for c in courses), strict=True)))
    x = start(cycle, courses, health)
    centre = np.array([0.5 * (a.low + a.high) for a in ACTUATORS])[:, None]
    half = np.array([0.5 * (a.high - a.low) for a in ACTUATORS])[:, None]
    hold = (x.actuators - centre) / half
    rng = np.random.default_rng(0)
    inputs = np.stack([c.inputs for c in courses], axis=2)
    y = evaluate(cycle, x, Inputs(*inputs[0]), health)
    energy = mass = 0.0
    for row in inputs[1:]:
        u = Inputs(*row)
        wanted = np.clip(hold + rng.uniform(-spread, spread, hold.shape), -1.0, 1.0)
        new, middle = advance(cycle, x, y, u, cycle.ops.move(x.actuators, wanted), health)
        energy = max(energy, float(np.max(np.abs(_energy_residual(cycle, x, new, middle)))))
        mass = max(mass, float(np.max(np.abs(_mass_residual(cycle, x, new, middle)))))
        x, y = new, evaluate(cycle, new, u, health)
    return Balance(scenario, energy, mass)


def _energy_residual(cycle: Cycle, x: State, new: State, middle: Middle) -> Array:
    """(change of what metal, precooler and plena hold - net heat and work) / heat through the plant."""
    z, y = cycle.z, middle.y
    held = (
        z.heater_capacity * (new.metal - x.metal)
        + z.recuperator_mass * (new.recuperated - x.recuperated)
        + z.precooler_mass * (new.inlet_h - x.inlet_h)
        + z.high_capacity * (new.p_high - x.p_high) * (y.outlet_h - middle.x.inlet_h)
    )
    net = y.exhaust_heat + y.compressor_power - y.turbine_power - y.cooling
    scale = np.maximum(np.abs(y.exhaust_heat) + np.abs(y.cooling), 1000.0)
    return np.asarray((held / DT_S - net) / scale)


def _mass_residual(cycle: Cycle, x: State, new: State, middle: Middle) -> Array:
    """(change of the high side's inventory - inflow + outflow) / flow."""
    flow = middle.x.flow
    held = cycle.z.high_capacity * (new.p_high - x.p_high)
    return np.asarray((held / DT_S - (flow - middle.y.turbine_flow - middle.y.bypass_flow)) / flow)


class _Eos:
    """CoolProp's equation of state in MPa, C, kJ/kg, kJ/(kg K), kg/m3."""

    def __init__(self) -> None:
        import CoolProp

        self._coolprop: Any = CoolProp
        self._fluid: Any = self._coolprop.AbstractState("HEOS", "CO2")

    def pt(self, p: float, t: float) -> tuple[float, float, float]:
        self._fluid.update(self._coolprop.PT_INPUTS, p * 1e6, t + KELVIN)
        return self._fluid.hmass() / 1e3, self._fluid.smass() / 1e3, self._fluid.rhomass()

    def ps(self, p: float, s: float) -> float:
        self._fluid.update(self._coolprop.PSmass_INPUTS, p * 1e6, s * 1e3)
        return float(self._fluid.hmass() / 1e3)

    def ph(self, p: float, h: float) -> float:
        self._fluid.update(self._coolprop.HmassP_INPUTS, h * 1e3, p * 1e6)
        return float(self._fluid.T() - KELVIN)


def render() -> tuple[str, bool]:
    """All tables, and whether everything lies within its limit."""
    good = True
    lines = [
        f"Steady state against CoolProp's equation of state, worst of {len(MAP)} operating points",
        f"{'quantity':26s}{'worst, %':>10s}{'plant':>12s}{'CoolProp':>12s}  at MW, MPa, C, C",
    ]
    for d in compare():
        good &= d.relative < STEADY_LIMIT
        at = ", ".join(f"{v:g}" for v in d.point)
        lines.append(f"{d.quantity:26s}{100 * d.relative:10.4f}{d.plant:12.4f}{d.reference:12.4f}  {at}")
    lines += [
        "",
        f"Balances at every step, actuators moving, worst of {len(_BALANCE_SEEDS)} seeds",
        f"{'scenario':26s}{'energy, %':>12s}{'mass, %':>12s}",
    ]
    for scenario in SCENARIOS:
        b = balances(scenario, _BALANCE_SEEDS)
        good &= b.energy < BALANCE_LIMIT and b.mass < BALANCE_LIMIT
        lines.append(f"{scenario:26s}{100 * b.energy:12.2e}{100 * b.mass:12.2e}")
    return "\n".join(lines) + "\n", good


def main(argv: list[str] | None = None) -> int:
    """Print the tables; with ``--out`` write them and the picture of the property errors there, too."""
    parser = argparse.ArgumentParser(description="Compare the sCO2 plant with CoolProp and close its balances.")
    parser.add_argument("--out", type=Path, help="a folder for plant-validation.txt and plant-properties.svg")
    out: Path | None = parser.parse_args(argv).out
    text, good = render()
    found = property_map.errors()
    text += "\nTables against CoolProp around the critical point (29 to 41 C), between the nodes\n"
    text += property_map.table(found)
    text += f"\n{'All within' if good else 'OUTSIDE'} the limits ({STEADY_LIMIT:.1%} and {BALANCE_LIMIT:.1%}).\n"
    sys.stdout.write(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "plant-validation.txt").write_text(text, encoding="utf-8")
        (out / "plant-properties.svg").write_text(property_map.picture(found), encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
