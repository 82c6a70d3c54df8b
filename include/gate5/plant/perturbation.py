"""``Perturbation``: one thing that goes wrong between plant and controller, or in the plant, as data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gate5.errors import PlantError
from gate5.plant.declared import closest
from gate5.plant.disturbance import Disturbable

SENSOR_KINDS = ("lag", "noise", "bias", "drift", "stuck", "failed_low", "failed_high", "dropout")
ACTUATOR_KINDS = ("actuator_stuck", "actuator_slow", "dead_band")
LOOP_KINDS = ("delay", "latency")
NUMBER_KINDS = ("parameter", "initial", "number")
KINDS = (*SENSOR_KINDS, *ACTUATOR_KINDS, *LOOP_KINDS, *NUMBER_KINDS)

#: A lasting deviation may have either sign: a level of 1 means plus or minus 1, drawn for each episode and target.
SIGNED = ("bias", "drift", "parameter", "initial")

Range = float | tuple[float, float]


@dataclass(frozen=True)
class Perturbation:
    """What is perturbed, and how much.

    ========================= ======================================================================================
    kind                      level
    ========================= ======================================================================================
    ``lag``                   times the declared lag
    ``noise``                 times the declared noise
    ``bias``                  times the declared accuracy, lasting
    ``drift``                 times the declared accuracy per hour
    ``stuck``                 1: the reading stays as it is from ``start_s`` on
    ``failed_low``, ``_high`` 1: the reading is the end of the sensor's range from ``start_s`` on
    ``dropout``               chance that a reading is lost; the one before it stays
    ``delay``                 control periods by which the controller sees the plant late (whole)
    ``latency``               times ``samples``, seconds by which an action is late
    ``actuator_stuck``        1: the actuator stays where it is from ``start_s`` on
    ``actuator_slow``         share of the actuator's speed that is lost
    ``dead_band``             share of the action's range within which a command moves nothing
    ``parameter``             share by which the plant's factor is off
    ``initial``               share of the way from the middle to an end of the declared range
    ``number``                the disturbance's value, in its unit
    ========================= ======================================================================================

    Attributes:
        level: a number, or a range from which each episode draws. A number of a lasting deviation has either sign.
        targets: names of signals, actuators or disturbances; empty: all that the kind can act on.
        start_s: when it begins, seconds, or a range from which each episode draws.
        pick: how many of the targets an episode draws; ``None``: all of them.
        chance: share of the episodes that it happens to.
        samples: of ``latency``: measured latencies, seconds.
    """

    kind: str
    level: Range = 1.0
    targets: tuple[str, ...] = ()
    start_s: Range = 0.0
    pick: int | None = None
    chance: float = 1.0
    samples: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PlantError(f"There is no perturbation {self.kind!r}: {closest(self.kind, KINDS)}")
        for name in ("level", "start_s"):
            low, high = ends(getattr(self, name))
            if not (math.isfinite(low) and math.isfinite(high)) or low > high:
                raise PlantError(
                    f"The perturbation {self.kind!r} has {name} {low:g} to {high:g}: give finite numbers, the lower "
                    "end first."
                )
        if not 0.0 < self.chance <= 1.0:
            raise PlantError(
                f"The perturbation {self.kind!r} has the chance {self.chance:g}: give more than 0, up to 1."
            )
        if self.pick is not None and self.pick < 1:
            raise PlantError(f"The perturbation {self.kind!r} picks {self.pick} targets: give at least 1, or null.")
        if self.kind == "latency" and not self.samples:
            raise PlantError("The perturbation 'latency' has no samples: give measured latencies in seconds.")

    def scaled(self, factor: float) -> Perturbation:
        """The same at ``factor`` times the level."""
        low, high = ends(self.level)
        level: Range = factor * low if low == high else (factor * low, factor * high)
        return dataclasses.replace(self, level=level)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Perturbation:
        """The inverse of ``to_dict``.

        Raises:
            PlantError: a key is unknown or a value cannot be used.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        for key in data:
            if key not in names:
                raise PlantError(f"A perturbation has no {key!r}: {closest(str(key), names)}")
        if "kind" not in data:
            raise PlantError(f"A perturbation has no kind: give one of {', '.join(KINDS)}.")
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**plain)


def ends(value: Range) -> tuple[float, float]:
    """The two ends of a range; a number is both."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise PlantError(f"The range {value} has {len(value)} ends: give two.")
        return float(value[0]), float(value[1])
    return float(value), float(value)


def instruments() -> tuple[Perturbation, ...]:
    """What the declared instruments do to a plant in order: their lag, their noise, a bias within their class."""
    return Perturbation("lag"), Perturbation("noise"), Perturbation("bias", (-1.0, 1.0))


def targets(perturbation: Perturbation, plant: Disturbable, scenario: str) -> tuple[str, ...]:
    """The names that a perturbation acts on in a scenario.

    Raises:
        PlantError: it names something that the plant does not have or that the kind cannot act on.
    """
    possible = _possible(perturbation.kind, plant, scenario)
    for name in perturbation.targets:
        if name not in possible:
            raise PlantError(
                f"The perturbation {perturbation.kind!r} of {name!r} cannot be made on the plant {plant.name}: "
                f"{closest(name, possible)}"
            )
    if perturbation.pick is not None and perturbation.pick > len(perturbation.targets or possible):
        raise PlantError(
            f"The perturbation {perturbation.kind!r} picks {perturbation.pick} of "
            f"{len(perturbation.targets or possible)} targets: give a smaller number."
        )
    return perturbation.targets or tuple(possible)


def _possible(kind: str, plant: Disturbable, scenario: str) -> Sequence[str]:
    if kind in SENSOR_KINDS:
        observed = plant.observation_space.names
        return [s.name for s in plant.signals if s.name in observed and s.kind in ("measured", "estimated")]
    if kind in ACTUATOR_KINDS:
        return [a.name for a in plant.actuators]
    if kind in LOOP_KINDS:
        return ()
    declared = plant.disturbances(scenario)
    if kind == "number":
        return [d.name for d in declared]
    return [d.name for d in declared if d.role == kind]
