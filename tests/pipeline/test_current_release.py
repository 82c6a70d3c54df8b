"""Champion against challenger: the channel's current release drives the candidate's episodes, and the gate says so.

A real store with signed releases; the plant is two tanks, the policies linear ones in checkpoints of SB3.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from gymnasium import spaces

from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.store import current, open_store
from gate5.workspace import contents

CURRENT = "evaluation.*.current.difference.low_percent"
CONFIG: dict[str, Any] = {
    "plant": {"id": "tests.support.tank:Tank"},
    "checkpoint": {"vecnormalize": "none"},
    "engine": {"backend": "onnxruntime", "profile": {"max_batch": 8}},
    "export": {"samples": 1000},
    "parity": {"samples": 100},
    "latency": {"iterations": 1000, "warmup": 50, "cadence_iterations": 0},
    "evaluation": {"episodes": 5, "bootstrap": 100},
    "gate": {
        "sla_p99_ms": 1000,
        "rules": [
            {"name": "no_violations", "metric": "evaluation.*.rl.violations", "op": "==", "threshold": 0},
            {"name": "not_worse", "metric": CURRENT, "op": ">=", "threshold": -0.05, "veto": "unattended"},
        ],
    },
}
NARROW, WIDE = ("upper", "level", "level_setpoint"), ("level_setpoint", "running", "level", "upper")


class Spaces(gymnasium.Env[Any, Any]):
    """What SB3 makes a policy from."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, size: int) -> None:
        self.observation_space = spaces.Box(0.0, 10.0, (size,), np.float32)


def checkpoint(folder: Path, observed: tuple[str, ...], offset: float = 0.0) -> None:
    """A proportional controller of the level, ``offset`` too high, as a PPO policy without hidden layers."""
    import torch
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", Spaces(len(observed)), policy_kwargs={"net_arch": []}, device="cpu")
    gains = {"level": -0.6, "level_setpoint": 0.9}
    layer: Any = model.policy.action_net
    with torch.no_grad():
        layer.weight[:] = torch.tensor([[gains.get(name, 0.0) for name in observed]])
        layer.bias[:] = -0.47 + offset
    folder.mkdir()
    model.save(folder / "policy.zip")


def release(*arguments: str, **changes: Any) -> tuple[int, Path]:
    """``gate5 release`` in a workspace named after its arguments; the exit code and the workspace."""
    name = "-".join(arguments).replace("--", "") + "".join(str(hash(str(changes)))[-6:] if changes else "")
    Path(f"{name}.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    return main(["release", *arguments, "--config", f"{name}.yaml", "--workspace", name]), Path(name)


def read(workspace: Path, name: str) -> Any:
    return json.loads((workspace / name).read_text())


def not_worse(workspace: Path) -> list[dict[str, Any]]:
    return [rule for rule in read(workspace, "gate.json")["rules"] if rule["name"] == "not_worse"]


def in_production() -> str:
    entry = current(open_store(ReleaseConfig().store), "production")
    assert entry is not None
    return entry.release


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A home with checkpoints and a store whose channel has its first release, made by a run that nobody started."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE5_HOME", str(home))
        patch.chdir(home)
        assert main(["keygen"]) == 0
        checkpoint(home / "good", NARROW)
        checkpoint(home / "wide", WIDE)
        checkpoint(home / "worse", NARROW, offset=0.03)
        checkpoint(home / "alike", NARROW, offset=1e-5)
        code, workspace = release("good", "--unattended")
        assert code == 0
        yield home, home / workspace


