"""``ReleaseConfig``: everything a release can be told, in one YAML file.

Unknown keys, wrong types and values out of range end in a ``ConfigError`` that names the key, the value and what would
be right. This module imports nothing of gate5 but its errors, so that every other module can take a section of it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gate5._json import digest
from gate5.errors import ConfigError

SCENARIOS = (
    "steady_state",
    "load_following",
    "ambient_disturbance",
    "eaf_transients",
    "load_rejection",
    "cold_startup",
    "emergency_trip",
)


class Section(BaseModel):
    """A part of the configuration: immutable, and closed against unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PlantConfig(Section):
    """Which plant the policy is to drive."""

    id: str = Field("sco2", description="`sco2`, `gymnasium:ENV_ID` or `module:factory`")
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the plant's factory")


class CheckpointConfig(Section):
    """How a checkpoint is read."""

    trust_pickle: bool = Field(
        False, description="unpickle the checkpoint with no restriction: it can then run any code on this machine"
    )


class ExportConfig(Section):
    """How the policy becomes an ONNX graph."""

    opset: int = Field(17, ge=13, le=20)
    samples: int = Field(2000, ge=1000, description="observations on which ONNX is compared with the policy")


class ProfileConfig(Section):
    """The optimisation profile: batch sizes that the engine takes."""

    min_batch: int = Field(1, ge=1)
    opt_batch: int = Field(1, ge=1)
    max_batch: int = Field(512, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> ProfileConfig:
        if not self.min_batch <= self.opt_batch <= self.max_batch:
            raise ValueError(
                f"min_batch <= opt_batch <= max_batch does not hold: "
                f"{self.min_batch}, {self.opt_batch}, {self.max_batch}"
            )
        if self.min_batch != 1:
            raise ValueError(f"min_batch is {self.min_batch}, but a plant asks for one action at a time: set it to 1")
        return self


class EngineConfig(Section):
    """How the engine is built and run."""

    backend: Literal["auto", "tensorrt", "onnxruntime"] = Field(
        "auto", description="`auto`: TensorRT where it and a GPU are there, else ONNX Runtime on the CPU"
    )
    precision: Literal["fp16", "fp32", "bf16"] = Field("fp16", description="TensorRT only; ONNX Runtime runs FP32")
    profile: ProfileConfig = Field(default_factory=ProfileConfig)
    optimization_level: int = Field(5, ge=0, le=5)
    workspace_mib: int = Field(256, ge=1)
    tactic_sources: int | None = Field(None, description="bit mask for set_tactic_sources; null: TensorRT's default")
    threads: int = Field(1, ge=1, description="ONNX Runtime's intra-op threads")


class ParityConfig(Section):
    """How the engine is compared with the ONNX graph."""

    samples: int = Field(2000, ge=100, description="observations of each kind: rollout, interior, corners, far outside")
    seed: int = 5


class LatencyConfig(Section):
    """How latency is measured: host to host, one observation at a time, on real observations."""

    iterations: int = Field(20_000, ge=1000, description="timed inferences back to back")
    warmup: int = Field(2_000, ge=0)
    cadence_ms: float = Field(5.0, gt=0, description="idle gap between the inferences of the second series")
    cadence_iterations: int = Field(1_000, ge=0)
    blocks: int = Field(10, ge=1, description="the back-to-back series is taken in this many blocks")
    confidence: float = Field(0.99, gt=0.5, lt=1, description="of the upper bound of p99")
    cpu: int | None = Field(None, ge=0, description="pin the measuring thread to this CPU; null: the quietest one")


class EvaluationConfig(Section):
    """How the engine drives the plant and what it is compared with."""

    scenarios: tuple[str, ...] | None = Field(None, description="null: every scenario that the plant declares")
    episodes: int = Field(50, ge=1)
    seed: int = Field(20_000, ge=0, description="episode i runs on seed + i, the same for policy and baseline")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    bootstrap: int = Field(2_000, ge=100)


class BaselineConfig(Section):
    """The controller that the policy is compared with."""

    kind: Literal["pid", "none"] = "pid"
    gains: str | None = Field(None, description="a JSON file of PID gains; null: the plant's tuned ones")


Operator = Literal["<", "<=", ">", ">=", "=="]


class RuleConfig(Section):
    """One rule of Gate 5: ``metric op threshold``.

    A ``*`` in the metric stands for every scenario that the release has to cover; the rule then holds for each of them.
    """

    name: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    op: Operator
    threshold: float | Literal["sla_p99_ms"]
    veto: bool = Field(True, description="false: advisory, shown but without a say")
    why: str = Field("", description="one sentence for the reader of the verdict")


def _default_rules() -> tuple[RuleConfig, ...]:
    rule = RuleConfig
    return (
        rule(name="onnx_parity", metric="parity.onnx.max_abs_error", op="<", threshold=1e-4,
             why="The exported graph is the trained policy."),
        rule(name="engine_parity", metric="parity.engine.max_abs_error", op="<", threshold=1e-2,
             why="The built engine is the exported graph."),
        rule(name="latency_p99", metric="latency.p99_upper_ms", op="<", threshold="sla_p99_ms",
             why="The upper confidence bound of p99, host to host, meets the SLA."),
        rule(name="no_violations", metric="evaluation.*.rl.violations", op="==", threshold=0,
             why="No declared constraint is broken in any episode that the built engine drives."),
        rule(name="compared_with_pid", metric="evaluation.*.baseline.episodes", op=">=", threshold=1,
             why="Every scenario is compared with the PID baseline."),
        rule(name="emergency_trip_shown", metric="evaluation.emergency_trip.rl.engine_episodes", op=">=", threshold=1,
             why="The emergency trip was driven by the engine that is to be released."),
        rule(name="not_worse_than_pid", metric="evaluation.*.difference.high", op=">=", threshold=0, veto=False,
             why="The interval of (policy - PID) return reaches zero or lies above it."),
    )  # fmt: skip


class GateConfig(Section):
    """Gate 5."""

    sla_p99_ms: float = Field(1.0, gt=0, description="the latency that the SLA allows, in milliseconds")
    rules: tuple[RuleConfig, ...] = Field(default_factory=_default_rules, min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> GateConfig:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules have the name {twice[0]!r}: give each its own")
        if not any(rule.veto for rule in self.rules):
            raise ValueError("no rule has a veto, so that everything would pass: set `veto: true` on at least one")
        return self


class StoreConfig(Section):
    """Where releases are published."""

    uri: str = Field("var/store", description="a directory or s3://BUCKET/PREFIX")
    endpoint: str | None = Field(None, description="the S3 server's URL where it is not AWS")
    region: str | None = None
    signing_key: str = Field("var/keys/release.pem", description="Ed25519 private key (`gate5 keygen`)")
    connection: str | None = Field(None, description="Airflow connection id that holds the S3 credentials")


class ReleaseSection(Section):
    """What happens to a candidate that passes."""

    channel: str = Field("production", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    require_backend: Literal["tensorrt", "onnxruntime"] | None = Field(
        None, description="refuse an engine of another backend on this channel"
    )
    approval: Literal["none", "required"] = "none"
    approval_timeout_hours: float = Field(24.0, gt=0, description="after this long without an answer: rejected")


class ScheduleConfig(Section):
    """When the release DAG starts by itself, besides on the asset `gate5_candidate`."""

    cron: str | None = Field(None, description="a cron expression, UTC; null: only on the asset and by hand")


class ReleaseConfig(Section):
    """One release's whole configuration; ``ReleaseConfig()`` is the default."""

    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    plant: PlantConfig = Field(default_factory=PlantConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    parity: ParityConfig = Field(default_factory=ParityConfig)
    latency: LatencyConfig = Field(default_factory=LatencyConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    baseline: BaselineConfig = Field(default_factory=BaselineConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    release: ReleaseSection = Field(default_factory=ReleaseSection)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, overrides: dict[str, Any] | None = None) -> ReleaseConfig:
        """Read a YAML file (``None``: the defaults) and apply dotted overrides such as ``{"release.channel": "test"}``.

        Raises:
            ConfigError: the file is missing, is not YAML, or says something that a release cannot mean.
        """
        data: Any = {}
        source = "the built-in defaults" if path is None else str(path)
        if path is not None:
            data = _read_yaml(Path(path))
        for key, value in (overrides or {}).items():
            _set(data, key, value)
        return cls.parse(data, source)

    @classmethod
    def parse(cls, data: Any, source: str = "the configuration") -> ReleaseConfig:
        """Validate plain data; ``source`` is what an error calls it."""
        if not isinstance(data, dict):
            raise ConfigError(
                f"{source} must be a mapping of sections (`gate:` and so on), but it is {type(data).__name__}."
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError(_explain(error, source)) from None

    def plain(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return self.model_dump(mode="json")

    @property
    def sha256(self) -> str:
        """The hash of the whole configuration."""
        return digest(self.plain())


def home() -> Path:
    """The folder that relative paths in a configuration start from: ``$GATE5_HOME``, else the current folder."""
    return Path(os.environ.get("GATE5_HOME") or ".").absolute()


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """An absolute path; a relative one starts at ``home()``."""
    return (home() / Path(path).expanduser()).absolute()


def _read_yaml(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The configuration {path} cannot be read ({error.strerror}); give another with --config, "
            "or copy config/release.yaml."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"The configuration {path} is not UTF-8 text; is it a YAML file?") from None
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"The configuration {path} is not valid YAML{where}: {getattr(error, 'problem', error)}."
        ) from None


def _set(data: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        if not isinstance(data, dict):
            raise ConfigError(f"The override {key!r} goes through {name!r}, which is not a section.")
        data = data.setdefault(name, {})
        if data is None:
            raise ConfigError(f"The section {name!r} is empty in the file; remove the line or give it keys.")
    if not isinstance(data, dict):
        raise ConfigError(f"The override {key!r} does not lead into a section.")
    data[last] = value


def _explain(error: ValidationError, source: str) -> str:
    problems = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
        if item["type"] == "extra_forbidden":
            problems.append(_unknown_key(item["loc"], where))
        else:
            message = item["msg"].removeprefix("Value error, ")
            value = "" if isinstance(item["input"], dict) else f" (got {item['input']!r})"
            problems.append(f"{where or 'the whole'}: {message}{value}")
    return f"In {source}: " + "; ".join(problems) + "."


def _unknown_key(location: tuple[int | str, ...], where: str) -> str:
    known = sorted(_fields_at(location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the keys here are {', '.join(known)}"
    return f"unknown key {where!r}: {hint}"


def _fields_at(location: tuple[int | str, ...]) -> Annotated[list[str], "field names"]:
    model: type[BaseModel] = ReleaseConfig
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        found = _model_in(annotation)
        if found is None:
            return []
        model = found
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
