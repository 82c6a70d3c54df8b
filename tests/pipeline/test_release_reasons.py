"""Releases that must end in a sentence: a tightened limit, an FMU that fails; and an evaluation without onnx."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.cli.main import main
from gate5.pipeline import robustness
from tests.support.small import FEW_EPISODES

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "examples/checkpoints/good"
FULL = ROOT / "examples/checkpoints/full-observation"  # of the observation that the FMU gives
QUICK = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "latency": {"iterations": 1000, "warmup": 100, "cadence_ms": 0.1, "cadence_iterations": 500},
    "falsification": {"control_steps": 10_000},
    "stress": {"episodes": 1},
    "gate": {"rules": FEW_EPISODES},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with a signing key."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["keygen"]) == 0
    return tmp_path


def release(home: Path, config: dict[str, Any], checkpoint: Path = GOOD) -> int:
    path = home / "release.yaml"
    path.write_text(yaml.safe_dump(QUICK | config))
    return main(["release", str(checkpoint), "--config", str(path), "--workspace", "w"])


def test_a_limit_tightened_until_the_policy_breaks_it(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The set-point of the turbine inlet is 700 C: whatever the checkpoint, 690 C is broken."""
    config = {
        "plant": {"options": {"constraints": {"turbine_inlet_high": {"high": 690}}}},
        "evaluation": {"episodes": 2, "monte_carlo": 20, "scenarios": ["emergency_trip"]},
    }
    assert release(home, config) == 1
    out = capsys.readouterr().out
    (row,) = json.loads((home / "w/comparison.json").read_text())["scenarios"]
    broken = next(c for c in row["rl"]["constraints"] if c["name"] == "turbine_inlet_high")
    rejection = out[out.index("rejected:") :]
    assert "no_violations: evaluation.emergency_trip.rl.violations is" in rejection
    assert "turbine_inlet_high (turbine_inlet_temperature <= 690 C) is broken in 2 of 2 episodes" in rejection
    assert f"at {broken['first_violation_time_s']:g} s" in rejection
    assert f"margin {broken['smallest_margin']:.4g} C at worst" in rejection
    assert broken["smallest_margin"] < -10
    assert not (home / "var/store/channels/production").exists()
    assert row["reference"]["reference"].startswith("ONNX graph, NumPy")

    # The same stage where there is no onnx, as on a GPU worker: ONNX Runtime is the reference, and it says so.
    monkeypatch.setitem(sys.modules, "onnx", None)
    (home / "w/records/evaluate-emergency_trip.json").unlink()
    monkeypatch.setattr(robustness.told, "__defaults__", (0.0,))  # said at each step, and not once in some seconds
    caplog.set_level("INFO")
    assert main(["evaluate", "--workspace", "w", "--scenario", "emergency_trip"]) == 0
    again = json.loads((home / "w/evaluation/emergency_trip.json").read_text())
    assert again["reference"]["reference"].startswith("ONNX graph, ONNX Runtime ")
    assert again["reference"]["return_abs_max"] == 0.0
    assert again["rl"] == row["rl"]
    done = [int(share) for share in re.findall(r"evaluate emergency_trip: (\d+) % after", caplog.text)]
    assert min(done) < 10
    assert max(done) == 100


def test_an_fmu_that_fails_in_mid_episode_is_a_verdict(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pythonfmu")
    from scripts import make_fmu

    make_fmu.build(2, home / "var/fmu")
    config: dict[str, Any] = make_fmu.configuration()
    options = config["plant"]["options"]
    options["scenarios"] = {"steady_state": options["scenarios"]["steady_state"]}
    options["start"] = {"fail_at": 300.0}
    config["baseline"]["gains"] = str(ROOT / config["baseline"]["gains"])
    assert release(home, config, FULL) == 1
    out = capsys.readouterr().out
    assert "must be == 0: the plant's solver failed (3 times in 3 episodes)" in out
    assert not (home / "var/store/channels/production").exists()
