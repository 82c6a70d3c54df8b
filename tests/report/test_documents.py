"""docs/gate5.md lists exactly the metrics that a rule can name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gate5.evaluation import EvaluationReport, ScenarioComparison
from gate5.export import ExportReport
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.latency.report import LatencyReport
from gate5.parity.engine import ParityReport
from tests.report.test_robustness import REPORT
from tests.support.finished_run import Run

ROOT = Path(__file__).resolve().parents[2]


def general(metric: str) -> str:
    """A metric's name with the plant's own names replaced, as the document writes it."""
    metric = re.sub(r"^(\w+)\.(hold|ramp|gust|load_following)\.", r"\1.SCENARIO.", metric)
    metric = re.sub(r"^stress\.SCENARIO\.\w+( \w+)?\.\d+\.", "stress.SCENARIO.CLASS.LEVEL.", metric)
    metric = re.sub(r"(SCENARIO)\.baseline\.", r"\1.rl.", metric).replace(".temperature.", ".VARIABLE.")
    metric = re.sub(r"\.term\.(\w+)\.", ".term.TERM.", metric)
    return re.sub(r"\.constraint\.\w+", ".constraint.NAME", metric)


def test_every_metric_is_documented_and_every_documented_one_is_reported(run: Run) -> None:
    def read(name: str) -> Any:
        return json.loads(run.artifacts[name])

    rows = [ScenarioComparison.from_dict(read(f"evaluation/{name}.json")) for name in ("hold", "ramp", "gust")]
    metrics = {
        *ExportReport.from_dict(read("export.json")).metrics(),
        *ParityReport.from_dict(read("parity.json")).metrics(),
        *LatencyReport.from_dict(read("latency.json")).metrics(),
        *EvaluationReport.of(rows).metrics(),
        *REPORT.metrics(),
    }
    documented = set(
        re.findall(
            r"`((?:parity|latency|evaluation|worst_case|stress)\.[A-Za-z0-9_.]+)`", (ROOT / "docs/gate5.md").read_text()
        )
    )
    found = {general(metric) for metric in metrics}
    assert {once(metric, found) for metric in found} == documented


def once(metric: str, every: set[str]) -> str:
    """The current release's numbers are those of the policy and are documented there."""
    start, current, name = metric.partition(".current.")
    if not current or name.startswith("difference.") or not start.startswith("evaluation."):
        return metric
    kind = "term." if name.startswith("term.") else ""
    assert f"{start}.{name if kind else f'rl.{name}'}" in every
    return f"{start}.current.{kind}NAME"


def test_documents_of_a_run_are_read_and_written_with_the_same_bytes(run: Run) -> None:
    """A verdict is released by the hash of what was read: a number must not come back in another form."""
    kinds: dict[str, Any] = {
        "export.json": ExportReport,
        "parity.json": ParityReport,
        "latency.json": LatencyReport,
        "gate.json": GateReport,
        "evaluation/hold.json": ScenarioComparison,
    }
    for name, kind in kinds.items():
        data = run.artifacts[name]
        assert canonical.dumps(kind.from_dict(canonical.loads(data)).to_dict()) == canonical.dumps(
            canonical.loads(data)
        )
