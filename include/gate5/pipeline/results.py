"""What each stage returns: small frozen dataclasses of plain JSON types, fit for XCom and ``--json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gate5.io.excerpt import counted
from gate5.io.plain import from_plain, to_plain

if TYPE_CHECKING:
    from gate5.evaluation import ScenarioComparison
    from gate5.robustness.monte_carlo import Chance

T = TypeVar("T", bound="StageResult")


@dataclass(frozen=True)
class StageResult:
    """Base of all stage results."""

    workspace: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls: type[T], data: dict[str, Any]) -> T:
        """The inverse of ``to_dict``; keys that a newer version added are ignored."""
        return from_plain(cls, data, newer=True)

    def line(self) -> str:
        """One line for a person."""
        return str(self)


@dataclass(frozen=True)
class ResolveResult(StageResult):
    """The candidate: where it came from and what it is."""

    source: str
    algorithm: str
    obs_dim: int
    act_dim: int
    parameters: int
    policy_sha256: str
    vecnormalize_sha256: str | None

    def line(self) -> str:
        normaliser = "with VecNormalize" if self.vecnormalize_sha256 else "without VecNormalize"
        return (
            f"{self.algorithm} policy {self.policy_sha256[:12]} from {self.source}: {self.obs_dim} observations, "
            f"{self.act_dim} actions, {self.parameters:,} parameters, {normaliser}"
        )


@dataclass(frozen=True)
class ExportResult(StageResult):
    """The ONNX graph and how far it is from the policy."""

    onnx_sha256: str
    max_abs_error: float | None
    compared: int

    def line(self) -> str:
        error = _number(self.max_abs_error)
        return f"ONNX {self.onnx_sha256[:12]}: largest error {error} on {self.compared:,} observations"


@dataclass(frozen=True)
class BuildResult(StageResult):
    """The engine."""

    backend: str
    precision: str
    device: str
    engine_sha256: str
    size: int

    def line(self) -> str:
        return (
            f"{self.backend} {self.precision} engine {self.engine_sha256[:12]} for {self.device}, {self.size:,} bytes"
        )


@dataclass(frozen=True)
class VerifyResult(StageResult):
    """How far the engine is from the ONNX graph."""

    max_abs_error: float | None
    nonfinite: int
    compared: int
    awaiting: str | None = None

    def line(self) -> str:
        if self.awaiting is not None:
            return f"awaiting proof, nothing compared: {self.awaiting}"
        bad = f", {self.nonfinite} not finite" if self.nonfinite else ""
        return (
            f"engine against ONNX: largest error {_number(self.max_abs_error)} on {self.compared:,} observations{bad}"
        )


@dataclass(frozen=True)
class BenchmarkResult(StageResult):
    """Latency of one inference, host to host, in milliseconds."""

    p50_ms: float | None
    p99_ms: float | None
    p99_upper_ms: float | None
    sla_p99_ms: float
    measurements: int = 1
    awaiting: str | None = None

    def line(self) -> str:
        if self.awaiting is not None:
            return f"awaiting proof, nothing timed: {self.awaiting}"
        times = f", measured {self.measurements} times, all samples together" if self.measurements > 1 else ""
        return (
            f"p50 {_number(self.p50_ms)} ms, p99 {_number(self.p99_ms)} ms, upper bound of p99 "
            f"{_number(self.p99_upper_ms)} ms (SLA: below {self.sla_p99_ms:g} ms){times}"
        )


@dataclass(frozen=True)
class EvaluateResult(StageResult):
    """One scenario: the engine and the baseline on the same seeds."""

    scenario: str
    episodes: int
    violations: int | None
    return_mean: float | None
    baseline_return_mean: float | None
    baseline_violations: int | None
    difference_low: float | None
    difference_high: float | None
    baseline: str = "PID"
    chance_episodes: int = 0
    chance_upper: float | None = None

    def line(self) -> str:
        text = (
            f"{self.scenario}: {counted(self.violations, 'violation')} in {counted(self.episodes, 'episode')}, "
            f"return {_number(self.return_mean)}"
        )
        if self.chance_episodes:
            text = f"{text}; {self.chance_episodes:,} more bound the chance at {_number(self.chance_upper)}"
        if self.baseline_return_mean is None:
            return text
        text = f"{text}; {self.baseline} {_number(self.baseline_return_mean)}"
        if self.difference_low is None and self.difference_high is None:  # one episode has no interval
            return text
        return f"{text}; difference [{_number(self.difference_low)}, {_number(self.difference_high)}]"


@dataclass(frozen=True)
class FalsifyResult(StageResult):
    """The worst case that a search found in one scenario; ``margin`` less the integration error."""

    scenario: str
    applicable: bool
    evaluations: int
    margin: float | None
    unit: str
    what: str
    violates: bool

    def line(self) -> str:
        if not self.applicable:
            return f"{self.scenario}: not applicable, the plant declares no disturbances"
        return f"{self.scenario}: worst of {self.evaluations:,} episodes: {self.what}"


@dataclass(frozen=True)
class StressResult(StageResult):
    """The robustness matrix of one scenario: violating episodes of how many, at expected levels and beyond."""

    scenario: str
    applicable: bool
    expected_violating: int
    expected_episodes: int
    beyond_violating: int
    beyond_episodes: int
    baseline_violating: int | None

    def line(self) -> str:
        if not self.applicable:
            return f"{self.scenario}: not applicable, the plant declares nothing that can go wrong"
        other = "" if self.baseline_violating is None else f"; the baseline {self.baseline_violating} in all"
        return (
            f"{self.scenario}: {self.expected_violating} of {self.expected_episodes} episodes violate as expected, "
            f"{self.beyond_violating} of {self.beyond_episodes} beyond{other}"
        )


@dataclass(frozen=True)
class CompareResult(StageResult):
    """All scenarios together."""

    scenarios: list[str]
    episodes: int
    violations: int | None
    better: list[str]
    worse: list[str]
    baseline: str = "PID"

    def line(self) -> str:
        numbers = ((len(self.scenarios), "scenario"), (self.episodes, "episode"), (self.violations, "violation"))
        text = f"{', '.join(counted(*each) for each in numbers)}; "
        if not self.baseline:
            return text + "no baseline to compare with"
        worse = f" ({', '.join(self.worse)})" if self.worse else ""
        return text + f"better than the baseline in {len(self.better)}, worse in {len(self.worse)}{worse}"


@dataclass(frozen=True)
class GateResult(StageResult):
    """Gate 5's verdict: ``pass``, ``awaiting proof``, ``fail`` or ``error``."""

    verdict: str
    reasons: list[str]

    def line(self) -> str:
        return f"Gate 5: {self.verdict.upper()}" + "".join(f"\n  - {reason}" for reason in self.reasons)


