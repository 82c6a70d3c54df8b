"""The rules of Gate 5, the default ones among them: the section `gate`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field, model_validator

from gate5.config.operators import OperatorName
from gate5.config.section import Section
from gate5.errors import ConfigError


class RuleConfig(Section):
    """One rule of Gate 5: ``metric op threshold``.

    A ``*`` in the metric stands for every scenario that the release has to cover; the rule then holds for each of them.
    """

    name: str = Field(min_length=1, description="what the verdict calls it; no two rules share one")
    metric: str = Field(min_length=1, description="what is judged (docs/gate5.md lists all metrics)")
    op: OperatorName = Field(description="the comparison; in YAML write it in quotes")
    threshold: float | Literal["sla_p99_ms"] = Field(description="a number, or `sla_p99_ms` for the SLA above")
    by_scenario: dict[str, float] = Field(
        default_factory=dict, description="by scenario, where a metric has a `*`: another threshold than that"
    )
    veto: bool | Literal["unattended"] = Field(
        True,
        description="false: advisory, shown but without a say; `unattended`: a veto only in a run that nobody started "
        "by hand",
    )
    why: str = Field("", description="one sentence for the reader of the verdict")

    @model_validator(mode="after")
    def _scenarios_go_with_a_star(self) -> RuleConfig:
        if self.by_scenario and "*" not in self.metric:
            raise ValueError(f"by_scenario is given, but the metric {self.metric!r} has no *: remove one of the two")
        return self

    def vetoes(self, unattended: bool) -> bool:
        """Whether it has a say in a run that nobody started by hand, or in one that somebody did."""
        return unattended if self.veto == "unattended" else bool(self.veto)


#: Default rules that a handful of episodes cannot show; for benchmarks and tests with small budgets.
OF_MANY_EPISODES = ("violation_bound", "no_term_worse_than_pid")


def default_rules(advisory: Collection[str] = ()) -> tuple[RuleConfig, ...]:
    """The rules where a configuration has none of its own.

    Args:
        advisory: names of rules that shall have no veto: a run with a small budget cannot show a ``violation_bound``.

    Raises:
        ConfigError: there is no rule of such a name.
    """
    rules = _default_rules()
    unknown = set(advisory) - {rule.name for rule in rules}
    if unknown:
        raise ConfigError(f"No default rule is called {min(unknown)!r}; they are {', '.join(r.name for r in rules)}.")
    return tuple(rule.model_copy(update={"veto": False}) if rule.name in advisory else rule for rule in rules)


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
             why="With 95 % confidence fewer than one episode in a thousand breaks a constraint."),
        rule(name="worst_case", metric="worst_case.*.margin", op=">", threshold=0,
             why="The worst case within the declared ranges keeps every limit by more than the integration error."),
        rule(name="robust_as_expected", metric="stress.*.expected.violating_episodes", op="==", threshold=0,
             why="What the plant declares as expected of instruments, loop and parameters breaks nothing."),
        rule(name="robust_beyond", metric="stress.*.beyond.more_than_baseline", op="<=", threshold=0, veto=False,
             why="Beyond that the policy breaks no more episodes than the baseline."),
        rule(name="compared_with_pid", metric="evaluation.*.baseline.episodes", op=">=", threshold=1,
             why="Every scenario is compared with the PID baseline."),
        rule(name="emergency_trip_shown", metric="evaluation.emergency_trip.rl.engine_episodes", op=">=", threshold=1,
             why="The emergency trip was driven by the engine that is to be released."),
        rule(name="not_worse_than_pid", metric="evaluation.*.difference.low_percent", op=">=", threshold=-0.05,
             veto=False, why="The whole interval of (policy - PID) lies above -0.05 % of the PID's return."),
        rule(name="not_worse_than_current", metric="evaluation.*.current.difference.low_percent", op=">=",
             threshold=-0.05, veto="unattended",
             why="Nothing better is replaced by something worse: the whole interval of (policy - the channel's current "
             "release) lies above -0.05 % of that one's return."),
        rule(name="no_term_worse_than_pid", metric="evaluation.*.term.essential_inferior", op="==", threshold=0,
             why="Power, turbine inlet, heat and casing: none beyond its margin worse than the PID's."),
        rule(name="no_other_term_worse", metric="evaluation.*.term.other_inferior", op="==", threshold=0, veto=False,
             why="Nor is any other term of the objective."),
    )  # fmt: skip


class GateConfig(Section):
    """Gate 5."""

    sla_p99_ms: float = Field(1.0, gt=0, description="the latency that the SLA allows, in milliseconds")
    repeat: int = Field(
        3,
        ge=1,
        le=9,
        description="how often a measurement that says neither yes nor no is made at most, all samples together; "
        "1: once",
    )
    rules: tuple[RuleConfig, ...] = Field(
        default_factory=_default_rules, min_length=1, description="all of them; a list here replaces the default one"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> GateConfig:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules have the name {twice[0]!r}: give each its own")
        if not any(rule.veto is True for rule in self.rules):
            raise ValueError("no rule has a veto, so that everything would pass: set `veto: true` on at least one")
        return self
