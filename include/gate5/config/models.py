"""``ReleaseConfig``: everything a release can be told, in one YAML file.

Unknown keys, wrong types and values out of range end in a ``ConfigError`` that names the key, the value and what would
be right. This module imports nothing of gate5 but other leaves, so that every other module can take a section of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from gate5.config.backends import BackendChoice, BackendName
from gate5.config.operators import OperatorName
from gate5.config.section import Section, json_types
from gate5.config.text import explain, override, read_yaml
from gate5.config.tighten import tighten
from gate5.errors import ConfigError
from gate5.io.canonical import digest


class PlantConfig(Section):
    """Which plant the policy is to drive."""

    id: str = Field("sco2", description="`sco2`, `gymnasium:ENV_ID`, `fmu:PATH` or `module:factory`")
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the plant's factory")

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_types(value, "options of a plant")


class CheckpointConfig(Section):
    """How a checkpoint is read."""

    trust_pickle: bool = Field(
        False, description="unpickle the checkpoint with no restriction: it can then run any code on this machine"
    )
    vecnormalize: str | None = Field(
        None,
        min_length=1,
        description="the file of VecNormalize's statistics, or `none` for a policy trained without; null: look for it",
    )
    frame_stack: int = Field(
        1, ge=1, le=64, description="observations that VecFrameStack put into one; the archive does not say"
    )


class ExportConfig(Section):
    """How the policy becomes an ONNX graph."""

    opset: int = Field(17, ge=13, le=20, description="ONNX operator set of the graph")
    samples: int = Field(2000, ge=1000, description="observations on which ONNX is compared with the policy")


class ProfileConfig(Section):
    """The optimisation profile: batch sizes that the engine takes."""

    min_batch: int = Field(1, ge=1, description="always 1: a plant asks for one action at a time")
    opt_batch: int = Field(1, ge=1, description="the batch that TensorRT tunes its kernels for")
    max_batch: int = Field(512, ge=1, description="the largest batch; evaluations run in chunks of it")

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

    backend: BackendChoice = Field(
        "auto", description="`auto`: TensorRT where it and a GPU are there, else ONNX Runtime on the CPU"
    )
    precision: Literal["fp16", "fp32", "bf16"] = Field(
        "fp16", description="TensorRT and TensorRT-RTX only; ONNX Runtime runs FP32"
    )
    targets: tuple[Annotated[str, Field(pattern=r"^sm[0-9]{2,3}$")], ...] = Field(
        ("sm121",),
        min_length=1,
        description="TensorRT-RTX only: the GPUs that it builds for; sm121: DGX Spark",
    )
    profile: ProfileConfig = Field(default_factory=ProfileConfig, description="batch sizes")
    optimization_level: int = Field(5, ge=0, le=5, description="TensorRT's builder: 5 tries the most kernels")
    builds: int = Field(
        5,
        ge=1,
        description="plans that TensorRT's builder makes and we time, of each form one at least",
    )
    workspace_mib: int = Field(256, ge=1, description="GPU memory that TensorRT may use while it builds")
    tactic_sources: int | None = Field(None, description="bit mask for set_tactic_sources; null: TensorRT's default")
    threads: int = Field(1, ge=1, description="ONNX Runtime's intra-op threads")


class ParityConfig(Section):
    """How the engine is compared with the ONNX graph."""

    samples: int = Field(2000, ge=100, description="observations of each kind: rollout, interior, corners, far outside")
    seed: int = Field(5, ge=0, description="of the drawn observations")


class LatencyConfig(Section):
    """How latency is measured: host to host, one observation at a time, on real observations."""

    iterations: int = Field(20_000, ge=1000, description="timed inferences back to back")
    warmup: int = Field(2_000, ge=0, description="inferences before the first timed one")
    gaps_ms: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0, 5.0), description="idle gaps before an inference that are measured beside the largest one"
    )
    cadence_ms: float | None = Field(
        None, gt=0, description="the largest idle gap; null: the plant's own control period, up to `cadence_cap_ms`"
    )
    cadence_cap_ms: float = Field(20.0, gt=0, description="the largest idle gap that a run can afford")
    cadence_seconds: float = Field(10.0, gt=0, description="how long one gap may be measured, in seconds")
    cadence_iterations: int = Field(
        1_000,
        ge=0,
        description="timed inferences of each gap at most; with too few for a bound of p99 that rule is not met",
    )
    keep_warm_ms: float | None = Field(
        None, gt=0, description="measure the largest gap again with an inference this often in between; null: do not"
    )
    blocks: int = Field(10, ge=1, description="the back-to-back series is taken in this many blocks")
    confidence: float = Field(0.99, gt=0.5, lt=1, description="of the upper bound of p99")
    cpu: int | None = Field(None, ge=0, description="pin the measuring thread to this CPU; null: the calmest one")


class EvaluationConfig(Section):
    """How the engine drives the plant and what it is compared with."""

    scenarios: tuple[str, ...] | None = Field(
        None, min_length=1, description="names; null: every scenario that the plant declares"
    )
    episodes: int = Field(50, ge=1, description="of each scenario")
    seed: int = Field(20_000, ge=0, description="episode i runs on seed + i, the same for policy and baseline")
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="of the paired interval and of the violation probability's upper bound"
    )
    bootstrap: int = Field(2_000, ge=100, description="resamples of the paired interval")
    sensors: bool = Field(
        False, description="the plant's declared instruments (lag, noise, class) lie between plant and policy"
    )
    accept_undeclared: bool = Field(
        False, description="judge a plant that declares no instruments or disturbances as it is; the report says so"
    )
    quick: bool = Field(False, description="set by --quick: the budgets were cut, and the verdict and report say so")
    monte_carlo: int = Field(
        3_000,
        ge=0,
        description="further episodes of each scenario, on seeds of the candidate's own, that bound the chance of a "
        "violation; 0: the bound is that of `episodes`",
    )
    margins: dict[str, float] = Field(
        default_factory=dict,
        description="by term of the objective: how much worse than the baseline counts as no worse; none: the plant's",
    )

    @field_validator("margins")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for name, margin in value.items():
            if not margin >= 0:
                raise ValueError(f"the margin of {name!r} is {margin:g}: give 0 or more")
        return value

    @field_validator("scenarios")
    @classmethod
    def _once_each(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in value or () if (value or ()).count(name) > 1]
        if twice:
            raise ValueError(f"the scenario {twice[0]!r} is there twice: give each once")
        return value


class FalsificationConfig(Section):
    """The search for the worst case within the plant's declared ranges."""

    control_steps: int = Field(
        2_000_000, gt=0, description="budget of each scenario, about 20 s on one CPU; an episode costs its length"
    )
    seed: int = Field(0, ge=0, lt=1_000_000, description="of the search")