@dataclass(frozen=True)
class ReportResult(StageResult):
    """The HTML report."""

    path: str
    sha256: str

    def line(self) -> str:
        return f"report: {self.path}"


@dataclass(frozen=True)
class PromoteResult(StageResult):
    """The release in the store, and whether the channel moved to it."""

    outcome: str
    release_id: str
    channel: str
    sequence: int
    store: str
    approved_by: str | None
    sentence: str

    def line(self) -> str:
        return f"{self.sentence[:-1]}, in the store {self.store}."


@dataclass(frozen=True)
class RejectResult(StageResult):
    """Why the candidate is not released.

    Attributes:
        cause: ``gate`` (the verdict), ``person`` (who answered no: ``by``), ``silence`` (nobody answered in time),
            ``channel`` (it takes no such candidate), or ``again`` (the channel moved on, and a further run judges it);
            empty in what an older version wrote.
    """

    verdict: str
    reasons: list[str]
    cause: str = ""
    by: str | None = None

    def line(self) -> str:
        return "rejected:" + "".join(f"\n  - {reason}" for reason in self.reasons)


def evaluate_result(workspace: str, row: ScenarioComparison, bound: Chance | None) -> EvaluateResult:
    """The short form of a scenario's comparison."""
    metrics = row.metrics()

    def value(name: str) -> float | None:
        return metrics.get(f"evaluation.{row.scenario}.{name}")

    def count(name: str) -> int | None:
        found = value(name)
        return None if found is None else int(found)

    return EvaluateResult(
        workspace=workspace,
        scenario=row.scenario,
        episodes=count("rl.episodes") or 0,
        violations=count("rl.violations"),
        return_mean=value("rl.return_mean"),
        baseline_return_mean=value("baseline.return_mean"),
        baseline_violations=count("baseline.violations"),
        difference_low=value("difference.low"),
        difference_high=value("difference.high"),
        baseline=row.baseline_name,
        chance_episodes=0 if bound is None else bound.episodes,
        chance_upper=None if bound is None else bound.violation_probability_upper,
    )


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.4g}"
