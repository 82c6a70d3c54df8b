"""What a plant declares about the world around it: signals with their instruments, actuators, and what varies.

A plant that declares them has ``signals``, ``actuators``, ``disturbances(scenario)`` and ``reset_mixed`` with numbers
(``Disturbable``); ``disturbable`` says whether it does. Nothing here is run by a plant that declares nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gate5.errors import PlantError
from gate5.plant.base import Float32, Float64, Plant
from gate5.plant.declared import closest

#: How a signal comes about. ``measured``: an instrument; ``estimated``: from several instruments by a model;
#: ``computed``: a sum of other signals; ``known``: the control system's own; ``unmeasurable``: no instrument gives it.
SignalKind = Literal["measured", "estimated", "computed", "known", "unmeasurable"]

#: What a number is for. ``drawn``: every episode draws it, and a search for the worst case may choose it;
#: ``parameter``: a factor on the plant, 1 as built; ``initial``: where an episode starts; ``event``: something that
#: happens besides the scenario.
Role = Literal["drawn", "parameter", "initial", "event"]


@dataclass(frozen=True)
class Signal:
    """An observed variable as the control system receives it.

    Attributes:
        name: of the observation's component.
        accuracy: largest lasting deviation that the instrument's class allows, in the variable's unit.
        noise: standard deviation of one reading, in the variable's unit.
        lag_s: time constant between process and reading (thermowell, filter), seconds.
        terms: of a ``computed`` signal: other signals with their factors; none: the plant's observer computes it.
        source: where the numbers come from.
    """

    name: str
    kind: SignalKind
    accuracy: float = 0.0
    noise: float = 0.0
    lag_s: float = 0.0
    terms: tuple[tuple[str, float], ...] = ()
    source: str = ""


@dataclass(frozen=True)
class ActuatorTravel:
    """An actuator as the perturbation layer needs it.

    Attributes:
        rate: how far it moves in a control step, in units of the action.
        span: range of its position, which the plant reports as the variable ``name``.
    """

    name: str
    rate: float
    span: float
    source: str = ""


@dataclass(frozen=True)
class Disturbance:
    """A number of an episode with the range that the plant declares for it.

    Attributes:
        low, high: its range, in ``unit``.
        nominal: its value where nobody says otherwise; ``None``: drawn, or the event does not happen.
        whole: whether it is an integer.
    """

    name: str
    role: Role
    low: float
    high: float
    unit: str
    title: str
    nominal: float | None = None
    whole: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise PlantError(
                f"The disturbance {self.name!r} has the range {self.low:g} to {self.high:g}: give the lower end first, "
                "both finite."
            )


class Observing(Protocol):
    """Computes signals from the readings of others, with a memory; what ``plant.observer()`` returns, if there is one.

    Rows are the observation's components, float64 ``[obs_dim, episodes]``.
    """

    @property
    def past(self) -> tuple[Float64, ...]:
        """What it remembers, each ``[.., episodes]``."""
        ...

    def reset(self, batch: int) -> None:
        """Forget the past; ``batch`` episodes start."""
        ...

    def begin(self, places: Sequence[int], rows: Float64) -> Float64:
        """The first readings of new episodes in some places of the batch."""
        ...

    def update(self, rows: Float64) -> Float64:
        """The readings one control step later."""
        ...


class Disturbable(Plant, Protocol):
    """A plant whose instruments, actuators and disturbances are declared."""

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    @property
    def actuators(self) -> tuple[ActuatorTravel, ...]:
        """In the order of the action's components."""
        ...

    def disturbances(self, scenario: str) -> tuple[Disturbance, ...]:
        """The numbers of one scenario."""
        ...

    def reset_mixed(
        self, scenarios: Sequence[str], seeds: Sequence[int], numbers: Sequence[Mapping[str, float]] | None = None
    ) -> Float32:
        """Start one episode per pair; ``numbers`` replace what an episode would draw, by the disturbance's name."""
        ...

    def reset_some(
        self,
        indices: Sequence[int],
        scenarios: Sequence[str],
        seeds: Sequence[int],
        numbers: Sequence[Mapping[str, float]] | None = None,
    ) -> Float32:
        """The same for some places of the running batch."""
        ...


def disturbable(plant: Plant) -> Disturbable | None:
    """``plant`` if it declares signals, actuators and disturbances, else ``None``."""
    needed = ("signals", "actuators", "disturbances", "reset_mixed", "reset_some")
    return plant if all(hasattr(plant, name) for name in needed) else None  # type: ignore[return-value]


def check_numbers(numbers: Mapping[str, float], declared: Sequence[Disturbance], plant: str, scenario: str) -> None:
    """Raise unless every number is declared for the scenario and within its range.

    Raises:
        PlantError: it is not; the text names it and what there is.
    """
    known = {d.name: d for d in declared}
    for name, value in numbers.items():
        if name not in known:
            raise PlantError(
                f"The plant {plant} declares no disturbance {name!r} in {scenario}: {closest(name, known)}"
            )
        d = known[name]
        if not d.low <= value <= d.high:
            raise PlantError(
                f"The disturbance {name!r} is {value:g} {d.unit}, but the plant {plant} declares {d.low:g} to "
                f"{d.high:g}: choose a value in that range."
            )
