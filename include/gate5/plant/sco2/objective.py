"""What the operator pays for: the objective's terms, their rates at a step, and the reward that they make.

docs/plant.md derives the weights. Everything is +, -, *, / so that arrays and floats give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate5.plant.base import Term
from gate5.plant.sco2.parameters import ACTUATORS, DT_S, KELVIN, RATED_MW

TERMINAL_REWARD = -100.0

ENERGY_PRICE = 60.0  # EUR/MWh; a reward of 1 is what the rated power earns in the same time
RATED_REVENUE = RATED_MW * ENERGY_PRICE  # EUR/h

# Larson and Miller: T (C + log10 t) is constant for a stress; 100,000 h at the design's 700 C, C = 20.
CREEP_REFERENCE_K = 700.0 + KELVIN
CREEP_PARAMETER = CREEP_REFERENCE_K * (20.0 + 5.0)
_LN_10 = 2.302585092994046
_CREEP_MOST = 6.0  # exponent at which the creep rate is cut off, 400 times the design's

# The reference start heats the casing by 500 C in 30 min: the integral of the squared rate is 8,333 C^2/min.
START_C2_PER_MIN = (500.0 / 30.0) ** 2 * 30.0

TERMS = (
    Term("power_deviation", "power_deviation", "MW", 100.0, 0.005, title="net power off its set-point, either way",
         essential=True, source="imbalance settled at 1.7 times an energy price of 60 EUR/MWh"),
    Term("turbine_inlet_deviation", "turbine_inlet_deviation", "C", 0.75, 0.25,
         title="turbine inlet off its set-point, either way",
         essential=True, source="1 % of rated revenue at 8 K, the variation that IEC 60045-1 lets a turbine bear"),
    Term("creep", "creep_rate", "h/h", 15.0, 0.02, title="creep life used beyond that at 700 C",
         source="Larson-Miller, C = 20; hot parts of 1.5 million EUR for 100,000 h at 700 C"),
    Term("casing_fatigue", "fatigue_rate", "starts/h", 800.0, 0.002, title="fatigue of the casing, in cold starts",
         essential=True, source="Coffin-Manson, exponent 2, on its rate; 79 USD/MW a cold start (NREL/SR-5500-55433)"),
    Term("actuator_travel", "actuator_travel", "strokes/h", 0.05, 1.0, title="travel of the four actuators",
         source="overhaul for 3,000 EUR after 60,000 strokes, class CC2 of ISO 15848-1"),
    Term("heat_drawn", "heat_input", "MW", 5.0, 0.03, title="heat drawn from the exhaust",
         essential=True, source="what a heat customer behind the plant pays, 5 EUR/MWh"),
    Term("specification", "specification_reward", "1", 0.0, 0.002, title="the specification's reward, per step",
         source="the specification", reported_only=True),
)  # fmt: skip


def rates(values: Mapping[str, Any], moved: Any, ops: Any) -> dict[str, Any]:
    """The terms' variables at a step, those that are not variables already.

    Args:
        values: the plant's other variables.
        moved: the four actuators' movement in this step, over their ranges.
    """
    miss = values["net_power_error"]
    off = values["turbine_inlet_temperature"] - values["turbine_inlet_temperature_setpoint"]
    rate = values["turbine_metal_rate"]
    a, b, c, d = moved
    travel = ops.maximum(a, -a) + ops.maximum(b, -b) + ops.maximum(c, -c) + ops.maximum(d, -d)
    return {
        "power_deviation": ops.maximum(miss, -miss),
        "turbine_inlet_deviation": ops.maximum(off, -off),
        "creep_rate": _creep(values["turbine_inlet_temperature"], ops),
        "fatigue_rate": rate * rate * (60.0 / START_C2_PER_MIN),
        "actuator_travel": travel * (3600.0 / DT_S),
        "specification_reward": _specification(values, a * a + b * b + c * c + d * d, ops),
    }


def reward(values: Mapping[str, Any]) -> Any:
    """One less the cost of a step, in units of what the rated power earns in that time."""
    total: Any = 0.0
    for term in TERMS:
        if term.weight:
            total = total + values[term.variable] * (term.weight / RATED_REVENUE)
    return 1.0 - total


def _creep(temperature_c: Any, ops: Any) -> Any:
    """Hours of creep life used in an hour beyond those at the design's temperature (less is not credited).

    ``exp`` is not exactly rounded everywhere; ``(1 + x / 4096)^4096`` by squaring is, and errs by less than 0.5 %.
    """
    beyond = ops.maximum(temperature_c + KELVIN, CREEP_REFERENCE_K)
    x = CREEP_PARAMETER * _LN_10 * (1.0 / CREEP_REFERENCE_K - 1.0 / beyond)
    power = 1.0 + ops.minimum(x, _CREEP_MOST) * (1.0 / 4096.0)
    for _ in range(12):
        power = power * power
    return power - 1.0


def _specification(values: Mapping[str, Any], squares: Any, ops: Any) -> Any:
    """``max(0, 1 - ((W - W_set) / 10)^2) + 0.3 clip(eta / 0.40, 0, 2) - 0.1 mean((du / range)^2)``."""
    miss = values["net_power_error"] * 0.1
    tracking = ops.maximum(1.0 - miss * miss, 0.0)
    efficiency = ops.minimum(ops.maximum(values["efficiency"] * 2.5, 0.0), 2.0)
    return tracking + 0.3 * efficiency - (0.1 / len(ACTUATORS)) * squares
