"""Retraining on the real scheduler: a training that is killed goes on, and its candidate's release starts by itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.train.resume import STATE

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DAG, RUN = "policy_retrain", "nightly"
#: As little as still gives a policy that reaches the end of every episode.
SMALL = {
    "imitation": {"rounds": 2, "episodes": 3, "epochs": 6, "final_epochs": 12, "batch": 256, "keep": 0.6},
    "ppo": {"envs": 32, "n_steps": 64, "batch_size": 1024, "chunk": 2048, "hidden": [64, 64]},
    "polish": {"generations": 0},
}


def config(site: Any) -> str:
    path = Path(site.config("retrain"))
    section = {"folder": str(site.folder / "candidates"), "steps": 6144, "seed": 1, "episodes": 1, "options": SMALL}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "retrain": section}))
    return str(path)


def kill_training(site: Any, patience_s: float = 120.0) -> None:
    """SIGKILL to the process of the task, as soon as there is a saved state that a second try can go on from."""
    state, end = site.folder / "candidates" / RUN / STATE, time.monotonic() + patience_s
    while not state.exists():
        assert time.monotonic() < end, site.states(RUN, DAG)
        site.airflow.check_alive()
        time.sleep(0.1)
    (task,) = [task for task in site.api.task_instances(DAG, RUN) if task["task_id"] == "train"]
    assert task["state"] == "running"
    os.kill(int(task["pid"]), signal.SIGKILL)


def triggered_by(site: Any, event: dict[str, Any], patience_s: float = 60.0) -> str:
    """The release that an announcement has started."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        for run in site.api.get("dags/policy_release/dagRuns", run_type="asset_triggered", limit=100)["dag_runs"]:
            if run["start_date"] is None:
                continue  # Airflow 3.3.2 answers 500 to the question below until the run has started.
            path = f"{site.api.run_path('policy_release', run['dag_run_id'])}/upstreamAssetEvents"
            if any(found["extra"] == event for found in site.api.get(path)["asset_events"]):
                return str(run["dag_run_id"])
        time.sleep(0.5)
    raise AssertionError(f"no release was started by {event} within {patience_s:g} s")


def test_a_killed_training_goes_on_and_ends_in_a_release_that_it_triggered(site: Any) -> None:
    site.start(RUN, dag_id=DAG, config=config(site))
    kill_training(site)
    assert site.wait_for_run(RUN, DAG) == "success"

    trained = site.api.xcom(DAG, RUN, "train", "return_value")
    tries = {task["task_id"]: task["try_number"] for task in site.api.task_instances(DAG, RUN)}
    assert (tries["train"], len(trained["resumed_at"])) == (2, 1)
    event = site.api.xcom(DAG, RUN, "announce", "return_value")
    release = triggered_by(site, event)
    site.wait_for_task(release, "resolve", "success")
    resolved = site.api.xcom("policy_release", release, "resolve", "return_value")
    assert resolved["source"] == f"{event['uri']}/policy.zip"
    assert (resolved["policy_sha256"], resolved["vecnormalize_sha256"]) == (
        trained["policy_sha256"],
        trained["vecnormalize_sha256"],
    )
    assert event["by"] == f"{DAG} {RUN}"
