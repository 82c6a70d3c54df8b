"""What an evaluation found, as frozen records of plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate5.evaluation.step_response import StepResponse, no_metrics
from gate5.evaluation.terms import TermResult, term_metrics
from gate5.io.plain import from_plain, to_plain


@dataclass(frozen=True)
class ConstraintResult:
    """One declared constraint over all episodes of one controller in one scenario.

    Attributes:
        name, variable, unit, low, high, catastrophic: as declared.
        checked: number of steps at which the constraint applied, summed over episodes.
        violations: number of those at which it was broken (a value that is not finite breaks it).
        violating_episodes: number of episodes that broke it at least once.
        smallest_margin: distance to the limit at the worst step, in ``unit``, negative where broken; ``None``: it never
            applied, or the value was not finite there (then ``violations`` says so).
        seed, time_s: episode and time of the worst step.
        first_violation_seed, first_violation_time_s: the earliest violation of the first episode that has one.
        applies: the boolean variable that says when the constraint holds; ``None``: always.
    """

    name: str
    variable: str
    unit: str
    low: float | None
    high: float | None
    catastrophic: bool
    checked: int
    violations: int
    violating_episodes: int
    smallest_margin: float | None
    seed: int | None
    time_s: float | None
    first_violation_seed: int | None
    first_violation_time_s: float | None
    applies: str | None = None


@dataclass(frozen=True)
class TrackingResult:
    """How a variable followed its set-point: over all steps of all episodes, in the variable's unit.

    Attributes:
        rmse: root mean square error.
        iae: integral of the absolute error over an episode, unit seconds, mean over episodes.
        worst: largest absolute error.
        response: overshoot and settling time; ``None``: no change of the set-point makes them meaningful, or the
            document is older than they are.
    """

    variable: str
    setpoint: str
    unit: str
    rmse: float | None
    iae: float | None
    worst: float | None
    response: StepResponse | None = None

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, without a prefix; ``None`` where a set-point makes them not meaningful."""
        response = no_metrics() if self.response is None else self.response.metrics()
        return {"rmse": self.rmse, "iae": self.iae, "worst": self.worst, **response}


@dataclass(frozen=True)
class ControllerResult:
    """One controller in one scenario.

    Attributes:
        driver: the engine's backend where a built engine drove the plant, else empty.
        engine_episodes: episodes that a built engine drove.
        steps: control steps that were checked, summed over episodes.
        violations: violating steps summed over constraints and episodes, plus solver failures, plus actions that were
            not finite, plus terminations that no declared constraint explains.
        violation_probability_upper: one-sided Clopper-Pearson bound of the chance that an episode violates.
        returns: the sum of rewards of each episode, in the order of the seeds.
        end_reasons: how many episodes ended how: ``completed``, ``constraint NAME``, ``solver failure``,
            ``terminated``.
    """

    driver: str
    episodes: int
    engine_episodes: int
    steps: int
    violations: int
    violating_episodes: int
    violation_probability_upper: float
    solver_failures: int
    nonfinite_actions: int
    unexplained_terminations: int
    returns: tuple[float | None, ...]
    return_mean: float | None
    return_std: float | None
    reward_per_step: float | None
    efficiency_mean: float | None
    tracking: tuple[TrackingResult, ...]
    constraints: tuple[ConstraintResult, ...]
    end_reasons: dict[str, int]

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, without a prefix."""
        flat: dict[str, float | None] = {
            name: getattr(self, name)
            for name in (
                "episodes", "engine_episodes", "steps", "violations", "violating_episodes",
                "violation_probability_upper", "solver_failures", "nonfinite_actions", "return_mean", "return_std",
                "reward_per_step", "efficiency_mean",
            )
        }  # fmt: skip
        for index, tracking in enumerate(self.tracking):
            names = [f"tracking.{tracking.variable}"] + (["tracking"] if index == 0 else [])
            for name in names:
                flat |= {f"{name}.{key}": value for key, value in tracking.metrics().items()}
        for constraint in self.constraints:
            flat[f"constraint.{constraint.name}.violations"] = constraint.violations
            flat[f"constraint.{constraint.name}.smallest_margin"] = constraint.smallest_margin
        return {name: None if value is None else float(value) for name, value in flat.items()}


@dataclass(frozen=True)
class Difference:
    """Policy minus baseline, paired on seeds, in units of the return.

    Attributes:
        low, high: bootstrap interval of the mean; ``None`` with fewer than two pairs.
        effect_size: Cohen's d of the paired differences.
        policy_better: number of pairs in which the policy's return is the larger one.
    """

    mean: float | None
    low: float | None
    high: float | None
    effect_size: float | None
    pairs: int
    policy_better: int


@dataclass(frozen=True)
class IntervalLook:
    """What an interval said of a veto's threshold after so many episodes (``gate5.evaluation.repeat``).

    Attributes:
        metric: the rule's, without ``evaluation.SCENARIO.``.
        low, high: the interval's ends in the metric's unit; ``None``: there is none.
        answer: ``yes``, ``no``, or ``neither``: more episodes were driven, where that was allowed.
    """

    metric: str
    episodes: int
    confidence: float
    low: float | None
    high: float | None
    threshold: float
    answer: str


@dataclass(frozen=True)
class CurrentComparison:
    """The policy against its channel's current release in one scenario, paired on seeds.

    Attributes:
        release: the current release's id; empty: there is none.
        driver: what ran it, ``its engine (onnxruntime fp32)``.
        result: what it did; ``None``: it did not drive, and ``why_not`` says why.
        difference: policy minus current release.
        terms: the objective's terms apart; ``baseline`` in them is the current release.
        why_not: half a sentence; empty where it drove.
    """

    release: str = ""
    driver: str = ""
    result: ControllerResult | None = None
    difference: Difference | None = None
    terms: tuple[TermResult, ...] = ()
    why_not: str = ""

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, without a prefix; none where it did not drive."""
        if self.result is None:
            return {}
        flat = self.result.metrics() | _difference_metrics(self.difference, self.result)
        return flat | {f"term.{name}": value for name, value in term_metrics(self.terms).items()}


