"""Gate 5: nothing that was not measured, is not finite, or has no limit may ever pass."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.gate import RuleConfig
from gate5.config.models import ReleaseConfig
from gate5.config.operators import OPERATORS
from gate5.errors import WorkspaceError
from gate5.gate.judge import judge, judged_by
from gate5.gate.report import GateReport, RuleResult
from tests.support.scenarios import SCENARIOS

operators = st.sampled_from(list(OPERATORS))
finite = st.floats(allow_nan=False, allow_infinity=False)
measurements = st.one_of(st.none(), st.floats())


def rule(op: str = "<", threshold: float = 1.0, **other: Any) -> RuleConfig:
    return RuleConfig(**{"name": "r", "metric": "m", "op": op, "threshold": threshold, **other})


def only(value: float | None, op: str = "<", threshold: float = 1.0) -> RuleResult:
    (result,) = judge([rule(op, threshold)], {"m": value}, [], 1.0).rules
    return result


def good_metrics() -> dict[str, float | None]:
    """Metrics with which every default rule passes."""
    metrics: dict[str, float | None] = {
        "evidence.declared": 1.0,
        "evidence.quick": 0.0,
        "parity.onnx.max_abs_error": 3e-6,
        "parity.onnx.far.beyond_reference": 0.0,
        "parity.engine.max_abs_error": 2e-3,
        "parity.engine.repeat_mismatches": 0.0,
        "latency.p99_upper_ms": 0.05,
        "latency.cadence.p99_upper_ms": 0.06,
    }
    for name in SCENARIOS:
        metrics[f"evaluation.{name}.rl.violations"] = 0.0
        metrics[f"evaluation.{name}.rl.engine_episodes"] = 50.0
        metrics[f"evaluation.{name}.baseline.episodes"] = 50.0
        metrics[f"evaluation.{name}.difference.low_percent"] = 0.1
        metrics[f"evaluation.{name}.current.difference.low_percent"] = 0.0
        metrics[f"evaluation.{name}.term.essential_inferior"] = 0.0
        metrics[f"evaluation.{name}.term.other_inferior"] = 0.0
        metrics[f"evaluation.{name}.rl.violation_probability_upper"] = 0.0009
        metrics[f"worst_case.{name}.margin"] = 0.2
        metrics[f"stress.{name}.expected.violating_episodes"] = 0.0
        metrics[f"stress.{name}.beyond.more_than_baseline"] = 0.0
    return metrics


def judged(metrics: dict[str, float | None], scenarios: tuple[str, ...] = SCENARIOS, sla: float = 1.0) -> GateReport:
    return judge(ReleaseConfig().gate.rules, metrics, scenarios, sla)


class TestComparison:
    @pytest.mark.parametrize(
        ("op", "below", "equal", "above"),
        [
            ("<", "pass", "fail", "fail"),
            ("<=", "pass", "pass", "fail"),
            (">", "fail", "fail", "pass"),
            (">=", "fail", "pass", "pass"),
            ("==", "fail", "pass", "fail"),
        ],
    )
    def test_each_operator_on_both_sides_and_at_the_threshold(
        self, op: str, below: str, equal: str, above: str
    ) -> None:
        around = (math.nextafter(2.0, 0.0), 2.0, math.nextafter(2.0, 3.0))
        assert tuple(only(value, op, 2.0).outcome for value in around) == (below, equal, above)

    def test_the_sla_itself_is_too_slow(self) -> None:
        # The SLA says "<"; an earlier implementation said "<=".
        metrics = good_metrics() | {"latency.p99_upper_ms": 1.0}
        assert judged(metrics).verdict == "fail"
        assert judged(metrics, sla=1.0000001).verdict == "pass"

    def test_the_sla_replaces_its_name_only(self) -> None:
        results = {result.name: result.threshold for result in judged(good_metrics(), sla=0.25).rules}
        assert results["latency_p99"] == 0.25
        assert results["onnx_parity"] == 1e-4

    @given(operators, finite, measurements)
    def test_a_pass_has_a_finite_measurement_and_the_margins_sign_agrees(
        self, op: str, threshold: float, value: float | None
    ) -> None:
        result = only(value, op, threshold)
        if result.outcome == "pass":
            assert result.measured is not None
            assert math.isfinite(result.measured)
        if result.margin is not None:
            assert result.margin >= 0 if result.outcome == "pass" else result.margin <= 0

    @given(st.sampled_from(("<", "<=")), finite, finite, finite)
    def test_smaller_is_never_worse_under_less_than(self, op: str, threshold: float, one: float, other: float) -> None:
        small, large = sorted((one, other))
        assert only(small, op, threshold).outcome == "pass" or only(large, op, threshold).outcome == "fail"
        mirrored: str = ">" if op == "<" else ">="
        assert only(small, op, threshold).outcome == only(-small, mirrored, -threshold).outcome

    @given(finite, finite)
    def test_exactly_one_of_less_equal_greater_passes(self, value: float, threshold: float) -> None:
        strict: tuple[str, ...] = ("<", "==", ">")
        assert [only(value, op, threshold).outcome for op in strict].count("pass") == 1


class TestMissing:
    @pytest.mark.parametrize("op", OPERATORS)
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_measurement_that_is_not_finite_fails_whatever_the_comparison(self, op: str, value: float) -> None:
        # `if error > limit` never fires on NaN; `inf >= 1` and `-inf < 1` are true.
        result = only(value, op)
        assert (result.outcome, result.measured, result.margin) == ("fail", None, None)
        assert "not finite" in result.note

    def test_none_is_missing_and_the_verdict_an_error(self) -> None:
        report = judge([rule()], {"m": None}, [], 1.0)
        assert (report.verdict, report.rules[0].outcome) == ("error", "missing")
        assert "not made" in report.reasons[0]

    def test_an_unknown_metric_is_an_error_that_names_the_close_one(self) -> None:
        metrics = good_metrics()
        report = judge([rule(metric="latency.p99_uper_ms")], metrics, SCENARIOS, 1.0)
        assert report.verdict == "error"
        assert "did you mean latency.p99_upper_ms" in report.reasons[0]

    def test_no_metrics_at_all_is_an_error_with_every_rule_missing(self) -> None:
        report = judged({})
        assert report.verdict == "error"
        assert {result.outcome for result in report.rules} == {"missing"}

    def test_a_star_without_scenarios_is_missing_not_vacuously_true(self) -> None:
        report = judge([rule("==", 0, metric="evaluation.*.rl.violations")], good_metrics(), [], 1.0)
        assert report.verdict == "error"
        assert len(report.rules) == 1

    def test_one_scenario_without_numbers_is_an_error(self) -> None:
        metrics = good_metrics()
        del metrics["evaluation.cold_startup.baseline.episodes"]
        report = judged(metrics)
        assert report.verdict == "error"
        assert [r.scenario for r in report.rules if r.outcome == "missing"] == ["cold_startup"]

    @pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
    def test_a_threshold_that_sets_no_limit_never_passes(self, threshold: float) -> None:
        unlimited = RuleConfig.model_construct(
            name="r", metric="m", op="<=", threshold=threshold, veto=True, why=""
        )  # the configuration refuses such a threshold; the gate must hold without it
        report = judge([unlimited], {"m": -math.inf if threshold < 0 else 0.0}, [], 1.0)
        assert report.verdict == "error"
        assert report.rules[0].threshold is None

    def test_no_rules_is_an_error(self) -> None:
        assert judge([], good_metrics(), SCENARIOS, 1.0).verdict == "error"

    def test_advisory_rules_alone_decide_nothing(self) -> None:
        assert judge([rule(veto=False)], {"m": 0.0}, [], 1.0).verdict == "error"


class TestVerdict:
    def test_the_default_rules_pass_good_numbers(self) -> None:
        report = judged(good_metrics())
        assert (report.verdict, report.reasons, report.advice) == ("pass", (), ())

    @pytest.mark.parametrize("scenario", SCENARIOS)
    def test_one_violation_in_any_one_scenario_fails(self, scenario: str) -> None:
        report = judged(good_metrics() | {f"evaluation.{scenario}.rl.violations": 1.0})
        assert report.verdict == "fail"
        assert len(report.reasons) == 1
        assert scenario in report.reasons[0]

    @pytest.mark.parametrize(
        ("metric", "value"),
        [
            ("parity.onnx.max_abs_error", 1e-4),
            ("parity.engine.max_abs_error", 1e-2),
            ("parity.engine.max_abs_error", math.nan),
            ("parity.engine.repeat_mismatches", 1.0),
            ("latency.p99_upper_ms", 1.5),
            ("evaluation.load_following.baseline.episodes", 0.0),
            ("evaluation.emergency_trip.rl.engine_episodes", 0.0),
        ],
    )
    def test_each_default_veto_fails_alone(self, metric: str, value: float) -> None:
        report = judged(good_metrics() | {metric: value})
        assert report.verdict == "fail"
        assert metric in report.reasons[0]

    def test_worse_than_pid_is_shown_but_has_no_say(self) -> None:
        report = judged(good_metrics() | {"evaluation.eaf_transients.difference.low_percent": -4.0})
        assert report.verdict == "pass"
        assert "eaf_transients" in report.advice[0]

    def test_a_failure_outranks_a_missing_measurement_and_both_are_named(self) -> None:
        report = judged(good_metrics() | {"latency.p99_upper_ms": None, "parity.onnx.max_abs_error": 1.0})
        assert report.verdict == "fail"
        assert len(report.reasons) == 2

    @given(st.dictionaries(st.sampled_from(sorted(good_metrics())), measurements))
    def test_a_passing_verdict_means_that_every_veto_passed(self, changes: dict[str, float | None]) -> None:
        report = judged(good_metrics() | changes)
        outcomes = {result.outcome for result in report.rules if result.veto}
        assert report.passed == (outcomes == {"pass"})
        assert bool(report.reasons) != report.passed

    @given(st.lists(st.tuples(operators, finite, measurements, st.booleans()), max_size=8))
    def test_advisory_rules_never_change_the_verdict(
        self, given_rules: list[tuple[str, float, float | None, bool]]
    ) -> None:
        rules = [
            rule(op, limit, name=f"r{i}", metric=f"m{i}", veto=veto)
            for i, (op, limit, _, veto) in enumerate(given_rules)
        ]
        metrics = {f"m{i}": value for i, (_, _, value, _) in enumerate(given_rules)}
        vetoes = [one for one in rules if one.veto]
        assert judge(rules, metrics, [], 1.0).verdict == judge(vetoes, metrics, [], 1.0).verdict

    @given(
        st.dictionaries(st.sampled_from(sorted(good_metrics())), measurements), st.sampled_from(sorted(good_metrics()))
    )
    def test_removing_a_measurement_never_makes_a_verdict_better(
        self, changes: dict[str, float | None], name: str
    ) -> None:
        rank = {"fail": 0, "error": 0, "pass": 1}
        metrics = good_metrics() | changes
        before = rank[judged(metrics).verdict]
        less = {key: value for key, value in metrics.items() if key != name}
        assert rank[judged(less).verdict] <= before


class TestJudgedBy:
    def test_a_verdict_knows_the_rules_that_made_it_whatever_was_measured(self) -> None:
        rules = ReleaseConfig().gate.rules
        assert judged_by(judged(good_metrics()), rules, SCENARIOS, 1.0)
        assert judged_by(judged({}), rules, SCENARIOS, 1.0)

    @pytest.mark.parametrize(
        "change", [{"threshold": 0.5}, {"op": "<="}, {"veto": False}, {"metric": "latency.p50_ms"}]
    )
    def test_other_rules_are_seen(self, change: dict[str, Any]) -> None:
        rules = [rule(metric="latency.p99_upper_ms")]
        report = judge(rules, good_metrics(), SCENARIOS, 1.0)
        assert judged_by(report, rules, SCENARIOS, 1.0)
        assert not judged_by(report, [rules[0].model_copy(update=change)], SCENARIOS, 1.0)

    def test_a_rule_less_a_scenario_less_or_another_sla_is_seen(self) -> None:
        rules = ReleaseConfig().gate.rules
        assert not judged_by(judge(rules[1:], good_metrics(), SCENARIOS, 1.0), rules, SCENARIOS, 1.0)
        assert not judged_by(judged(good_metrics(), SCENARIOS[:6]), rules, SCENARIOS, 1.0)
        assert not judged_by(judged(good_metrics(), sla=5.0), rules, SCENARIOS, 1.0)


class TestUnattended:
    CURRENT = "evaluation.*.current.difference.low_percent"

    def current(self, value: float | None, **other: Any) -> GateReport:
        asked = [rule(), rule(">=", -0.05, name="current", metric=self.CURRENT, veto="unattended")]
        metrics = {"m": 0.0, "evaluation.a.current.difference.low_percent": value}
        return judge(asked, metrics, ["a"], 1.0, **other)

    def test_a_rule_may_have_a_veto_only_in_runs_that_nobody_starts(self) -> None:
        by_hand, by_itself = (self.current(-1.0, unattended=unattended) for unattended in (False, True))
        assert (by_hand.verdict, by_itself.verdict) == ("pass", "fail")
        assert len(by_hand.advice) == 1
        assert "current.difference.low_percent is -1" in by_itself.reasons[0]

    def test_what_was_not_measured_is_never_passed_over_there(self) -> None:
        why = {"evaluation.a.current.difference.low_percent": "it cannot drive"}
        assert self.current(None, notes=why).verdict == "pass"
        report = self.current(None, unattended=True, notes=why)
        assert report.verdict == "error"
        assert "it cannot drive" in report.reasons[0]

    def test_nothing_to_compare_with_is_said_and_is_neither_pass_nor_missing(self) -> None:
        why = {"evaluation.a.current.difference.low_percent": "first release of the channel"}
        for unattended in (False, True):
            report = self.current(None, unattended=unattended, inapplicable=why)
            assert (report.verdict, report.rules[1].outcome, report.advice) == ("pass", "not_applicable", ())
            assert report.rules[1].note == "not applicable, first release of the channel"
            assert "not applicable, first release" in report.table()
            assert GateReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report

    def test_a_number_that_is_there_is_judged_whatever_is_said_of_it(self) -> None:
        why = {"evaluation.a.current.difference.low_percent": "first release of the channel"}
        assert self.current(-1.0, unattended=True, inapplicable=why).verdict == "fail"

    def test_a_metric_that_nobody_knows_is_missing_and_not_inapplicable(self) -> None:
        report = judge([rule(metric="misspelt")], {}, [], 1.0, inapplicable={"misspelt": "first release"})
        assert report.verdict == "error"

    def test_vetoes_that_do_not_apply_decide_nothing_by_themselves(self) -> None:
        report = judge([rule()], {"m": None}, [], 1.0, inapplicable={"m": "first release of the channel"})
        assert report.verdict == "error"

    def test_a_verdict_for_a_run_by_hand_is_none_for_one_by_itself(self) -> None:
        asked = [rule(), rule(">=", -0.05, name="current", metric=self.CURRENT, veto="unattended")]
        assert judged_by(self.current(0.0), asked, ["a"], 1.0)
        assert not judged_by(self.current(0.0), asked, ["a"], 1.0, unattended=True)
        assert judged_by(self.current(0.0, unattended=True), asked, ["a"], 1.0, unattended=True)


def test_a_scenario_may_have_its_own_threshold() -> None:
    asked = rule(">=", -0.05, metric="x.*.m", by_scenario={"b": -1.0})
    report = judge([asked], {"x.a.m": -0.5, "x.b.m": -0.5}, ["a", "b"], 1.0)
    assert [(r.scenario, r.threshold, r.outcome) for r in report.rules] == [("a", -0.05, "fail"), ("b", -1.0, "pass")]
    other = [rule(">=", -0.05, metric="x.*.m", by_scenario={"b": -2.0})]
    assert not judged_by(report, other, ["a", "b"], 1.0)


class TestReport:
    @given(st.dictionaries(st.sampled_from(sorted(good_metrics())), measurements))
    def test_json_gives_an_equal_report(self, changes: dict[str, float | None]) -> None:
        report = judged(good_metrics() | changes)
        text = json.dumps(report.to_dict(), allow_nan=False)
        assert GateReport.from_dict(json.loads(text)) == report

    @pytest.mark.parametrize("data", [{}, {"verdict": "pass"}, {"verdict": "fine", "rules": [], "reasons": []}])
    def test_something_else_is_refused(self, data: dict[str, Any]) -> None:
        with pytest.raises(WorkspaceError, match="run the stage `gate` again"):
            GateReport.from_dict(data)

    def test_metrics_count_what_failed(self) -> None:
        changes: dict[str, float | None] = {
            "latency.p99_upper_ms": None,
            "parity.onnx.max_abs_error": 1.0,
            "evaluation.steady_state.difference.low_percent": -1.0,
        }
        assert judged(good_metrics() | changes).metrics() == {
            "gate.rules": 9.0 + 10 * 7,
            "gate.vetoes_failed": 1.0,
            "gate.vetoes_missing": 1.0,
            "gate.advisories_not_passed": 1.0,
        }

    def test_the_table_is_aligned_and_shows_measured_threshold_and_margin(self) -> None:
        lines = judged(good_metrics() | {"latency.p99_upper_ms": 1.5}).table().splitlines()
        header = lines[0]
        latency = next(line for line in lines if "latency_p99 " in line)
        assert latency.startswith("✗")
        assert latency[: header.index("measured") + len("measured")].endswith(" 1.5")
        assert latency[header.index("must be") :].startswith("< 1 ")
        assert latency[: header.index("margin") + len("margin")].endswith(" -0.5")
        assert "Gate 5: FAIL" in lines

    def test_a_near_miss_does_not_look_equal_to_the_threshold(self) -> None:
        table = judged(good_metrics() | {"latency.p99_upper_ms": 1.00000004}).table()
        assert "1.00000004" in table

    def test_a_terminal_gets_no_escape_sequence_from_a_rules_name(self) -> None:
        table = judge([rule(name="a\x1b[2J\nb", metric="x\x07")], {}, [], 1.0).table()
        assert "\x1b" not in table
        assert "\x07" not in table
        assert "\nb" not in table

    def test_markdown_escapes_what_a_configuration_brings(self) -> None:
        text = judge([rule(name="<script>|`*[x](y)", metric="a\nb|c")], {}, [], 1.0).markdown()
        assert "<script>" not in text
        row = next(line for line in text.splitlines() if line.startswith("| ?"))
        assert r"&lt;script&gt;\|\`\*\[x\](y)" in row
        assert row.replace(r"\|", "").count("|") == 8
