"""What the site's file demands of a channel: neither ``--set`` nor another file with the same store loosens it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.cli.settings import load_config
from gate5.config.channel import ChannelConfig, frozen, refused_person
from gate5.config.models import ReleaseConfig
from gate5.config.tighten import stricter
from gate5.errors import ConfigError
from gate5.pipeline.promote import takes_quick
from gate5.store.s3 import S3Backend
from tests.config.test_stricter import FAST, demands

#: What somebody may write after ``--set`` to get a candidate through.
LAX: dict[str, Any] = {
    "release.approval": "none",
    "release.require_backend": None,
    "release": {"approval": "none", "approval_timeout_hours": 1},
    "gate.sla_p99_ms": 1e6,
    "gate.rules": [{**FAST, "threshold": 1e6}],
    "gate": {"rules": [{**FAST, "threshold": 1e6, "name": "other"}]},
    "evaluation.episodes": 1,
    "evaluation.scenarios": ["easy"],
    "evaluation.quick": True,
    "evaluation.confidence": 0.51,
    "latency.confidence": 0.51,
    "plant": {"options": {"constraints": {"turbine_inlet_high": {"high": 2000}}}},
    "baseline.kind": "none",
    "evaluation": {"episodes": 1, "scenarios": ["easy"]},
    "channels": {},
    "channels.production": None,
}


def asked(home: Path, config: Path, chosen: list[str]) -> ReleaseConfig:
    """What a command goes by."""
    said = [f"{key}={json.dumps(LAX[key])}" for key in chosen]
    return load_config(argparse.Namespace(config=str(config), set=said))


@given(
    demanded=st.tuples(demands, st.sampled_from([None, "onnxruntime"])).map(
        lambda both: {**both[0], "require_backend": both[1]}
    ),
    chosen=st.lists(st.sampled_from(sorted(LAX)), max_size=5, unique=True),
    other=st.sampled_from([None, {}, {"production": {"quick": True}}, {"staging": {"quick": True}}]),
)
@settings(max_examples=60, deadline=None)
def test_the_law(tmp_path_factory: pytest.TempPathFactory, demanded: Any, chosen: list[str], other: Any) -> None:
    """For every demand, every override, the site's own file and others."""
    home = tmp_path_factory.mktemp("site")
    want = ChannelConfig.model_validate(demanded)
    plain = want.model_dump(mode="json")
    site = home / "site.yaml"
    site.write_text(yaml.safe_dump({"store": {"uri": "store"}, "channels": {"production": plain}}))
    path = site if other is None else home / "other.yaml"
    if other is not None:
        path.write_text(yaml.safe_dump({"store": {"uri": "./store/"}, "channels": other}))
    with mock.patch.dict(os.environ, {"GATE5_HOME": str(home), "GATE5_CONFIG": "site.yaml"}):
        if any(key.startswith("channels") for key in chosen):
            with pytest.raises(ConfigError, match="cannot be overridden"):
                asked(home, path, chosen)
            return
        run = asked(home, path, chosen)
    section = run.channels["production"]
    kept = ChannelConfig.model_validate(stricter(section.model_dump(mode="json"), plain))
    assert kept.model_copy(update={"freeze": section.freeze}) == section, "all of it is still demanded"
    assert run.tightened(want) == run, "and the run itself asks for no less"
    assert bool(frozen(section.model_dump(mode="json")["freeze"])) == bool(frozen(plain["freeze"]))
    assert takes_quick(run) <= want.quick
    for said in (None, {"started_by": "bob"}):
        for person in ("gate5", "bob", "eve"):
            refusals = [refused_person(each.model_dump(mode="json"), person, said) for each in (section, want)]
            assert refusals[0] is not None or refusals[1] is None, (person, said)


SAME = ["s3://Bucket/p/q", "s3://Bucket/p/q/", "s3://Bucket//p/q", "S3://Bucket/p/q//"]


@pytest.mark.parametrize("uri", SAME)
@pytest.mark.parametrize("site", SAME)
def test_however_a_store_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str, uri: str) -> None:
    """What opens as one store is one, and no other."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.setenv("GATE5_CONFIG", "site.yaml")
    demands = {"production": {"approvers": ["ada"]}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"store": {"uri": site}, "channels": demands}))
    other = tmp_path / "other.yaml"
    for each, held in ((uri, True), ("s3://bucket/p/q", False), ("s3://Bucket/p", False), ("s3://Bucket/p//q", False)):
        other.write_text(yaml.safe_dump({"store": {"uri": each}}))
        assert bool(asked(tmp_path, other, []).channels) is held, each
        opened = [
            S3Backend(*urlsplit(name)[1:3], client=mock.MagicMock(**{"meta.endpoint_url": ""})).uri
            for name in (site, each)
        ]
        assert (opened[0] == opened[1]) is held, opened


def test_no_file_at_all_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--set store.uri=...` from a folder without a configuration."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("GATE5_CONFIG", str(tmp_path / "site.yaml"))
    site = {"store": {"uri": str(tmp_path / "store")}, "channels": {"production": {"approvers": ["ada"]}}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    run = load_config(argparse.Namespace(config=None, set=[f"store.uri={tmp_path / 'store'}"]))
    assert run.release.approval == "required"
    assert load_config(argparse.Namespace(config=None, set=["store.uri=elsewhere"])).channels == {}


def test_every_channel_is_held_and_not_the_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gate5 promote --from staging --to production` has another channel's file in hand."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    site = {"store": {"uri": "store"}, "channels": {"production": {"freeze": "outage", "approvers": ["ada"]}}}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "release.yaml").write_text(yaml.safe_dump(site))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"store": {"uri": "store"}, "release": {"channel": "staging"}}))
    run = asked(tmp_path, tmp_path / "mine.yaml", [])
    assert run.release.approval == "none", "staging demands nothing"
    assert [each.freeze for each in run.demands("production")] == ["outage"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"store": {"uri": "elsewhere"}}))
    assert asked(tmp_path, tmp_path / "mine.yaml", []).channels == {}, "another store is another site's"


def test_a_site_without_its_file_takes_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever moves the site's file away has not taken its demands away."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.setenv("GATE5_CONFIG", "site.yaml")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"store": {"uri": "store"}}))
    with pytest.raises(ConfigError, match=r"GATE5_CONFIG names .*site\.yaml, which is not there"):
        asked(tmp_path, tmp_path / "mine.yaml", [])
