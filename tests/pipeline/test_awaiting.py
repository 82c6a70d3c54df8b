"""A release built for another machine: nothing is claimed that was not measured, and nothing runs before its proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5 import engine, store
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.config.verdicts import AWAITING
from gate5.errors import ConfigError
from gate5.gate.judge import judge
from gate5.gate.report import GateReport
from gate5.pipeline.prove_stored import prove_stored
from tests.support.small import FEW_EPISODES

GOOD = Path(__file__).parents[2] / "examples/checkpoints/good"
CONFIG: dict[str, Any] = {
    "engine": {"backend": "tensorrt_rtx"},
    "export": {"samples": 1000},
    "evaluation": {"episodes": 1, "monte_carlo": 0, "scenarios": ["emergency_trip"]},
    "falsification": {"control_steps": 3000},
    "stress": {"episodes": 1},
    "gate": {"rules": FEW_EPISODES},
}
PULL = ["pull", "plant", "--config", "release.yaml", "--trust", "var/keys/release.pub"]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A home whose store has a release for a DGX Spark, made here by all stages under Gate 5's own rules."""
    trt = pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]'")
    assert trt
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["keygen"]) == 0
    code = main(["release", str(GOOD), "--config", "release.yaml", "--workspace", "w"])
    said = capsys.readouterr()
    if engine.elsewhere(json.loads((tmp_path / "w/engine/engine.json").read_bytes())) is None:
        pytest.skip("this machine has the GPU that the engine was built for")
    assert code == 0, said.out + said.err
    assert "Gate 5: AWAITING PROOF" in said.out
    assert "awaiting proof and runs nowhere before `gate5 prove`" in said.out
    return tmp_path


def test_what_cannot_be_measured_here_is_not_claimed(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict, report and manifest say so; a plant does not run it, and the device's own proof is what lets it."""
    report = GateReport.from_dict(json.loads((released / "w/gate.json").read_bytes()))
    assert (report.verdict, report.passed, report.releasable) == (AWAITING, False, True)
    outcomes = {rule.name: rule.outcome for rule in report.rules}
    awaited = {name for name, outcome in outcomes.items() if outcome == "awaiting"}
    assert awaited == {
        "engine_parity", "engine_repeats", "latency_p99", "latency_p99_cadence", "emergency_trip_shown",
    }  # fmt: skip
    assert outcomes["onnx_parity"] == outcomes["no_violations"] == "pass"
    driven = next(rule for rule in report.rules if rule.name == "no_violations")
    assert "driven by the exported graph, not by the engine" in driven.note
    assert all("sm121" in reason for reason in report.reasons)
    for name in ("parity.json", "latency.json", "latency.npz"):
        assert not (released / "w" / name).exists()
    row = json.loads((released / "w/evaluation/emergency_trip.json").read_bytes())["rl"]
    assert (row["engine_episodes"], row["driver"]) == (0, "the exported graph, onnxruntime")

    page = (released / "w/report.html").read_text()
    assert "AWAITING PROOF" in page
    assert "Awaiting proof, not measured here" in page
    assert "has not run yet" not in page
    opened = store.open_store(ReleaseConfig.load(released / "release.yaml").store)
    entry = store.current(opened, "production")
    assert entry is not None
    release = store.find_release(opened, entry.release)
    assert release is not None
    assert release.verdict == AWAITING
    assert "sm121" in str(release.provenance["awaiting"])
    assert "awaiting.json" in release.files
    assert "latency.json" not in release.files

    capsys.readouterr()
    assert main(PULL) == 3
    assert "sm121" in capsys.readouterr().err, "this machine is not the one that it was built for"
    assert not (released / "plant/current").exists()
    assert main(["rebuild", "--config", "release.yaml"]) == 0
    with pytest.raises(ConfigError, match=r"cannot be proved on this worker: The engine was built for sm121"):
        prove_stored(ReleaseConfig.load(released / "release.yaml"), None)
    assert main(["prove", "plant", "--config", "release.yaml", "--trust", "var/keys/release.pub"]) == 2


RULES = ReleaseConfig.parse(
    {
        "gate": {
            "rules": [
                {"name": "graph", "metric": "parity.onnx.max_abs_error", "op": "<", "threshold": 1e-4},
                {"name": "time", "metric": "latency.p99_upper_ms", "op": "<", "threshold": 1},
                {"name": "seen", "metric": "evaluation.*.rl.violations", "op": "==", "threshold": 0},
            ]
        }
    }
).gate.rules


def only_latency(metric: str) -> str | None:
    return "on the device" if metric.startswith("latency.") else None


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        ({"parity.onnx.max_abs_error": 0.0, "evaluation.a.rl.violations": 0.0}, AWAITING),
        ({"parity.onnx.max_abs_error": 1.0, "evaluation.a.rl.violations": 0.0}, "fail"),
        ({"parity.onnx.max_abs_error": 0.0, "evaluation.a.rl.violations": 1.0}, "fail"),
        ({"parity.onnx.max_abs_error": 0.0}, "error"),
        ({"evaluation.a.rl.violations": 0.0}, "error"),
        ({}, "error"),
        (
            {"parity.onnx.max_abs_error": 0.0, "evaluation.a.rl.violations": 0.0, "latency.p99_upper_ms": 0.5},
            "pass",
        ),
        (
            {"parity.onnx.max_abs_error": 0.0, "evaluation.a.rl.violations": 0.0, "latency.p99_upper_ms": 2.0},
            "fail",
        ),
    ],
)
def test_only_what_the_device_alone_can_give_is_awaited(metrics: dict[str, float | None], verdict: str) -> None:
    found = judge(RULES, metrics, ["a"], 1.0, awaits=only_latency)
    assert found.verdict == verdict
    assert judge(RULES, metrics, ["a"], 1.0).verdict == ("error" if verdict == AWAITING else verdict)


def test_where_every_rule_waits_nothing_was_judged() -> None:
    found = judge(RULES[1:2], {}, ["a"], 1.0, awaits=only_latency)
    assert found.verdict == "error"
    assert not found.releasable
