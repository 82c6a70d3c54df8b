"""A verdict counts only under the rules of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gate5.config.models import ReleaseConfig
from gate5.errors import InputError
from gate5.gate.judge import judge
from gate5.pipeline import current, promote, stages
from gate5.pipeline.results import GateResult
from gate5.store import keygen
from gate5.workspace.artifacts import DirectoryWorkspace, Workspace
from gate5.workspace.records import Tracker, run_stage
from tests.support.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
LAX = {"rules": [{"name": "latency_p99", "metric": "latency.p99_upper_ms", "op": "<", "threshold": 1e6}]}


def judged(path: Path, config: ReleaseConfig, scenarios: tuple[str, ...] = SCENARIOS) -> Workspace:
    """A workspace whose gate has spoken under ``config``; everything measured is 0, or 99 where more is better."""
    workspace = DirectoryWorkspace(path)
    metrics: dict[str, float | None] = {"latency.p99_upper_ms": 0.0, "latency.cadence.p99_upper_ms": 0.0}
    metrics |= {"parity.onnx.max_abs_error": 0.0, "parity.engine.max_abs_error": 0.0}
    metrics["parity.engine.repeat_mismatches"] = 0.0
    metrics["evidence.declared"] = 1.0
    for name in SCENARIOS:
        metrics |= {f"evaluation.{name}.rl.violations": 0.0, f"evaluation.{name}.difference.high": 99.0}
        metrics |= {f"evaluation.{name}.rl.engine_episodes": 99.0, f"evaluation.{name}.baseline.episodes": 99.0}
        metrics |= {f"evaluation.{name}.rl.violation_probability_upper": 0.0, f"worst_case.{name}.margin": 99.0}
        metrics |= {
            f"stress.{name}.expected.violating_episodes": 0.0,
            f"evaluation.{name}.term.essential_inferior": 0.0,
        }

    def body(tracker: Tracker) -> GateResult:
        report = judge(config.gate.rules, metrics, scenarios, config.gate.sla_p99_ms)
        assert report.passed
        tracker.write_json("gate.json", report.to_dict())
        return GateResult(workspace.uri, report.verdict, [])

    def resolved(tracker: Tracker) -> GateResult:
        current.keep(tracker, current.Found(current.Current("production", "s", "first")))
        return GateResult(workspace.uri, "", [])

    run_stage(workspace, config, "resolve", GateResult, resolved)
    run_stage(workspace, config, "gate", GateResult, body)
    return workspace


def of(path: Path, **changes: Any) -> ReleaseConfig:
    return ReleaseConfig.parse({"store": {"uri": str(path / "store")}, **changes})


def test_a_pass_under_laxer_rules_is_not_promoted_under_the_runs_own(tmp_path: Path) -> None:
    workspace = judged(tmp_path / "w", of(tmp_path, gate=LAX))
    with pytest.raises(InputError, match="under another configuration"):
        promote.promote(workspace, of(tmp_path))
    assert not (tmp_path / "store").exists()


def test_nor_one_that_left_a_scenario_out(tmp_path: Path) -> None:
    rest = tuple(name for name in SCENARIOS if name != "cold_startup")
    workspace = judged(tmp_path / "w", of(tmp_path), rest)
    with pytest.raises(InputError, match="under other rules"):
        promote.promote(workspace, of(tmp_path))


def test_under_its_own_rules_it_gets_past_the_verdict(tmp_path: Path) -> None:
    workspace = judged(tmp_path / "w", of(tmp_path))
    # This workspace holds nothing but a verdict, so that the next thing is missing: proof that the verdict was taken.
    with pytest.raises(InputError, match=r"wrote no checkpoint.json"):
        promote.promote(workspace, of(tmp_path))


def test_of_two_announced_candidates_the_one_announced_later_is_the_newer(tmp_path: Path) -> None:
    """Their runs start in any order; the time of a run counts only for a candidate that nobody announced."""
    good, config = "examples/checkpoints/good", of(tmp_path, store={"signing_key": str(tmp_path / "k.pem")})
    keygen(tmp_path / "k.pem")
    begun = {}
    for name, announced in {"later": "2026-01-02T00:00:00.000001+00:00", "first": "2026-01-02T00:00:00+00:00"}.items():
        workspace = DirectoryWorkspace(tmp_path / name)
        stages.resolve(workspace, config, str(ROOT / good), announced=announced)
        begun[name] = workspace.read_json("checkpoint.json")["begun"]
    stages.resolve(DirectoryWorkspace(tmp_path / "by hand"), config, str(ROOT / good))
    begun["by hand"] = DirectoryWorkspace(tmp_path / "by hand").read_json("checkpoint.json")["begun"]
    assert sorted(begun, key=lambda name: begun[name]) == ["first", "later", "by hand"]


def test_provenance_names_the_machine_that_built_and_not_the_one_that_promotes(tmp_path: Path) -> None:
    """The engine was built on a GPU worker, the CPU worker that promotes is this process."""
    config = of(tmp_path)
    workspace = DirectoryWorkspace(tmp_path / "w")
    stages.resolve(workspace, config, str(ROOT / "examples/checkpoints/good"))
    workspace.write_json("engine/engine.json", {"backend": "tensorrt", "precision": "fp16"})
    with_ = {"gate5": "0.2.0", "tensorrt": "10.16"}
    ran = {"host": "gpu-worker-1", "with": with_, "ended": "2026-01-02T00:00:00+00:00"}
    record = {"inputs": {}, "outputs": {}, "result": {}, "key": "k", "config": config.sha256, "ran": ran}
    workspace.write_json("records/build.json", record)

    class Finished:
        """A tracker that asks for no record of what it reads."""

        def __init__(self, workspace: Workspace) -> None:
            self.workspace, self.find, self.read_json = workspace, workspace.find, workspace.read_json

    verdict = judge(config.gate.rules, {}, SCENARIOS, config.gate.sla_p99_ms)
    said = promote._provenance(cast(Tracker, Finished(workspace)), config, verdict, "ada", None)
    assert said["builder"] == "urn:gate5:builder:gpu-worker-1"
    assert said["built_with"] == with_
    assert said["released_with"] != with_
    assert said["run"]["started_on"] == workspace.read_json("checkpoint.json")["begun"]
    assert said["run"]["started_on"] <= said["run"]["finished_on"]