class StressConfig(Section):
    """The robustness matrix: what the plant declares can go wrong, level by level."""

    episodes: int = Field(4, ge=1, description="of each class, level and scenario, for policy and baseline")
    seed: int = Field(0, ge=0, lt=1_000_000, description="of the episodes")


class BaselineConfig(Section):
    """The controller that the policy is compared with."""

    kind: Literal["pid", "policy", "none"] = Field(
        "pid", description="`policy`: another trained policy; `none`: no comparison, which the default rules refuse"
    )
    gains: str | None = Field(None, description="a JSON file of PID gains; null: the plant's tuned ones")
    checkpoint: str | None = Field(
        None, description="of `kind: policy`: a directory, a .zip or an s3:// URI, read as safely as the candidate"
    )
    vecnormalize: str | None = Field(
        None, min_length=1, description="of `kind: policy`: as checkpoint.vecnormalize, for this policy"
    )

    @model_validator(mode="after")
    def _checkpoint_goes_with_policy(self) -> BaselineConfig:
        if self.kind == "policy" and self.checkpoint is None:
            raise ValueError("kind is 'policy', but there is no checkpoint: set checkpoint to the other policy")
        if self.kind != "policy" and self.checkpoint is not None:
            raise ValueError(
                f"checkpoint is {self.checkpoint!r}, but kind is {self.kind!r}: set kind to policy, or remove it"
            )
        if self.kind == "policy" and self.gains is not None:
            raise ValueError(f"gains is {self.gains!r}, but kind is 'policy', which has none: remove it")
        return self


