"""What a channel demands: a run, its form and its own sections can ask for more, and never for less."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.channel import ChannelConfig, frozen
from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError

RULE = {"name": "no_violations", "metric": "evaluation.*.rl.violations", "op": "==", "threshold": 0}
VETOES = (False, "unattended", True)
FAST = {"name": "fast", "metric": "latency.p99_upper_ms", "op": "<", "threshold": 0.5}


def written(tmp_path: Path, data: dict[str, Any]) -> Path:
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_form_cannot_waive_what_the_file_says(tmp_path: Path) -> None:
    """Seen: `approval: required` in the file, `approval: none` and an SLA of 7 ms in the form; promoted by nobody."""
    path = written(tmp_path, {"release": {"approval": "required"}, "gate": {"sla_p99_ms": 1.0}})
    run = ReleaseConfig.load_form(path, {"release.approval": "none", "gate.sla_p99_ms": 7})
    assert (run.release.approval, run.gate.sla_p99_ms) == ("required", 1.0)
    run = ReleaseConfig.load_form(path, {"gate.sla_p99_ms": 0.5})
    assert run.gate.sla_p99_ms == 0.5, "tighter is the run's to choose"
    assert (
        ReleaseConfig.load_form(written(tmp_path, {}), {"release.approval": "required"}).release.approval == "required"
    )


def test_another_channel_has_its_own_demands(tmp_path: Path) -> None:
    data = {
        "release": {"channel": "trial"},
        "channels": {"production": {"approval": "required", "require_backend": "tensorrt", "sla_p99_ms": 1.0}},
    }
    path = written(tmp_path, data)
    trial = ReleaseConfig.load_form(path, {"gate.sla_p99_ms": 50})
    assert (trial.release.approval, trial.gate.sla_p99_ms) == ("none", 50)
    run = ReleaseConfig.load_form(path, {"release.channel": "production", "gate.sla_p99_ms": 50})
    assert (run.release.approval, run.release.require_backend, run.gate.sla_p99_ms) == ("required", "tensorrt", 1.0)


@pytest.mark.parametrize("key", ["channels", "channels.production.approval", "channels.production"])
@pytest.mark.parametrize("load", [ReleaseConfig.load, ReleaseConfig.load_form])
def test_demands_are_not_overridden(tmp_path: Path, load: Any, key: str) -> None:
    path = written(tmp_path, {"channels": {"production": {"approval": "required"}}})
    with pytest.raises(ConfigError, match="cannot be overridden"):
        load(path, {key: "none"})


def test_the_files_own_sections_cannot_loosen_either(tmp_path: Path) -> None:
    data = {
        "release": {"approval": "none", "require_backend": "onnxruntime"},
        "gate": {
            "sla_p99_ms": 9.0,
            "rules": [{**RULE, "veto": False}, {**FAST, "threshold": 3.0}, {**FAST, "name": "x"}],
        },
        "evaluation": {"episodes": 1, "scenarios": ["easy"]},
        "channels": {
            "production": {
                "approval": "required",
                "require_backend": "tensorrt",
                "sla_p99_ms": 1.0,
                "rules": [RULE, FAST, {**FAST, "name": "added"}],
                "episodes": 20,
                "scenarios": ["easy", "hard"],
            }
        },
    }
    run = ReleaseConfig.load(written(tmp_path, data))
    assert (run.release.approval, run.release.require_backend, run.gate.sla_p99_ms) == ("required", "tensorrt", 1.0)
    assert (run.evaluation.episodes, run.evaluation.scenarios) == (20, ("easy", "hard"))
    rules = {rule.name: rule for rule in run.gate.rules}
    assert list(rules) == ["no_violations", "fast", "x", "added"]
    assert rules["no_violations"].veto
    assert rules["fast"].threshold == 0.5


LATENCY = {"name": "fast", "metric": "latency.p99_upper_ms", "op": "<", "threshold": "sla_p99_ms"}


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        ({}, True),
        ({"op": "<=", "threshold": 0.5}, True),
        ({"threshold": 50.0}, False),
        ({"veto": False}, False),
        ({"veto": "unattended"}, False),
        ({"metric": "latency.p50_ms"}, False),
        ({"op": ">"}, False),
    ],
)
def test_a_demanded_sla_is_judged_whatever_rules_a_run_has(tmp_path: Path, rule: dict[str, Any], enough: bool) -> None:
    own = [{"name": "safe", "metric": "evaluation.*.rl.violations", "op": "==", "threshold": 0}, {**LATENCY, **rule}]
    asked = {"channels": {"production": {"sla_p99_ms": 1.0}}, "gate": {"rules": own, "sla_p99_ms": 9.0}}
    run = ReleaseConfig.load_form(written(tmp_path, asked), {"release.channel": "production"})
    added = [each for each in run.gate.rules if each.name not in ("safe", "fast")]
    assert run.gate.sla_p99_ms == 1.0
    assert [(each.metric, each.op, each.threshold, each.veto) for each in added] == (
        [] if enough else [("latency.p99_upper_ms", "<", "sla_p99_ms", True)]
    )


def test_what_a_demanded_rule_means_is_the_channels_to_say(tmp_path: Path) -> None:
    """Less confidence, moved limits or a weak baseline let the same rule pass on other numbers."""
    plant, baseline = {"id": "sco2", "options": {"turbine_efficiency": 0.91}}, {"kind": "pid", "gains": "tuned.json"}
    lax = {
        "evaluation": {"confidence": 0.51},
        "latency": {"confidence": 0.51},
        "plant": {"id": "sco2", "options": {"constraints": {"turbine_inlet_high": {"high": 2000}}}},
        "baseline": {"kind": "none"},
    }
    demands = {"confidence": 0.97, "plant": plant, "baseline": baseline}
    run = ReleaseConfig.load(written(tmp_path, {**lax, "channels": {"production": demands}}))
    assert (run.evaluation.confidence, run.latency.confidence) == (0.97, 0.97)
    assert (run.plant.model_dump(), run.baseline.gains) == (plant, "tuned.json")
    run = ReleaseConfig.load(
        written(tmp_path, {"evaluation": {"confidence": 0.99}, "channels": {"production": demands}})
    )
    assert (run.evaluation.confidence, run.latency.confidence) == (0.99, 0.99), "more is the run's to choose"
    assert ReleaseConfig.load(written(tmp_path, lax)).evaluation.confidence == 0.51, "nobody demands anything"


def test_a_demand_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"channels\.production\.aproval"):
        ReleaseConfig.load(written(tmp_path, {"channels": {"production": {"aproval": "required"}}}))


rules = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from("abc"),
            "metric": st.sampled_from(["latency.p99_upper_ms", "evaluation.*.rl.return_mean"]),
            "op": st.sampled_from(["<", "<=", ">", ">=", "=="]),
            "threshold": st.one_of(st.just("sla_p99_ms"), st.floats(-5, 5)),
            "by_scenario": st.dictionaries(st.sampled_from(["easy", "hard"]), st.floats(-5, 5)),
            "veto": st.sampled_from(VETOES),
        }
    ).map(lambda rule: {**rule, "by_scenario": rule["by_scenario"] if "*" in str(rule["metric"]) else {}}),
    min_size=1,
    max_size=3,
    unique_by=lambda rule: rule["name"],
)


@given(
    said=rules,
    demanded=rules,
    slas=st.tuples(st.floats(0.1, 9), st.one_of(st.none(), st.floats(0.1, 9))),
    episodes=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_the_law_of_tightening(said: Any, demanded: Any, slas: Any, episodes: Any) -> None:
    """Nothing gets looser than either says, and doing it twice changes nothing."""
    said[0]["veto"] = True
    data = {"gate": {"rules": said, "sla_p99_ms": slas[0]}, "evaluation": {"episodes": episodes[0]}}
    demands = ChannelConfig(rules=demanded, sla_p99_ms=slas[1], episodes=episodes[1])
    run = ReleaseConfig.parse(data)
    if not any(rule["veto"] is True for rule in [*demanded, *[rule for rule in said if rule["name"] not in "abc"]]):
        demanded[0]["veto"] = True
        demands = ChannelConfig(rules=demanded, sla_p99_ms=slas[1], episodes=episodes[1])
    done = run.tightened(demands)
    assert done.tightened(demands) == done
    assert done.gate.sla_p99_ms == min(slas[0], slas[1] or slas[0])
    assert done.evaluation.episodes == max(episodes)
    found = {rule.name: rule for rule in done.gate.rules}
    for demand in demands.rules:
        rule = found[demand.name]
        assert (rule.metric, rule.op) == (demand.metric, demand.op)
        assert VETOES.index(rule.veto) >= VETOES.index(demand.veto)
        for name in {*rule.by_scenario, *demand.by_scenario}:
            ours, asked = (r.by_scenario.get(name, r.threshold) for r in (rule, demand))
            mine, theirs = (done.gate.sla_p99_ms if isinstance(t, str) else t for t in (ours, asked))
            assert mine <= theirs if "<" in rule.op else mine >= theirs if ">" in rule.op else mine == theirs
        mine, theirs = (done.gate.sla_p99_ms if isinstance(t, str) else t for t in (rule.threshold, demand.threshold))
        assert mine <= theirs if "<" in rule.op else mine >= theirs if ">" in rule.op else mine == theirs


@pytest.mark.parametrize(
    "freeze",
    ["", "true", "5", "[a]", "{reason: ''}", "{until: '2027-01-31T00:00:00Z'}", "{reason: why, until: 2027-01-31}",
     "{reason: why, until: '2027-01-31T00:00:00'}", "{reason: why, until: 1e9}", "{reason: why, until: soon}"],
)  # fmt: skip
def test_a_freeze_that_is_none_is_refused_in_one_sentence(tmp_path: Path, freeze: str) -> None:
    path = tmp_path / "release.yaml"
    path.write_text(f"channels:\n  production:\n    freeze: {freeze or repr('')}\n")
    with pytest.raises(ConfigError, match=r"channels\.production\.freeze: .* is no freeze: give a reason") as refused:
        ReleaseConfig.load(path)
    assert ";" not in str(refused.value)


@pytest.mark.parametrize(
    ("until", "stands"),
    [
        ("2999-01-01T00:00:00Z", True),
        ("2999-01-01 00:00:00.5+05:30", True),
        ("2020-01-01T00:00:00-12:00", False),
        ("{hour_ago}", False),
        ("{in_an_hour}", True),
    ],
)
def test_a_freeze_ends_at_its_time_whatever_the_zone(tmp_path: Path, until: str, stands: bool) -> None:
    """The wall clock of a zone far away is hours off; what counts is the instant."""
    now, zone = datetime.now(timezone.utc), timezone(timedelta(hours=-11))
    near = {name: (now + timedelta(hours=hours)).astimezone(zone).isoformat()
            for name, hours in (("hour_ago", -1), ("in_an_hour", 1))}  # fmt: skip
    for quote in ("'", ""):
        path = tmp_path / "release.yaml"
        end = until.format(**near)
        path.write_text(f"channels:\n  production:\n    freeze: {{reason: why, until: {quote}{end}{quote}}}\n")
        said = ReleaseConfig.load(path).channels["production"].model_dump(mode="json")["freeze"]
        assert bool(frozen(said)) == stands, (end, said)