@pytest.fixture
def home(first: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    shutil.copytree(first[0], tmp_path / "home")
    monkeypatch.setenv("GATE5_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def test_on_a_channels_first_release_there_is_nothing_to_compare_with(first: tuple[Path, Path]) -> None:
    found = not_worse(first[1])
    assert {rule["outcome"] for rule in found} == {"not_applicable"}
    assert {rule["note"] for rule in found} == {"not applicable, first release of the channel"}
    assert read(first[1], "current.json")["state"] == "first"


def test_a_worse_candidate_is_refused_on_schedule_and_a_person_can_promote_it(home: Path) -> None:
    before = in_production()
    code, workspace = release("worse", "--unattended")
    assert code == 1
    assert in_production() == before
    reasons = read(workspace, "rejection.json")["reasons"]
    assert len(reasons) == 2, "in the third the level is too low anyway, so that a higher one is better"
    assert all("current.difference.low_percent is -" in reason for reason in reasons)
    approval = {"release": {"approval": "required"}}
    code, workspace = release("worse", "--approved-by", "ada", **approval)
    assert code == 0
    assert not any(rule["veto"] for rule in not_worse(workspace))
    assert [rule["outcome"] for rule in not_worse(workspace)] == ["fail", "fail", "pass"]
    assert in_production() == read(workspace, "release.json")["release_id"] != before
    assert read(workspace, "current.json")["release"] == before, "the evidence names what it was compared with"


def test_all_three_drive_the_same_seeds(home: Path) -> None:
    code, workspace = release("worse", "--unattended")
    assert code == 1
    for row in read(workspace, "comparison.json")["scenarios"]:
        now = row["current"]
        assert now["release"] == in_production()
        assert now["driver"] == "its engine (onnxruntime fp32)"
        ours, theirs = row["rl"]["returns"], now["result"]["returns"]
        assert now["difference"]["mean"] == pytest.approx(np.mean(ours) - np.mean(theirs))
        assert now["difference"]["pairs"] == 5
        with np.load(workspace / f"evaluation/{row['scenario']}.npz") as arrays:
            levels = [arrays[f"{who}/level"] for who in ("rl", "baseline", "current")]
        assert len({tuple(np.round(level, 9)) for level in levels}) == 3, "three curves"
    files = read(home / "good-unattended", "current.json"), read(workspace, "current.json")
    assert [file["release"] for file in files] == ["", in_production()]


def test_a_release_with_another_observation_layout_drives_too(home: Path) -> None:
    wide = {"plant": {**CONFIG["plant"], "options": {"observed": list(WIDE)}}}
    code, workspace = release("wide", "--unattended", **wide)
    assert code == 0
    for row in read(workspace, "comparison.json")["scenarios"]:
        assert row["current"]["result"]["episodes"] == 5
        assert abs(row["current"]["difference"]["mean"]) < 1e-4, "the same function of other observations"
    code, workspace = release("good", "--unattended", gate={**CONFIG["gate"], "sla_p99_ms": 999})
    assert code == 0, "and the other way round"


@pytest.mark.parametrize("unattended", [True, False])
def test_another_plant_is_not_compared_and_never_passed_over(home: Path, unattended: bool) -> None:
    """The options say little; that the same actions give something else says all."""
    other = {"plant": {**CONFIG["plant"], "options": {"outlet": 0.21}}}
    before = in_production()
    code, workspace = release("good", *(["--unattended"] if unattended else []), **other)
    found = not_worse(workspace)
    assert {rule["outcome"] for rule in found} == {"missing"}
    assert all("its plant is another one: the same actions give another level" in rule["note"] for rule in found)
    assert code == (3 if unattended else 0)
    assert (in_production() == before) is unattended


def test_a_damaged_current_release_is_said_and_stops_a_run_that_nobody_watches(home: Path) -> None:
    blobs = home / "var/store/blobs/sha256"
    onnx = read(home / "good-unattended", "records/export.json")["outputs"]["policy.onnx"]
    os.chmod(blobs / onnx, 0o644)
    (blobs / onnx).write_bytes(b"something else")
    code, workspace = release("worse", "--unattended")
    assert code == 3
    assert {rule["outcome"] for rule in not_worse(workspace)} == {"missing"}
    assert all("has been damaged" in rule["note"] for rule in not_worse(workspace))
    assert read(workspace, "current.json")["state"] == "unusable"
    code, _ = release("worse")
    assert code == 0, "a person can replace it"


def test_one_that_is_switched_off_is_no_pass_on_schedule(home: Path) -> None:
    off = {"evaluation": {**CONFIG["evaluation"], "current": False}}
    code, workspace = release("good", "--unattended", **off)
    assert code == 3
    assert all("evaluation.current is false" in rule["note"] for rule in not_worse(workspace))


def test_the_run_compares_with_what_was_current_when_it_began(home: Path) -> None:
    """A promotion meanwhile changes nothing of the evidence."""
    Path("c.yaml").write_text(yaml.safe_dump(CONFIG))
    before = in_production()
    assert main(["resolve", "good", "--config", "c.yaml", "--workspace", "w"]) == 0
    assert release("worse")[0] == 0
    assert in_production() != before
    for stage in ("export", "build"):
        assert main([stage, "--workspace", "w"]) == 0
    assert main(["evaluate", "--workspace", "w", "--scenario", "hold"]) == 0
    assert read(Path("w"), "evaluation/hold.json")["current"]["release"] == before


def test_a_threshold_for_a_scenario_that_is_none_is_bad_input(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = [
        {**rule, "by_scenario": {"hald": -1.0}} if "*" in rule["metric"] else rule for rule in CONFIG["gate"]["rules"]
    ]
    code, _ = release("good", gate={**CONFIG["gate"], "rules": rules})
    assert code == 2
    assert "'hald'" in capsys.readouterr().err


def test_the_report_shows_all_three(home: Path) -> None:
    """A column in the tables, a curve in each chart, and what it was compared with."""
    assert release("worse", "--unattended")[0] == 1
    page = Path("worse-unattended/report.html").read_text()
    assert in_production() in page
    assert "Against the channel&#x27;s current release" in page or "Against the channel's current release" in page
    chart = page[page.index('id="scenario-hold"') :]
    curves = chart[: chart.index("</svg>")]
    assert [f'data-name="{name}"' in curves for name in ("policy", "PID", "current release")] == [True] * 3
    first = Path("good-unattended/report.html").read_text()
    assert "Not compared: first release of the channel." in first


@pytest.mark.parametrize("unattended", [True, False])
def test_a_channel_that_moved_on_meanwhile(home: Path, capsys: pytest.CaptureFixture[str], unattended: bool) -> None:
    """Judged against one release and promoted over another: refused, where nobody watches."""
    Path("c.yaml").write_text(yaml.safe_dump(CONFIG))
    more = ["--unattended"] if unattended else []
    judged("worse", "v")  # begun first, so that it is not the newer one that may stay
    judged("alike", "w", *more)
    assert main(["promote", "--workspace", "v"]) == 0
    moved = in_production()
    capsys.readouterr()
    assert main(["promote", "--workspace", "w"]) == (1 if unattended else 0)
    assert (in_production() == moved) is unattended
    if unattended:
        assert f"and {moved} is in production by now" in capsys.readouterr().err


def judged(name: str, workspace: str, *more: str) -> None:
    """Every stage up to the report, by its own command."""
    assert main(["resolve", name, "--config", "c.yaml", "--workspace", workspace, *more]) == 0
    for stage in contents.STAGES[1:]:
        if stage.command and stage.name != "promote":
            assert main([stage.name, "--workspace", workspace]) == 0, stage.name