class RuleConfig(Section):
    """One rule of Gate 5: ``metric op threshold``.

    A ``*`` in the metric stands for every scenario that the release has to cover; the rule then holds for each of them.
    """

    name: str = Field(min_length=1, description="what the verdict calls it; no two rules share one")
    metric: str = Field(min_length=1, description="what is judged (docs/gate5.md lists all metrics)")
    op: OperatorName = Field(description="the comparison; in YAML write it in quotes")
    threshold: float | Literal["sla_p99_ms"] = Field(description="a number, or `sla_p99_ms` for the SLA above")
    veto: bool = Field(True, description="false: advisory, shown but without a say")
    why: str = Field("", description="one sentence for the reader of the verdict")


def _default_rules() -> tuple[RuleConfig, ...]:
    rule = RuleConfig
    return (
        rule(name="onnx_parity", metric="parity.onnx.max_abs_error", op="<", threshold=1e-4,
             why="The exported graph is the trained policy."),
        rule(name="onnx_parity_far", metric="parity.onnx.far.beyond_reference", op="<", threshold=1e-4, veto=False,
             why="Far outside the observation space, too, beyond what the policy differs from itself between batches."),
        rule(name="engine_parity", metric="parity.engine.max_abs_error", op="<", threshold=1e-2,
             why="The built engine is the exported graph."),
        rule(name="engine_repeats", metric="parity.engine.repeat_mismatches", op="==", threshold=0,
             why="The same observation gives the same bits every time."),
        rule(name="latency_p99", metric="latency.p99_upper_ms", op="<", threshold="sla_p99_ms",
             why="The upper confidence bound of p99, host to host, meets the SLA."),
        rule(name="latency_p99_cadence", metric="latency.cadence.p99_upper_ms", op="<", threshold="sla_p99_ms",
             veto=False,
             why="So does it after a plant's idle gaps. A veto only where the controller has a CPU of its own."),
        rule(name="no_violations", metric="evaluation.*.rl.violations", op="==", threshold=0,
             why="No declared constraint is broken in any episode that the built engine drives."),
        rule(name="disturbances_declared", metric="evidence.declared", op="==", threshold=1,
             why="The plant declares what can disturb it, or the configuration accepts that it does not."),
        rule(name="full_evidence", metric="evidence.quick", op="==", threshold=0, veto=False,
             why="The run had its whole budgets; one with --quick proves less."),
        rule(name="violation_bound", metric="evaluation.*.rl.violation_probability_upper", op="<", threshold=0.001,
             veto=False, why="With 95 % confidence fewer than one episode in a thousand breaks a constraint."),
        rule(name="worst_case", metric="worst_case.*.margin", op=">", threshold=0, veto=False,
             why="The worst case within the declared ranges keeps every limit by more than the integration error."),
        rule(name="robust_as_expected", metric="stress.*.expected.violating_episodes", op="==", threshold=0,
             veto=False, why="What the plant declares as expected of instruments, loop and parameters breaks nothing."),
        rule(name="robust_beyond", metric="stress.*.beyond.more_than_baseline", op="<=", threshold=0, veto=False,
             why="Beyond that the policy breaks no more episodes than the baseline."),
        rule(name="compared_with_pid", metric="evaluation.*.baseline.episodes", op=">=", threshold=1,
             why="Every scenario is compared with the PID baseline."),
        rule(name="emergency_trip_shown", metric="evaluation.emergency_trip.rl.engine_episodes", op=">=", threshold=1,
             why="The emergency trip was driven by the engine that is to be released."),
        rule(name="not_worse_than_pid", metric="evaluation.*.difference.low_percent", op=">=", threshold=-0.05,
             veto=False, why="The whole interval of (policy - PID) lies above -0.05 % of the PID's return."),
        rule(name="no_term_worse_than_pid", metric="evaluation.*.term.essential_inferior", op="==", threshold=0,
             veto=False, why="Power, turbine inlet, heat and casing: none beyond its margin worse than the PID's."),
        rule(name="no_other_term_worse", metric="evaluation.*.term.other_inferior", op="==", threshold=0, veto=False,
             why="Nor is any other term of the objective."),
    )  # fmt: skip


