"""What a finished run of ``policy_release`` came to: what to print and which exit code to give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate5.errors import Gate5Error
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.io.airflow import Api
from gate5.workspace.address import find_run_workspace
from gate5.workspace.artifacts import Workspace
from local_airflow.progress import Progress, log_tail, name

DONE, REFUSED, BAD_INPUT, BROKEN = 0, 1, 2, 3


@dataclass(frozen=True)
class Outcome:
    """Exit code and the lines to print."""

    code: int
    lines: list[str]


def read_outcome(api: Api, progress: Progress, instances: list[dict[str, Any]]) -> Outcome:
    """Read the outcome of a run from its tasks' results and its workspace."""
    workspace = find_run_workspace(progress.dag_id, progress.run_id)
    states = {task["task_id"]: task["state"] for task in instances}
    lines = _gate_lines(workspace)
    failed = [task for task in instances if task["state"] == "failed" and task["task_id"] != "reject"]
    if failed:
        code, text = _failure(api, progress, failed)
        lines += text
    elif states.get("promote") == "success":
        code, text = DONE, _promoted(api, progress)
        lines += text
    else:
        code, text = _refused(api, progress, workspace)
        lines += text
    lines += _report_line(workspace)
    return Outcome(code, lines)


def _gate_lines(workspace: Workspace | None) -> list[str]:
    data = workspace.find("gate.json") if workspace else None
    if data is None:
        return []
    try:
        return ["", GateReport.from_dict(canonical.loads(data)).table(), ""]
    except (Gate5Error, ValueError) as error:
        return ["", f"The gate's table cannot be shown: {error}", ""]


def _promoted(api: Api, progress: Progress) -> list[str]:
    from gate5.pipeline.results import PromoteResult

    value = api.xcom(progress.dag_id, progress.run_id, "promote", "return_value")
    result = PromoteResult.from_dict(value)
    return [f"PASS     {result.line()}", f"release  {result.release_id}"]


def _refused(api: Api, progress: Progress, workspace: Workspace | None) -> tuple[int, list[str]]:
    reasons = api.xcom(progress.dag_id, progress.run_id, "reject", "reasons")
    if reasons is None:
        return BROKEN, ["BROKEN: the run ended without a verdict; it may have been marked so by hand."]
    report = GateReport.from_dict(workspace.read_json("gate.json")) if workspace else None
    # The gate's own reasons stand below its table already.
    own = [f"  - {reason}" for reason in reasons if report is None or reason not in report.reasons]
    if report is None or report.verdict == "error":
        return BROKEN, ["NO VERDICT: nothing was released", *own]
    return REFUSED, ["REFUSED: nothing was released", *own]


def _failure(api: Api, progress: Progress, failed: list[dict[str, Any]]) -> tuple[int, list[str]]:
    codes, lines = [], []
    for task in failed:
        error = api.xcom(progress.dag_id, progress.run_id, task["task_id"], "error", task["map_index"])
        path = progress.log_file(task)
        codes.append(BROKEN if error is None else int(error["exit_code"]))
        lines.append(f"BROKEN: {name(task)}: {error['text'] if error else 'the task failed without a word'}")
        if codes[-1] != BAD_INPUT and path is not None:
            lines += [f"The log {path} ends with:", *(f"    {text}" for text in log_tail(path))]
    return max(codes), lines


def _report_line(workspace: Workspace | None) -> list[str]:
    if workspace is None or not workspace.exists("report.html"):
        return []
    path = Path(workspace.uri) if "://" not in workspace.uri else None
    return [f"report   {path / 'report.html' if path else workspace.uri + '/report.html'}"]
