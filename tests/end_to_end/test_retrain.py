"""Retraining on the real scheduler: a training that is killed goes on, and its candidate's release starts by itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml

from gate5.train.resume import STATE
from tests.support.site import Site, wait_until_file

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DAG, RUN = "policy_retrain", "nightly"
#: As little as still gives a policy that reaches the end of every episode.
SMALL = {
    "imitation": {"rounds": 2, "episodes": 3, "epochs": 6, "final_epochs": 12, "batch": 256, "keep": 0.6},
    "ppo": {"envs": 32, "n_steps": 64, "batch_size": 1024, "chunk": 2048, "hidden": [64, 64]},
    "polish": {"generations": 0},
}


def config(site: Site) -> str:
    path = Path(site.config("retrain"))
    section = {"folder": str(site.folder / "candidates"), "steps": 6144, "seed": 1, "episodes": 1, "options": SMALL}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "retrain": section}))
    return str(path)


def kill_training(site: Site) -> None:
    """SIGKILL to the process of the task, as soon as there is a saved state that a second try can go on from."""
    task = site.wait_for_task(RUN, "train", "running", DAG)
    wait_until_file(site.folder / "candidates" / RUN / STATE, site, RUN, DAG)
    os.kill(int(task["pid"]), signal.SIGKILL)


def test_a_killed_training_goes_on_and_ends_in_a_release_that_it_triggered(site: Site) -> None:
    site.start(RUN, dag_id=DAG, config=config(site))
    kill_training(site)
    assert site.wait_for_run(RUN, DAG) == "success"

    trained = site.api.xcom(DAG, RUN, "train", "return_value")
    tries = {task["task_id"]: task["try_number"] for task in site.api.task_instances(DAG, RUN)}
    assert (tries["train"], len(trained["resumed_at"])) == (2, 1)
    event = site.api.xcom(DAG, RUN, "announce", "return_value")
    release = site.triggered_by(event)
    site.wait_for_task(release, "resolve", "success")
    resolved = site.api.xcom("policy_release", release, "resolve", "return_value")
    assert resolved["source"] == f"{event['uri']}/policy.zip"
    assert (resolved["policy_sha256"], resolved["vecnormalize_sha256"]) == (
        trained["policy_sha256"],
        trained["vecnormalize_sha256"],
    )
    assert event["by"] == f"{DAG} {RUN}"