class GateConfig(Section):
    """Gate 5."""

    sla_p99_ms: float = Field(1.0, gt=0, description="the latency that the SLA allows, in milliseconds")
    rules: tuple[RuleConfig, ...] = Field(
        default_factory=_default_rules, min_length=1, description="all of them; a list here replaces the default one"
    )

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
    region: str | None = Field(None, description="the S3 region, where the server wants one")
    signing_key: str = Field("var/keys/release.pem", description="Ed25519 private key (`gate5 keygen`)")
    connection: str | None = Field(None, description="Airflow connection id that holds the S3 credentials")


class ReleaseSection(Section):
    """What happens to a candidate that passes."""

    channel: str = Field(
        "production", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="the log of releases that plants follow"
    )
    require_backend: BackendName | None = Field(None, description="refuse an engine of another backend on this channel")
    approval: Literal["none", "required"] = Field(
        "none", description="`required`: a person decides between Gate 5 and the promotion"
    )
    approval_timeout_hours: float = Field(24.0, gt=0, description="after this long without an answer: rejected")


class ChannelConfig(Section):
    """What a channel demands of every release, whatever a run, its form or its own `release` and `gate` say."""

    require_backend: BackendName | None = Field(None, description="refuse an engine of another backend")
    approval: Literal["none", "required"] = Field("none", description="`required`: a person decides")
    approvers: tuple[str, ...] | None = Field(None, min_length=1, description="who may approve; null: anybody")
    signatures: int = Field(1, ge=1, le=9, description="of this many keys a promotion needs a signature")
    sla_p99_ms: float | None = Field(None, gt=0, description="the largest SLA that a run may judge by")
    rules: tuple[RuleConfig, ...] = Field((), description="rules that every run is judged by, at least as strictly")
    scenarios: tuple[str, ...] | None = Field(None, min_length=1, description="scenarios that every run covers")
    episodes: int | None = Field(None, ge=1, description="the least number of episodes of each scenario")
    quick: bool = Field(False, description="whether a run with --quick, which proves less, may be promoted")
    freeze: str | None = Field(None, min_length=1, description="why nothing is promoted at present; null: not frozen")


class ScheduleConfig(Section):
    """When the release DAG starts by itself, besides on the asset `gate5_candidate`."""

    cron: str | None = Field(None, description="a cron expression, UTC; null: only on the asset and by hand")


class RetrainConfig(Section):
    """How the DAG `policy_retrain` trains candidates for this release, and when."""

    cron: str | None = Field(None, description="a cron expression, UTC; null: only by hand")
    folder: str = Field(
        "var/candidates",
        min_length=1,
        description="where candidates go, a folder per run: a directory or s3://BUCKET/PREFIX",
    )
    steps: int = Field(1_000_000, ge=0, description="environment steps of PPO")
    seed: int | None = Field(None, ge=0, description="null: each run has its own, derived from its name")
    imitation: bool = Field(True, description="start from the plant's PID; false: from random weights")
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="numbers of the training itself: mappings `imitation`, `ppo`, `polish`"
    )
    episodes: int = Field(2, ge=1, description="of each scenario in the quick check before a candidate is announced")
    check_seed: int = Field(30_000, ge=0, description="of the quick check's first episode")

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_types(value, "options of the training")


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
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    retrain: RetrainConfig = Field(default_factory=RetrainConfig)

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
        if own.release.channel != run.release.channel:
            return run
        said = own.release.model_dump(include={"approval", "require_backend"})
        if "sla_p99_ms" in own.gate.model_fields_set:
            said["sla_p99_ms"] = own.gate.sla_p99_ms
        return run.tightened(ChannelConfig(**said))

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
