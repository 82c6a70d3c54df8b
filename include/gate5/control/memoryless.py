"""``memoryless``: a PID baseline's loops on integrals that the observation has, so that they remember nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gate5.control.gains import Gains, parse_gains
from gate5.plant.base import Box

_NEVER = 1e12


def memoryless(gains: Gains, integrals: Mapping[str, str], space: Box) -> Gains:
    """The same loops, each integral term a table of the observation's own integral.

    A network without memory can be like them; it cannot be like a loop that remembers.

    Args:
        gains: the baseline's.
        integrals: measurement to the component of the observation that integrates its error.
        space: of the observation, for the integrals' ranges.
    """
    plain = gains.model_dump(mode="json")
    for channel in plain["channels"]:
        for loop in channel["loops"]:
            name = integrals.get(loop["measurement"])
            if loop["select"] == "add" and loop["ki"] and name is not None:
                channel["feedforward"].append(_linear(name, loop["ki"], space))
            loop["ki"] = 0.0
            loop["tracking_s"] = _NEVER  # following the actuator is a memory, too
        # An override that forgets cannot find its level: it becomes a table that grows towards the limit.
        for loop in [one for one in channel["loops"] if one["select"] != "add"]:
            channel["loops"].remove(loop)
            channel["feedforward"].append(_override(loop))
    return parse_gains(plain)


def _linear(name: str, slope: float, space: Box) -> dict[str, Any]:
    i = space.names.index(name)
    low, high = float(space.low[i]), float(space.high[i])
    return {"observation": name, "points": _points([(low, slope * low), (0.0, 0.0), (high, slope * high)])}


def _override(loop: Mapping[str, Any]) -> dict[str, Any]:
    at, gain = float(loop["setpoint"]), float(loop["kp"])
    sign = 1.0 if loop["select"] == "max" else -1.0
    side = sign * (1.0 if gain > 0 else -1.0)
    begin, reach = at - 0.25 * abs(at) * side, 0.15 / abs(gain) * side
    ends = sorted([(begin - reach, 0.3 * sign), (begin, 0.0)])
    return {"observation": loop["measurement"], "points": _points(ends)}


def _points(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    return [[x, y] for x, y in points]
