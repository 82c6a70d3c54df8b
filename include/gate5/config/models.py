"""``ReleaseConfig``: everything a release can be told, in one YAML file.

Unknown keys, wrong types and values out of range end in a ``ConfigError`` that names the key, the value and what would
be right. This module imports nothing of gate5 but other leaves, so that every other module can take a section of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from gate5.config.candidate import CheckpointConfig, ExportConfig, PlantConfig
from gate5.config.channel import ChannelConfig, ReleaseSection, StoreConfig
from gate5.config.engine import EngineConfig
from gate5.config.evaluation import BaselineConfig, EvaluationConfig, FalsificationConfig, StressConfig
from gate5.config.gate import GateConfig
from gate5.config.gpus import OtherGpuConfig, checked_kinds
from gate5.config.measurement import LatencyConfig, ParityConfig
from gate5.config.notify import NotifyConfig
from gate5.config.schedule import RetrainConfig, ScheduleConfig
from gate5.config.section import Section
from gate5.config.text import explain, override, read_yaml
from gate5.config.tighten import stricter, tighten
from gate5.errors import ConfigError
from gate5.io.canonical import digest


class ReleaseConfig(Section):
    """One release's whole configuration; ``ReleaseConfig()`` is the default."""

    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    plant: PlantConfig = Field(default_factory=PlantConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    parity: ParityConfig = Field(default_factory=ParityConfig)
    latency: LatencyConfig = Field(default_factory=LatencyConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    falsification: FalsificationConfig = Field(default_factory=FalsificationConfig)
    stress: StressConfig = Field(default_factory=StressConfig)
    baseline: BaselineConfig = Field(default_factory=BaselineConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    release: ReleaseSection = Field(default_factory=ReleaseSection)
    channels: dict[str, ChannelConfig] = Field(
        default_factory=dict, description="by channel: what it demands (below); a run can ask for more, never for less"
    )
    other_gpus: dict[str, OtherGpuConfig] = Field(
        default_factory=dict, description="by name: a further kind of GPU (below) that judges every announced candidate"
    )
    notify: NotifyConfig = Field(default_factory=NotifyConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    retrain: RetrainConfig = Field(default_factory=RetrainConfig)

    @field_validator("other_gpus")
    @classmethod
    def _kinds(cls, value: dict[str, OtherGpuConfig]) -> dict[str, OtherGpuConfig]:
        checked_kinds(value)
        return value

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, overrides: dict[str, Any] | None = None) -> ReleaseConfig:
        """Read a YAML file (``None``: the defaults) and apply dotted overrides such as ``{"release.channel": "test"}``.

        Raises:
            ConfigError: the file is missing, is not YAML, or says something that a release cannot mean.
        """
        data: Any = {}
        source = "the built-in defaults" if path is None else str(path)
        if path is not None:
            data = read_yaml(Path(path))
        for key, value in (overrides or {}).items():
            if key.partition(".")[0] == "channels":
                raise ConfigError(f"{key!r} cannot be overridden: what a channel demands is changed in {source} alone.")
            override(data, key, value)
        return cls.parse(data, source)

    @classmethod
    def load_form(cls, path: str | os.PathLike[str], overrides: dict[str, Any]) -> ReleaseConfig:
        """As ``load``, where the overrides come from a form: they can tighten what the file says, and never loosen it.

        What the file says in so many words about approval, backend and SLA is what its own channel demands; on another
        channel, that one's section in ``channels`` alone counts.

        Raises:
            ConfigError: as ``load``.
        """
        own, run = cls.load(path), cls.load(path, overrides)
        return run if own.release.channel != run.release.channel else run.tightened(own._said_of_own_channel())

    def demands(self, channel: str) -> tuple[ChannelConfig, ...]:
        """All that this file demands of a channel: its section in ``channels``, and of the configuration's own channel
        what it says in so many words about approval, backend and SLA."""
        own = () if channel != self.release.channel else (self._said_of_own_channel(),)
        return (self.channels.get(channel, ChannelConfig()), *own)

    def _said_of_own_channel(self) -> ChannelConfig:
        said: dict[str, Any] = {"quick": True}  # whether it takes quick runs is the section's to say
        said |= self.release.model_dump(include={"approval", "require_backend"})
        if "sla_p99_ms" in self.gate.model_fields_set:
            said["sla_p99_ms"] = self.gate.sla_p99_ms
        return ChannelConfig(**said)

    def demanding(self, demands: ChannelConfig, channel: str | None = None) -> ReleaseConfig:
        """This configuration, where a channel demands no less than before and no less than ``demands``.

        Args:
            channel: its name; ``None``: the configuration's own.

        Raises:
            ConfigError: nothing can meet both.
        """
        name = channel or self.release.channel
        both = [each.model_dump(mode="json") for each in (self.channels.get(name, ChannelConfig()), demands)]
        section = ChannelConfig.model_validate(stricter(*both))
        config = self.model_copy(update={"channels": {**self.channels, name: section}})
        return config.tightened(section) if name == self.release.channel else config

    def tightened(self, demands: ChannelConfig) -> ReleaseConfig:
        """This configuration, made to ask for no less than ``demands``."""
        return type(self).model_validate(tighten(self.plain(), demands.model_dump(mode="json")))

    @classmethod
    def parse(cls, data: Any, source: str = "the configuration") -> ReleaseConfig:
        """Validate plain data; ``source`` is what an error calls it."""
        if not isinstance(data, dict):
            raise ConfigError(
                f"{source} must be a mapping of sections (`gate:` and so on), but it is {type(data).__name__}."
            )
        try:
            config = cls.model_validate(data)
            demands = config.channels.get(config.release.channel)
            return config if demands is None else config.tightened(demands)
        except ValidationError as error:
            raise ConfigError(explain(error, source, cls)) from None

    def plain(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return self.model_dump(mode="json")

    @property
    def sha256(self) -> str:
        """The hash of the whole configuration."""
        return digest(self.plain())
