"""Two demands on one channel are one: the stricter of the two in everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.channel import ChannelConfig, frozen
from gate5.config.models import ReleaseConfig
from gate5.config.tighten import stricter
from gate5.errors import ConfigError

FAST = {"name": "fast", "metric": "latency.p99_upper_ms", "op": "<"}
demands = st.fixed_dictionaries(
    {
        "approval": st.sampled_from(["none", "required"]),
        "approvers": st.one_of(st.none(), st.just(("ada", "bob")), st.just(("bob",))),
        "signatures": st.integers(1, 9),
        "sla_p99_ms": st.one_of(st.none(), st.floats(0.1, 9)),
        "rules": st.one_of(st.just(()), st.floats(0.1, 9).map(lambda most: ({**FAST, "threshold": most},))),
        "scenarios": st.one_of(st.none(), st.just(("easy",)), st.just(("hard", "easy"))),
        "episodes": st.one_of(st.none(), st.integers(1, 50)),
        "shadow_hours": st.one_of(st.none(), st.floats(0.5, 500)),
        "confidence": st.one_of(st.none(), st.floats(0.51, 0.999)),
        "plant": st.sampled_from([None, {"id": "sco2", "options": {"turbine_efficiency": 0.91}}]),
        "baseline": st.sampled_from([None, {"kind": "pid", "gains": "gains.json"}]),
        "quick": st.booleans(),
        "require_proof": st.booleans(),
        "two_person": st.booleans(),
        "freeze": st.sampled_from([None, "outage", {"reason": "past", "until": "2020-01-01T00:00:00+02:00"}]),
    }
)


def least(values: Any, what: Any, default: Any) -> Any:
    return what([each for each in values if each is not None], default=default)


@given(one=demands, other=demands)
def test_the_law(one: Any, other: Any) -> None:
    both = [ChannelConfig.model_validate(each) for each in (one, other)]
    done = ChannelConfig.model_validate(stricter(*(each.model_dump(mode="json") for each in both)))
    for each in both:
        again = stricter(done.model_dump(mode="json"), each.model_dump(mode="json"))
        assert ChannelConfig.model_validate(again).model_copy(update={"freeze": done.freeze}) == done, "it is in there"
        assert set(done.approvers or ("ada", "bob")) <= set(each.approvers or ("ada", "bob"))
        assert set(each.scenarios or ()) <= set(done.scenarios or ())
        assert done.two_person or not each.two_person
        assert done.require_proof or not each.require_proof
        assert done.approval == "required" or each.approval == "none"
    assert done.sla_p99_ms == least([each.sla_p99_ms for each in both], min, None)
    assert done.episodes == least([each.episodes for each in both], max, None)
    assert done.shadow_hours == least([each.shadow_hours for each in both], max, None)
    assert done.confidence == least([each.confidence for each in both], max, None)
    assert done.plant == (both[0].plant or both[1].plant)
    assert done.baseline == (both[0].baseline or both[1].baseline)
    assert done.signatures == max(each.signatures for each in both)
    assert done.quick == all(each.quick for each in both)
    stands = [frozen(each.model_dump(mode="json")["freeze"]) for each in both]
    assert bool(frozen(done.model_dump(mode="json")["freeze"])) == any(stands)
    assert [rule.threshold for rule in done.rules] == [
        min(rule.threshold for each in both for rule in each.rules) for _ in range(any(each.rules for each in both))
    ]


@pytest.mark.parametrize(
    ("one", "other", "match"),
    [
        ({"require_backend": "tensorrt"}, {"require_backend": "onnxruntime"}, "onnxruntime and tensorrt"),
        ({"approvers": ("ada",)}, {"approvers": ("bob",)}, "none of whom both name"),
        ({"plant": {"id": "sco2"}}, {"plant": {"id": "sco2", "options": {"a": 1}}}, "two plants"),
        ({"baseline": {"kind": "pid"}}, {"baseline": {"kind": "none"}}, "two baselines"),
    ],
)
def test_what_nothing_can_meet_is_refused(one: Any, other: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        stricter(*(ChannelConfig.model_validate(each).model_dump(mode="json") for each in (one, other)))


def test_all_that_a_file_demands_of_a_channel(tmp_path: Path) -> None:
    """Its section, and of its own channel what it says in so many words; of another one that one's section alone."""
    data = {
        "release": {"approval": "required", "require_backend": "onnxruntime"},
        "gate": {"sla_p99_ms": 2.0},
        "channels": {"staging": {"quick": True}},
    }
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(data))
    config = ReleaseConfig.load(path)
    assert config.demands("staging") == (ChannelConfig(quick=True),)
    section, own = config.demands("production")
    assert section == ChannelConfig()
    assert (own.approval, own.require_backend, own.sla_p99_ms) == ("required", "onnxruntime", 2.0)
    assert config.demands("elsewhere") == (ChannelConfig(),)