@dataclass(frozen=True)
class EngineEffect:
    """The built engine minus a reference form of the same policy, on the same seeds: what the engine's arithmetic did.

    Attributes:
        reference: what the reference is, ``PyTorch 2.13.0, FP32``.
        return_mean, return_abs_max: of the differences of the returns; ``None``: a return is not finite.
        seed: of the episode with the largest difference.
        action_abs_max: largest difference of an action component while both episodes run, observations as they came.
        variable, unit, variable_abs_max, variable_seed, variable_time_s: the plant's variable that differs most beside
            its own range, by how much, and where; an empty name: none differs. A size of ``None`` beside a name: the
            value is finite in one of the two only.
        lengths_differ: episodes that ended at another step.
        reference_violations: violating steps where the reference drives (``ControllerResult.violations``).
    """

    reference: str
    episodes: int
    return_mean: float | None
    return_abs_max: float | None
    seed: int | None
    action_abs_max: float | None
    variable: str
    unit: str
    variable_abs_max: float | None
    variable_seed: int | None
    variable_time_s: float | None
    lengths_differ: int
    reference_violations: int

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, without a prefix; a difference that is not a number fails any limit."""
        return {
            "return_mean": math.inf if self.return_mean is None else self.return_mean,
            "return_abs_max": math.inf if self.return_abs_max is None else self.return_abs_max,
            "action_abs_max": math.inf if self.action_abs_max is None else self.action_abs_max,
            "lengths_differ": float(self.lengths_differ),
            "reference_violations": float(self.reference_violations),
        }


@dataclass(frozen=True)
class ScenarioComparison:
    """The policy against the baseline in one scenario, on the same seeds.

    Attributes:
        seeds: first seed; episode ``i`` ran on ``seeds + i``.
        variables: what the plant reports: ``{"name", "unit", "title"}`` each.
        actions: names of the action's components.
        trace: hashes of everything the plant reported after each further 60 steps: equal traces, same scenario.
        baseline_name: what a report calls the baseline; empty without one.
        reference: the engine against a reference form of the policy; ``None``: not compared.
        terms: the objective's terms apart; empty in documents that are older than they are.
        current: the channel's current release on the same seeds; ``None`` in documents that are older than this.
        looks: what the intervals said of vetoes; where that was neither yes nor no, more episodes were driven.
    """

    plant: str
    scenario: str
    phase: int
    title: str
    description: str
    steps: int
    dt_s: float
    seed: int
    episodes: int
    confidence: float
    bootstrap: int
    variables: tuple[dict[str, str], ...]
    actions: tuple[str, ...]
    rl: ControllerResult
    baseline: ControllerResult | None
    difference: Difference | None
    trace: tuple[str, ...]
    baseline_name: str = "PID"
    reference: EngineEffect | None = None
    terms: tuple[TermResult, ...] = ()
    current: CurrentComparison | None = None
    looks: tuple[IntervalLook, ...] = ()

    @property
    def planned(self) -> int:
        """The episodes that the configuration asked for, before any were added."""
        return self.looks[0].episodes if self.looks else self.episodes

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScenarioComparison:
        """The inverse of ``to_dict``."""
        return from_plain(cls, data)

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate: ``evaluation.SCENARIO.rl.violations`` and so on."""
        start = f"evaluation.{self.scenario}"
        flat = {f"{start}.rl.{name}": value for name, value in self.rl.metrics().items()}
        if self.baseline is None:
            flat[f"{start}.baseline.episodes"] = 0.0
        else:
            flat |= {f"{start}.baseline.{name}": value for name, value in self.baseline.metrics().items()}
        if self.difference is not None:
            flat |= {f"{start}.{name}": v for name, v in _difference_metrics(self.difference, self.baseline).items()}
        if self.reference is not None:
            flat |= {f"{start}.engine_effect.{name}": value for name, value in self.reference.metrics().items()}
        flat |= {f"{start}.term.{name}": value for name, value in term_metrics(self.terms).items()}
        return flat | {f"{start}.current.{name}": value for name, value in self._current_metrics().items()}

    def _current_metrics(self) -> dict[str, float | None]:
        """Every name that a current release has numbers of, without a number where it did not drive."""
        names = [*self.rl.metrics(), *_difference_metrics(None, None), *(f"term.{n}" for n in term_metrics(self.terms))]
        return dict.fromkeys(names) | (self.current.metrics() if self.current else {})


def _difference_metrics(difference: Difference | None, other: ControllerResult | None) -> dict[str, float | None]:
    """Its ends, and the low one in percent of the other's mean return; ``None``: one is missing, or that is 0."""
    flat: dict[str, float | None] = {
        f"difference.{name}": getattr(difference, name, None) for name in ("mean", "low", "high", "effect_size")
    }
    low, size = flat["difference.low"], None if other is None else other.return_mean
    flat["difference.low_percent"] = None if low is None or not size else 100.0 * low / abs(size)
    return flat
