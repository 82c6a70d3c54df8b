"""Lineage and metrics of a run on a real scheduler, sent by Airflow's own settings to a real receiver.

tests/dags/test_release_run.py has the whole of it in one process; here each task is one, and sends before it ends.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gate5.io.files import sha256
from gate5.store import keygen
from gate5.workspace.address import run_workspace_uri
from local_airflow.components import LocalAirflow
from local_airflow.patience import wait_for
from tests.end_to_end.conftest import GOOD
from tests.support.receiver import receiving
from tests.support.site import DAG, USERS, Site

LONG = pytest.mark.skipif("GATE5_LONG" not in os.environ, reason="an Airflow of its own, minutes; GATE5_LONG=1 runs it")
pytestmark = [pytest.mark.airflow, pytest.mark.slow, LONG]


def test_a_run_is_seen_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_WORKSPACES", str(tmp_path / "workspaces"))
    keygen(tmp_path / "key.pem")
    with receiving() as watcher:
        extra = {**watcher.environment(), "GATE5_WORKSPACES": str(tmp_path / "workspaces"), "GATE5_SCHEDULE": "off"}
        with LocalAirflow(tmp_path / "airflow", "the tests", users=USERS, extra=extra) as airflow:
            site = Site(airflow, tmp_path)
            config = site.config("seen", {"scenarios": ["emergency_trip"]})
            airflow.wait_until_ready(DAG)
            site.start("seen", checkpoint=str(GOOD), config=config)
            assert site.wait_for_run("seen") == "success"
            wait_for("nobody is told of `promote`", lambda: watcher.datasets("promote", "seen", "outputs") or None)
            wait_for("no metric of `promote` came", lambda: watcher.points("run.promoted") or None)
    workspace = Path(run_workspace_uri(DAG, "seen"))
    written = {**watcher.datasets("export", "seen", "outputs"), **watcher.datasets("build", "seen", "outputs")}
    for name in ("policy.onnx", "engine/policy.engine"):
        assert written[f"file {workspace}/{name}"] == sha256((workspace / name).read_bytes())
    read = watcher.datasets("resolve", "seen", "inputs")
    assert read == {f"file {GOOD}/policy.zip": sha256((GOOD / "policy.zip").read_bytes())}
    assert watcher.points("verdict.pass") == {("seen", None): 1}
    assert watcher.points("run.promoted") == {(None, None): 1}
    assert watcher.points("margin.no_violations") == {("seen", "emergency_trip"): 0}
    assert watcher.points("stage.evaluate")["seen", "emergency_trip"] > 0
