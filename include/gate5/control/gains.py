"""The gains of a ``PIDBaseline`` as data: one JSON document, closed against unknown keys.

A baseline has one channel per action component. A channel's output, in the units of the action space, is::

    main    = bias + sum of the feedforward tables + sum of the loops with select "add", clipped to [low, high]
    output  = main, then for every further loop in order: min(output, loop) or max(output, loop)

A loop with ``select`` "min" or "max" is an override: it takes the actuator over where its variable nears a limit.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from gate5.config.section import Section
from gate5.errors import ConfigError
from gate5.io import canonical


class Table(Section):
    """A piecewise linear function of one observation, constant outside its points."""

    observation: str
    points: tuple[tuple[float, float], ...] = Field(min_length=1)

    @field_validator("points")
    @classmethod
    def _increasing(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        xs = [x for x, _ in points]
        if any(b <= a for a, b in itertools.pairwise(xs)):
            raise ValueError(f"the first numbers of the points must increase, but they are {xs}")
        return points


class LoopGains(Section):
    """One PID loop; see ``PIDController`` for what the numbers mean."""

    measurement: str = Field(description="name of the observation that is controlled")
    setpoint: str | float = Field(description="name of an observation, or a constant in the measurement's unit")
    kp: float = 0.0
    ki: float = Field(0.0, description="per second")
    kd: float = Field(0.0, description="times seconds")
    setpoint_weight: float = Field(1.0, ge=0, le=1)
    derivative_filter_s: float = Field(0.0, ge=0)
    tracking_s: float = Field(60.0, gt=0)
    bias: float = 0.0
    select: Literal["add", "min", "max"] = "add"
    schedule: tuple[Table, ...] = Field((), description="the product of these tables scales kp, ki and kd")


class ChannelGains(Section):
    """One actuator."""

    action: str = Field(description="name of the action component, or its index")
    bias: float = 0.0
    low: float = -1.0
    high: float = 1.0
    rate: float | None = Field(None, gt=0, description="largest change of the output per second")
    feedforward: tuple[Table, ...] = ()
    loops: tuple[LoopGains, ...] = ()

    @model_validator(mode="after")
    def _range(self) -> ChannelGains:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        return self


class Gains(Section):
    """All channels of a baseline."""

    format: Literal[1] = 1
    plant: str = ""
    dt_s: float = Field(gt=0)
    channels: tuple[ChannelGains, ...] = Field(min_length=1)
    about: dict[str, Any] = Field(default_factory=dict, description="where the numbers come from; read by nobody")


def parse_gains(data: Any, source: str = "the PID gains") -> Gains:
    """Validate plain data.

    Raises:
        ConfigError: a key is unknown, a type is wrong, a number is out of its range.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"In {source}: expected a JSON object with `dt_s` and `channels`, got {type(data).__name__}.")
    try:
        return Gains.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        message = first["msg"].removeprefix("Value error, ")
        value = "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
        raise ConfigError(f"In {source}: {where}: {message}{value}.") from None


def read_gains(path: Path) -> Gains:
    """Read a JSON file of gains.

    Raises:
        ConfigError: it is missing, is not JSON, or is not a set of gains.
    """
    try:
        data = canonical.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"The PID gains {path} cannot be read ({error.strerror}); set baseline.gains to a JSON file of gains, "
            "or to null for the plant's own."
        ) from None
    except ValueError as error:
        raise ConfigError(f"The PID gains {path} are not JSON ({error}).") from None
    return parse_gains(data, str(path))
