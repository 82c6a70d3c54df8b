"""``RunConfig``: what ``gate5 run`` is told, in one YAML file; every key may be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from gate5.config.evaluation import BaselineConfig
from gate5.config.section import Section
from gate5.config.text import explain, override, read_yaml
from gate5.errors import ConfigError


class HandOverConfig(Section):
    """When the baseline takes over, and for how long."""

    deadline_ms: float | None = Field(
        None,
        gt=0,
        description="how long an answer may take; null: a fifth of the period, at most 100 ms; less in a late period",
    )
    hold_periods: int = Field(12, ge=1, description="periods without a cause before the policy drives again")
    latch: bool = Field(False, description="the baseline stays until a person gives the plant back")
    latch_wrong_answers: bool = Field(True, description="so it does after an answer that no judged engine gave")
    margin_periods: int = Field(
        2, ge=0, le=5, description="a constraint's margin that would be gone within so many periods hands over; 0: off"
    )
    margin_confirm_periods: int = Field(1, ge=1, description="predictions in a row before it does")
    envelope: bool = Field(True, description="hand over outside the release's signed operating envelope")
    envelope_periods: int = Field(1, ge=1, description="periods in a row outside before it does")
    frozen_periods: int = Field(3, ge=2, description="periods beyond the longest judged run of an unchanged reading")
    max_age_periods: float = Field(1.5, gt=0, description="an observation older than this is stale")
    lost_age_periods: float = Field(6.0, gt=0, description="one older than this is lost: the safe action")
    blend_periods: int = Field(4, ge=1, description="periods over which the policy takes back from the baseline")


class BindingConfig(Section):
    """How the plant is reached."""

    kind: Literal["simulator", "socket", "opcua"] = Field("simulator", description="one of the bindings")
    options: dict[str, Any] = Field(default_factory=dict, description="of that binding; docs/at-the-plant.md")
    test_rig: bool = Field(
        False, description="behind it is a model, no plant: period_s may differ, and hours count as a simulator's"
    )


class EngineProcessConfig(Section):
    """The process that answers."""

    threads: int = Field(1, ge=1, description="ONNX Runtime's intra-op threads")
    cpu: int | None = Field(None, ge=0, description="the CPU that it stays on; null: wherever there is room")
    start_timeout_s: float = Field(120.0, gt=0, description="how long it may take to load and to prove itself")
    restart_s: float = Field(1.0, ge=0, description="pause before a dead one is started again; doubles up to 60")
    hung_periods: int = Field(5, ge=1, description="answers missed in a row before it counts as hung and is ended")
    keep_warm_ms: int | None = Field(
        None, ge=0, description="a waiting engine is run this often; 0: never; null: every 1 ms on a GPU, else never"
    )
    hung_s: float = Field(0.5, ge=0, description="and for so long: a plant of 1 kHz must not end it for a hiccup")


class PullConfig(Section):
    """Fetching: `gate5 pull` in a process of its own."""

    config: str = Field(description="configuration file that names the store and the channel")
    every_s: float = Field(60.0, ge=1, description="how often")
    limits: str | None = Field(None, description="what this machine takes (pull.yaml); null: the default limits")
    require_proof: bool = Field(False, description="take only what was proved on such a device")


class UpdateConfig(Section):
    """A newer release that was pulled into the folder while another one drives."""

    follow: bool = Field(True, description="false: what drives at the start drives to the end")
    check_s: float = Field(1.0, gt=0, description="how often the folder is looked at")
    pull: PullConfig | None = Field(None, description="null: somebody else pulls")
    shadow_periods: int = Field(720, ge=1, description="so many periods it answers unapplied before it takes over")
    shadow_late: float = Field(0.01, ge=0, le=1, description="share of them that it may miss")
    probation_periods: int = Field(720, ge=0, description="so many periods the last one is kept warm to be put back")
    most_hand_overs: int = Field(0, ge=0, description="in them; more puts the last release back and holds this one")
    margin_loss: float = Field(
        0.2, ge=0, description="share of the last release's smallest margin that may be lost in them"
    )


class FlightConfig(Section):
    """The flight recorder."""

    record: bool | None = Field(None, description="null: where mcap is installed")
    folder: str | None = Field(None, description="null: flight in the plant's folder")
    file_mb: int = Field(64, ge=1, description="size of a file, in MB")
    total_mb: int = Field(1024, ge=2, description="of all files together; the oldest are removed")

    @model_validator(mode="after")
    def _room(self) -> FlightConfig:
        if self.total_mb < 2 * self.file_mb:
            raise ValueError(f"total_mb {self.total_mb} must hold two files of file_mb {self.file_mb}")
        return self


class MetricsConfig(Section):
    """Prometheus metrics and /healthz over HTTP."""

    address: str = Field("127.0.0.1", description="where to listen")
    port: int | None = Field(None, ge=1, le=65535, description="null: nowhere")


class EvidenceConfig(Section):
    """Signed summaries of what was driven, put into the store."""

    config: str = Field(description="configuration file that names the store")
    key: str = Field(description="private key file that signs them (`gate5 keygen`; it needs the scope `evidence`)")
    plant: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="the plant's name in them; null: this machine's"
    )
    every_s: float = Field(3600.0, ge=1, description="how long one summary may cover; another release begins another")


class RunConfig(Section):
    """All of it."""

    trust: list[str] = Field(default_factory=list, description="public key files that a release must be signed with")
    mode: Literal["control", "shadow"] = Field("control", description="shadow: the baseline drives")
    period_s: float | None = Field(
        None, gt=0, description="null: the plant's own control step; another is for a simulator or a test rig"
    )
    realtime: bool = Field(
        False,
        description="SCHED_FIFO for supervisor and engine, where the kernel permits it: for periods of milliseconds",
    )
    cpu: int | None = Field(None, ge=0, description="the CPU that the supervisor stays on; another than the engine's")
    baseline: BaselineConfig | None = Field(None, description="null: the one that the release was judged against")
    safe_action: Literal["hold"] | list[float] = Field(
        "hold", description="where the observation is lost: the last action, or one number for each actuator"
    )
    hand_over: HandOverConfig = Field(default_factory=HandOverConfig)
    binding: BindingConfig = Field(default_factory=BindingConfig)
    engine: EngineProcessConfig = Field(default_factory=EngineProcessConfig)
    update: UpdateConfig = Field(default_factory=UpdateConfig)
    flight: FlightConfig = Field(default_factory=FlightConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    evidence: EvidenceConfig | None = Field(None, description="null: nothing is sent")

    @classmethod
    def load(cls, path: str | Path | None, overrides: dict[str, Any] | None = None) -> RunConfig:
        """Read a YAML file (``None``: the defaults) and apply dotted overrides.

        Raises:
            ConfigError: the file is missing, is not YAML, or says something that a run cannot mean.
        """
        data: Any = {} if path is None else read_yaml(Path(path))
        source = "the built-in defaults" if path is None else str(path)
        if not isinstance(data, dict):
            raise ConfigError(f"{source} must be a mapping (`binding:` and so on), but it is {type(data).__name__}.")
        for key, value in (overrides or {}).items():
            override(data, key, value)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError(explain(error, source, cls)) from None
