"""``binding.options`` of the OPC UA binding.

url: opc.tcp://192.0.2.7:4840
observations:
  net_power: ns=2;s=Plant.NetPower
  high_pressure: {node: ns=2;s=Plant.P2, scale: 0.1}      # bar to MPa: observation = scale * node + offset
actions:
  damper: {node: ns=2;s=Cmd.Damper, scale: 0.02, offset: -1}    # percent: the node gets (action - offset) / scale
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from gate5.config.section import Section
from gate5.config.text import explain
from gate5.errors import ConfigError
from gate5.plant.base import Box, Plant


class _NodeOptions(Section):
    node: str = Field(min_length=1)
    scale: float = 1.0
    offset: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"node": given} if isinstance(given, str) else given

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, value: float) -> float:
        if value == 0.0:
            raise ValueError("a scale of 0 loses the value; give another number")
        return value


class _UaOptions(Section):
    url: str = Field(pattern=r"^opc\.tcp://[^\s/]+")
    observations: dict[str, _NodeOptions]
    actions: dict[str, _NodeOptions]
    poll_s: float | None = Field(None, gt=0, description="null: a tenth of the period, 10 ms to 1 s")
    time: Literal["source", "server", "none"] = Field("source", description="whose time stamps say how old it is")
    uncertain: bool = Field(False, description="whether a value of uncertain quality is used")
    heartbeat: str | None = Field(None, description="an integer node that the runtime counts up, against a second one")
    user: str | None = None
    password_file: str | None = None
    security: str | None = Field(None, description="Basic256Sha256,SignAndEncrypt,CERTIFICATE,KEY")


class Item:
    """One node and its scaling."""

    def __init__(self, name: str, given: _NodeOptions) -> None:
        self.name, self.node, self._scale, self._offset = name, given.node, given.scale, given.offset

    def from_plant(self, value: float) -> float:
        """An observation, or an action, of a node's value."""
        return self._scale * value + self._offset

    def to_plant(self, value: float) -> float:
        """A node's value of an action."""
        return (value - self._offset) / self._scale


class Options:
    """Checked against the plant, in the order of its observation and action."""

    def __init__(self, plain: _UaOptions, plant: Plant, period_s: float) -> None:
        self.url, self.time, self.uncertain, self.heartbeat = plain.url, plain.time, plain.uncertain, plain.heartbeat
        self.user, self.security, self._password_file = plain.user, plain.security, plain.password_file
        self.poll_s = min(max(period_s / 10.0, 0.01), 1.0) if plain.poll_s is None else plain.poll_s
        self.observations = _items(plain.observations, plant.observation_space, "observations")
        self.actions = _items(plain.actions, plant.action_space, "actions")

    def password(self) -> str:
        """Of ``password_file``, without the end of its line.

        Raises:
            ConfigError: it cannot be read.
        """
        if self._password_file is None:
            return ""
        try:
            return Path(self._password_file).read_text().rstrip("\n")
        except OSError as error:
            raise ConfigError(
                f"binding.options.password_file {self._password_file} cannot be read: {error.strerror or error}."
            ) from None


def read_options(plant: Plant, options: dict[str, Any], period_s: float) -> Options:
    """Check options.

    Raises:
        ConfigError: a key, a name or a number that does not fit.
    """
    try:
        plain = _UaOptions.model_validate(options)
    except ValidationError as error:
        raise ConfigError(explain(error, "binding.options of the OPC UA binding", _UaOptions)) from None
    return Options(plain, plant, period_s)


def _items(given: dict[str, _NodeOptions], box: Box, where: str) -> list[Item]:
    names = box.names or tuple(str(i) for i in range(box.size))
    for name in given:
        if name not in names:
            raise ConfigError(
                f"binding.options.{where} has {name!r}, which the plant does not: it has {', '.join(names)}."
            )
    missing = [name for name in names if name not in given]
    if missing:
        raise ConfigError(f"binding.options.{where} lacks a node for {', '.join(missing)}: add it.")
    return [Item(name, given[name]) for name in names]
