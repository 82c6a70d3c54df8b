"""The report of a run whose workspace lies on S3, as on a cluster."""

from __future__ import annotations

from pathlib import Path

from gate5.report import render
from gate5.workspace.artifacts import S3Workspace
from tests.support.finished_run import Run
from tests.support.s3_server import S3Server


def test_it_is_the_report_of_the_same_run_in_a_directory(run: Run, tmp_path: Path) -> None:
    with S3Server() as server:
        client = server.client()
        client.create_bucket(Bucket="gate5-workspaces")
        workspace = S3Workspace(client, "gate5-workspaces", "runs/a")
        for name, data in run.artifacts.items():
            workspace.write(name, data)
        there = render(workspace)
    here = render(run.at(tmp_path))
    start, end = '<section id="rules">', '<section id="provenance">'
    assert "Missing" not in there
    assert there[there.index(start) : there.index(end)] == here[here.index(start) : here.index(end)]
