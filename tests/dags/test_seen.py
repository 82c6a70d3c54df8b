"""What OpenLineage is answered of a stage, and what metrics a real receiver of OpenTelemetry gets."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate5.gate.report import GateReport, RuleResult
from gate5.io.files import sha256
from tests.support.receiver import Receiver, receiver

__all__ = ["receiver"]
pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("dag_modules")]
A, B = "a" * 64, "b" * 64


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's, with the records of three stages."""
    monkeypatch.setenv("GATE5_WORKSPACES", str(tmp_path))
    folder = tmp_path / "policy_release" / "nightly"
    (folder / "records").mkdir(parents=True)
    graph = {"by": "export", "sha256": B}
    records: dict[str, Any] = {
        "resolve": ({}, {"checkpoint/policy.zip": A}, {"source": "s3://models/run-17/", "policy_sha256": A}),
        "export": ({"checkpoint/policy.zip": {"by": "resolve", "sha256": A}}, {"policy.onnx": B}, {}),
        "evaluate-cold_startup": ({"policy.onnx": graph}, {"evaluation/cold_startup.json": A}, {}),
    }
    for name, (inputs, outputs, result) in records.items():
        record = {"inputs": inputs, "outputs": outputs, "result": result, "key": "", "config": ""}
        (folder / "records" / f"{name}.json").write_text(json.dumps(record))
    (folder / "report.html").write_text("the report")
    (folder / "release.json").write_text(json.dumps({"store": "s3://releases/gate5/", "release_id": "sco2-1"}))
    return folder


def named(task_id: str, scenario: str | None = None, run_id: str = "nightly") -> list[dict[str, str | None]]:
    """What a stage read and what it wrote: names to versions."""
    from gate5_dag.lineage import lineage  # type: ignore[import-not-found,unused-ignore]

    found = lineage("policy_release", run_id, task_id, scenario)
    return [
        {f"{one.namespace} {one.name}": one.facets["version"].datasetVersion if one.facets else None for one in each}
        for each in (found.inputs, found.outputs)
    ]


def test_what_one_stage_wrote_the_next_one_read(workspace: Path) -> None:
    checkpoint, graph = {f"file {workspace}/checkpoint/policy.zip": A}, {f"file {workspace}/policy.onnx": B}
    assert named("resolve") == [{"s3://models run-17/": A}, checkpoint]
    assert named("export") == [checkpoint, graph]
    assert named("evaluate", "cold_startup") == [graph, {f"file {workspace}/evaluation/cold_startup.json": A}]
    assert named("report")[1] == {f"file {workspace}/report.html": sha256(b"the report")}
    assert named("promote")[1]["s3://releases gate5/releases/sco2-1"] is None


def test_a_stage_or_run_that_has_left_nothing_names_nothing(workspace: Path) -> None:
    assert named("build") == named("evaluate", "steady_state") == named("export", run_id="other") == [{}, {}]


@pytest.fixture
def metrics(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, in a run of policy_release; Airflow's settings lead to the receiver."""
    for name, value in receiver.environment().items():
        monkeypatch.setenv(name, value)
    from airflow.sdk._shared.observability.metrics.otel_logger import flush_otel_metrics
    from airflow.sdk.observability.metrics import stats_utils
    from airflow.sdk.observability.stats import Stats
    from opentelemetry.metrics import get_meter_provider

    from gate5_dag import metrics  # type: ignore[import-not-found,unused-ignore]

    context = {"dag_run": SimpleNamespace(dag_id="policy_release")}
    monkeypatch.setattr(metrics, "get_current_context", lambda: context)
    Stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
    yield SimpleNamespace(send=metrics, flush=flush_otel_metrics)
    atexit.unregister(flush_otel_metrics)  # nobody is there any more when the tests end
    provider: Any = get_meter_provider()
    provider.shutdown()
    monkeypatch.undo()
    Stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


def rule(name: str, scenario: str | None, margin: float | None) -> RuleResult:
    return RuleResult(name, f"{name}.x", scenario, "<", 1.0, None, margin, "pass", True, "", "")


def test_verdicts_margins_times_and_outcomes_arrive(metrics: Any, receiver: Receiver) -> None:
    rules = (rule("worst case", "cold", -0.5), rule("worst case", "trip", 0.25), rule("unmeasured", None, None))
    metrics.send.judged(GateReport("awaiting proof", rules, ()), "trial")
    with metrics.send.timed_stage("evaluate", "trial", "cold"):
        pass
    metrics.send.became("promoted")
    metrics.flush()
    assert receiver.points("verdict.awaiting_proof") == {("trial", None): 1}
    assert receiver.points("margin.worst_case") == {("trial", "cold"): -0.5, ("trial", "trip"): 0.25}
    assert receiver.points("margin.unmeasured") == {}
    assert list(receiver.points("stage.evaluate")) == [("trial", "cold")]
    assert receiver.points("run.promoted") == {(None, None): 1}
