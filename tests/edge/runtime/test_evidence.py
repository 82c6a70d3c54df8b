"""Evidence comes back: signed summaries of what was driven reach the store, whenever that answers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gate5 import store
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.edge.runtime.installed import Installed
from gate5.edge.runtime.record.evidence import Summaries
from gate5.edge.runtime.record.link import hello_of
from gate5.edge.runtime.record.wire import HANDED_OVER, MISSED, POLICY, Hello, Period
from gate5.errors import IntegrityError
from gate5.io import canonical
from gate5.io.plain import from_plain
from gate5.store import evidence
from gate5.store.evidence import Evidence
from tests.support.bench import Bench

RUN = [
    "run", "plant", "--trust", "var/keys/release.pub", "--speed", "inf", "--json", "--set", "flight.record=false",
    "--set", "binding.options={scenarios: [steady_state]}", "--set", "hand_over.deadline_ms=2000",
]  # fmt: skip


def asks(home: Path, plant: str, config: str = "release.yaml") -> list[str]:
    told = {"config": str(home / config), "key": str(home / "var/keys/release.pem"), "plant": plant, "every_s": 3600}
    return ["--set", f"evidence={json.dumps(told)}"]


def eventually(found: Callable[[], Any]) -> Any:
    until = time.monotonic() + 120
    while not (value := found()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return value


def in_store(home: Path, installed: Installed, plant: str) -> list[Evidence]:
    opened = store.open_store(ReleaseConfig.load(home / "release.yaml").store)
    keys = store.load_public_keys([home / "var/keys/release.pub"])
    found = evidence.record(opened, "production", installed.id, keys)
    assert found.refused == ()
    return [each for each in found.found if each.plant == plant]


def test_a_run_reports_what_it_drove(home: Path, installed: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, *asks(home, "one"), "--set", "mode=shadow"]) == 0
    tally = json.loads(capsys.readouterr().out)["tally"]
    (found,) = eventually(lambda: in_store(home, installed, "one"))
    assert (found.mode, found.binding, found.release) == ("shadow", "simulator", installed.id)
    assert sum(found.periods.values()) + found.lost == tally["periods"] == 120
    assert found.hours == pytest.approx((120 - found.lost) * 5.0 / 3600)
    assert (found.hand_overs, found.alarms) == ({}, 0)
    if not found.lost:
        assert found.margins == pytest.approx(tally["smallest_margin"], rel=1e-5)
    assert set(found.shadow) == set(installed.plant.action_space.names)
    assert all(0.0 <= said["mean"] <= said["largest"] for said in found.shadow.values())
    assert set(found.drift) == set(installed.plant.observation_space.names)
    assert all(said["below"] == said["above"] == 0.0 for said in found.drift.values()), "inside its envelope"
    assert not list((home / "plant/evidence").glob("[0-9]*.json")), "nothing waits any more"
    capsys.readouterr()
    assert main(["show", installed.id, "--config", "release.yaml", "--trust", "var/keys/release.pub"]) == 0
    assert "plants of production: 0 h in control" in capsys.readouterr().out


def test_a_store_that_is_down_gets_it_later(
    home: Path, installed: Installed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control does not notice; the next run sends what waited, with its own."""
    values = yaml.safe_load((home / "release.yaml").read_text())
    (tmp_path / "gone").write_text("no folder")
    values["store"] = {"uri": str(tmp_path / "gone/store")}
    (tmp_path / "down.yaml").write_text(yaml.safe_dump(values))
    down = asks(home, "two", os.path.relpath(tmp_path / "down.yaml", home))
    assert main([*RUN, *down]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["tally"]["policy"] == 120
    waiting = eventually(lambda: list((home / "plant/evidence").glob("[0-9]*.json")))
    assert json.loads(waiting[0].read_bytes())["plant"] == "two"
    assert in_store(home, installed, "two") == []
    assert main([*RUN, *asks(home, "two"), "--periods", "60"]) == 0
    found = eventually(lambda: in_store(home, installed, "two") if len(in_store(home, installed, "two")) > 1 else None)
    assert sorted(sum(each.periods.values()) + each.lost for each in found) == [60, 120]
    eventually(lambda: not list((home / "plant/evidence").glob("[0-9]*.json")))


def test_what_cannot_be_signed_or_sent_is_said_before_anything_drives(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for told, text in (
        ({"config": "release.yaml", "key": "missing.pem"}, "missing.pem"),
        ({"config": "missing.yaml", "key": "var/keys/release.pem"}, "missing.yaml"),
        ({"config": "release.yaml"}, "evidence.key"),
        ({"config": "release.yaml", "key": "var/keys/release.pem", "plant": "a/b"}, "evidence.plant"),
    ):
        assert main([*RUN, "--set", f"evidence={json.dumps(told)}"]) == 2
        error = capsys.readouterr()
        assert text in error.out + error.err


HELLO = Hello("r-1", "control", "test", 1.0, ("p", "t"), ("v",), ("p_max",), (0.0, 0.0), (10.0, 1.0), (), "opcua")


def period(number: int, **changes: Any) -> Period:
    def row(*values: float) -> Any:
        return np.array(values, np.float32)

    made: dict[str, Any] = {
        "number": number, "time_ns": number * 10**9, "source": "policy", "cause": "", "text": "", "flags": POLICY,
        "age_s": 0.0, "inference_ns": 1, "overhead_ns": 1, "waited_ns": 1, "obs": row(5.0, 0.5), "action": row(0.0),
        "policy": row(0.5), "baseline": row(0.25), "margins": row(2.0),
    }  # fmt: skip
    return Period(**{**made, **changes})


def written(folder: Path) -> list[Evidence]:
    return [from_plain(Evidence, canonical.loads(path.read_bytes())) for path in sorted(folder.glob("[0-9]*.json"))]


def test_what_is_counted(tmp_path: Path) -> None:
    """By hand: sources, causes, a gap, a release in between, readings outside and missing ones."""
    counted = Summaries(tmp_path, "p", 3600.0)
    counted.add(period(1))  # nobody has said of what
    counted.hello(HELLO)
    nothing = np.full(2, np.nan, np.float32)
    for each in (
        period(1), period(2, obs=np.array([12.0, -1.0], np.float32)),
        period(3, source="baseline", cause="late", flags=HANDED_OVER),
        period(6, source="safe", cause="late", flags=MISSED, obs=nothing, margins=np.full(1, np.inf, np.float32)),
        period(7, policy=np.array([-0.5], np.float32), margins=np.array([-0.5], np.float32)),
    ):  # fmt: skip
        counted.add(each)
    counted.hello(Hello(**{**vars(HELLO), "release": "r-2"}))
    counted.add(period(1))
    counted.finish()
    counted.finish()
    first, second = written(tmp_path)
    assert (first.release, second.release, sum(second.periods.values())) == ("r-1", "r-2", 1)
    assert (dict(first.periods), first.lost, first.missed) == ({"policy": 3, "baseline": 1, "safe": 1}, 2, 1)
    assert (dict(first.hand_overs), dict(first.causes), first.alarms) == ({"late": 1}, {"late": 2}, 2)
    assert first.margins == {"p_max": -0.5}
    assert first.shadow["v"] == pytest.approx({"mean": (0.25 + 0.25 + 0.75) / 3, "largest": 0.75})
    assert first.drift["p"] == pytest.approx({"below": 0.0, "above": 0.2, "low": 0.5, "high": 1.2})
    assert first.drift["t"] == pytest.approx({"below": 0.2, "above": 0.0, "low": -1.0, "high": 0.5})
    assert (first.began, first.ended) == ("1970-01-01T00:00:01.000+00:00", "1970-01-01T00:00:07.000+00:00")


def one_period_counted(folder: Path) -> Path:
    """What a process keeps of a period in case that it is killed."""
    counted = Summaries(folder, "p", 3600.0)
    counted.hello(HELLO)
    counted.add(period(1))
    counted._kept = 0.0
    counted.second()
    (current,) = folder.glob("current-*.json")
    return current


def test_a_process_that_was_killed_leaves_what_it_had_counted(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    current = one_period_counted(tmp_path)
    Summaries(tmp_path, "p", 3600.0)
    assert current.exists(), "its process is alive"
    current.rename(tmp_path / f"current-{ended.pid}-1.json")
    Summaries(tmp_path, "p", 3600.0)
    assert [each.release for each in written(tmp_path)] == ["r-1"]


def test_the_next_process_has_the_number_of_the_killed_one(tmp_path: Path) -> None:
    """As in a container, where each start begins with the same numbers: nothing is overwritten."""
    current = one_period_counted(tmp_path)
    current.rename(tmp_path / f"current-{os.getpid()}-12345.json")
    again = Summaries(tmp_path, "p", 3600.0)
    again.hello(HELLO)
    again.add(period(1))
    again.finish()
    assert len(written(tmp_path)) == 2


def summary(ended: int, mode: str = "shadow", hours: float = 1.0, **changes: Any) -> Evidence:
    stamp = f"2026-01-01T00:{ended:02d}:00+00:00"
    found: dict[str, Any] = {
        "plant": "p", "channel": "staging", "release": "r-1", "mode": mode, "binding": "opcua", "began": stamp,
        "ended": stamp, "period_s": 3600.0 * hours, "periods": {"baseline": 1}, "hand_overs": {}, "causes": {},
        "missed": 0, "lost": 0, "margins": {}, "shadow": {}, "drift": {},
    }  # fmt: skip
    return Evidence(**{**found, **changes})


@pytest.mark.parametrize(
    ("found", "hours"),
    [
        ([], 0.0),
        ([summary(1), summary(2)], 2.0),
        ([summary(1), summary(2, causes={"late": 1}), summary(3), summary(4)], 2.0),
        ([summary(3), summary(4), summary(2, causes={"late": 1}, mode="control")], 2.0),
        ([summary(1), summary(2, causes={"outside_envelope": 1}, plant="another")], 0.0),
        ([summary(1), summary(2, causes={"person": 9, "engine_restarting": 3})], 2.0),
        ([summary(1), summary(2, binding="simulator"), summary(3, binding="simulator", causes={"late": 1})], 1.0),
        ([summary(1), summary(2, mode="control")], 1.0),
        ([summary(1), summary(1, causes={"margin": 1})], 0.0),
    ],
)
def test_hours_in_shadow_count_from_the_last_alarm_of_any_plant(found: list[Evidence], hours: float) -> None:
    assert evidence.quiet_hours(found) == pytest.approx(hours)
    assert evidence.quiet_hours(found[::-1]) == pytest.approx(hours)


def test_evidence_that_does_not_count(home: Path, tmp_path: Path) -> None:
    opened = store.open_store(ReleaseConfig.load(home / "release.yaml").store)
    keys = store.load_public_keys([home / "var/keys/release.pub"])
    stranger = store.load_signer(store.keygen(tmp_path / "stranger.pem").private)
    good = summary(1).sign(opened.signer)
    name = evidence.keep(opened, good)
    assert evidence.keep(opened, good) == name, "the same twice is one"
    evidence.keep(opened, summary(2).sign(stranger))
    moved = name.replace("staging", "elsewhere")
    opened.backend.create(moved, good)
    found = evidence.record(opened, "staging", "r-1", keys)
    assert ([each.ended for each in found.found], len(found.refused)) == ([summary(1).ended], 1)
    assert "not signed by a trusted key" in found.refused[0]
    assert "is of r-1 on staging" in evidence.record(opened, "elsewhere", "r-1", keys).refused[0]
    for at in range(0, len(good), 53):
        changed = bytearray(good)
        changed[at] ^= 4
        with pytest.raises(IntegrityError):
            evidence.read_evidence(bytes(changed), keys)
    with pytest.raises(IntegrityError, match="counts below zero"):
        evidence.read_evidence(summary(1, periods={"policy": -5}).sign(opened.signer), keys)
    newest = [evidence.keep(opened, summary(at, release="r-9").sign(opened.signer)) for at in (5, 7, 6)]
    assert opened.backend.list("evidence/staging/r-9/", 1) == [newest[1]], "the newest is listed first"


def test_hours_of_a_test_rig_are_a_simulators(bench: Bench) -> None:
    for rig, said in ((True, evidence.SIMULATED), (False, "opcua")):
        runtime = bench.runtime({"binding.kind": "opcua", "binding.test_rig": rig})
        assert hello_of(runtime, "production").binding == said


def test_a_copy_of_a_summary_adds_no_hours(home: Path) -> None:
    """Whoever can write to the store needs no key for a copy, under another name or with a signature of nobody more."""
    opened = store.open_store(ReleaseConfig.load(home / "release.yaml").store)
    keys = store.load_public_keys([home / "var/keys/release.pub"])
    good = summary(1, release="r-copied").sign(opened.signer)
    name = evidence.keep(opened, good)
    envelope = canonical.loads(good)
    more = {**envelope, "signatures": [*envelope["signatures"], {"keyid": "f" * 64, "sig": "AAAA"}]}
    for number, data in enumerate((good, good, canonical.dumps(more))):
        assert opened.backend.create(name.replace(".json", f"{number}.json"), data)
    evidence.keep(opened, canonical.dumps(more))
    found = evidence.record(opened, "staging", "r-copied", keys)
    assert found.shadow_hours() == evidence.quiet_hours([summary(1)]) > 0
    assert len(found.refused) == 4
    assert "says once more what another summary says" in found.refused[0]
