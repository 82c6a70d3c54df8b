"""What people and machines do to a run that is under way, on a real scheduler: one verdict, no false promotion.

One run goes through all of it: a worker killed in `evaluate`, tasks marked as done by hand, a hold and a freeze while
it waits for a person, its configuration taken away, `promote` delivered again after it wrote, and once more after a
newer release has come.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.pipeline import candidate
from gate5.workspace.address import run_workspace_uri
from local_airflow.patience import wait_for
from tests.end_to_end.conftest import GOOD
from tests.support.site import DAG, Site, say

pytestmark = [pytest.mark.airflow, pytest.mark.slow]
NAME = "handled"


@dataclass
class Handled:
    """One run, and what was seen of it after each step: the states of its tasks and what they said."""

    site: Site
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.site.folder / f"{NAME}.yaml"

    @property
    def workspace(self) -> Path:
        return Path(run_workspace_uri(DAG, NAME))

    def at_work(self, task_id: str, map_index: int) -> int:
        """The process of a task, as soon as it runs."""

        def found() -> int | None:
            self.site.airflow.check_alive()
            every = self.site.api.task_instances(DAG, NAME)
            mine = [each for each in every if (each["task_id"], each["map_index"]) == (task_id, map_index)]
            return int(mine[0]["pid"]) if mine and mine[0]["state"] == "running" and mine[0]["pid"] else None

        return wait_for(
            f"{task_id} {map_index} is not at work", found, lambda: self.site._signs(NAME, DAG), every_s=0.1
        )

    def mark(self, task: str, state: str = "success") -> None:
        """Mark a task as done, or as skipped, by hand."""
        path = f"{self.site.api.run_path(DAG, NAME)}/taskInstances/{task}"
        self.site.api.call("PATCH", path, {"new_state": state})

    def clear(self, *tasks: Any, downstream: bool = True) -> None:
        """Let tasks run again."""
        body = {"dry_run": False, "dag_run_id": NAME, "task_ids": list(tasks), "only_failed": False}
        more = {"include_downstream": downstream, "reset_dag_runs": True}
        self.site.api.call("POST", f"dags/{DAG}/clearTaskInstances", {**body, **more})

    def ended(self, step: str, task_id: str, key: str = "error") -> None:
        """Wait for the run's end, and note what there is."""
        self.site.wait_for_run(NAME)
        self.states[step] = self.site.states(NAME)
        self.pages[step] = self.site.page(f"run/{DAG}/{NAME}/status", "viewer").json()
        self.said[step] = self.site.api.xcom(DAG, NAME, task_id, key) or {}

    def write(self, **sections: Any) -> None:
        """Other sections in the run's file, from now on."""
        self.config.write_text(yaml.safe_dump({**yaml.safe_load(self.config.read_text()), **sections}))

    def opened(self) -> store.ArtifactStore:
        return store.open_store(ReleaseConfig.load(self.site.folder / "announced.yaml").store)


@pytest.fixture(scope="module")
def handled(site: Site) -> Handled:
    run = Handled(site)
    site.config(NAME, approval="required")
    site.start(NAME, checkpoint=str(GOOD), config=str(run.config))
    kill_and_mark(run)
    answered_under_a_hold(run)
    promoted_and_again(run)
    return run


def kill_and_mark(run: Handled) -> None:
    """One `evaluate` is killed and tried again; one is marked as done before it was, and as skipped; then `gate` and
    `approval` are marked as done."""
    os.kill(run.at_work("evaluate", 0), signal.SIGKILL)
    pid = run.at_work("evaluate", 1)
    os.kill(pid, signal.SIGSTOP)
    assert not (run.workspace / "records" / "evaluate-emergency_trip.json").exists(), "stopped before it was done"
    run.mark("evaluate/1")
    os.kill(pid, signal.SIGKILL)
    run.ended("evaluate", "compare")
    every = run.site.api.task_instances(DAG, NAME)
    run.tries = {each["map_index"]: each["try_number"] for each in every if each["task_id"] == "evaluate"}
    run.mark("evaluate/1", "skipped")
    run.clear("compare")
    run.ended("skipped", "gate")
    run.mark("gate", "skipped")
    run.ended("unjudged", "decide")
    run.mark("gate")  # Airflow then clears what had failed for want of it
    run.ended("gate", "decide")
    run.clear(["evaluate", 1])
    run.site.wait_for_task(NAME, "approval", "awaiting_input")
    run.site.wait_until_left(NAME, "approval")
    run.mark("approval")
    run.ended("approval", "promote")


def answered_under_a_hold(run: Handled) -> None:
    """The question is put again; while it stands the policy is held, and when that is lifted the channel is frozen."""
    run.clear("approval")
    run.site.wait_for_task(NAME, "approval", "awaiting_input")
    run.site.wait_until_left(NAME, "approval", times=2)
    names = ("checkpoint.json", "engine/engine.json")
    checkpoint, engine = (json.loads((run.workspace / name).read_text()) for name in names)
    policy = candidate.built(checkpoint, engine, ReleaseConfig.load(run.config))
    assert policy is not None
    held = store.hold(run.opened(), NAME, policy, by="eve", reason="a vibration was seen")
    say(run.site.api_of("bob"), DAG, NAME, "Promote", comment="as agreed")
    run.ended("hold", "promote")
    store.lift(run.opened(), NAME, held.holds[0].name, by="eve", reason="it was the pump")
    run.write(channels={NAME: {"freeze": "outage of unit 2"}})
    run.clear("promote")
    run.ended("freeze", "promote")
    run.mark("promote")
    run.ended("marked", "promote", "none")
    run.log = run.site.channel(NAME)


def promoted_and_again(run: Handled) -> None:
    """The configuration is gone; then `promote` runs again, after it wrote and after a newer release."""
    run.config.rename(run.config.with_suffix(".gone"))
    for step in ("promoted", "again"):
        run.clear("promote")
        run.ended(step, "promote", "return_value")
    run.config.with_suffix(".gone").rename(run.config)
    provenance = {"plant": "sco2", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    newer = store.publish(run.opened(), {"policy.onnx": b"a newer one"}, provenance)
    store.promote(run.opened(), NAME, newer, approved_by="bob")
    run.write(channels={})
    run.clear("promote")
    run.ended("late", "promote", "return_value")


def test_a_killed_evaluation_is_done_again_and_one_marked_by_hand_is_none(handled: Handled) -> None:
    assert handled.tries[0] == 2
    assert handled.states["evaluate"]["compare"] == "failed"
    said = handled.said["evaluate"]
    assert (said["exit_code"], "no evaluation/emergency_trip.json yet" in said["text"]) == (2, True), said


def test_an_evaluation_skipped_by_hand_is_none(handled: Handled) -> None:
    states = handled.states["skipped"]
    assert (states["compare"], states["gate"]) == ("skipped", "failed")
    said = handled.said["skipped"]
    assert (said["exit_code"], "yet" in said["text"]) == (2, True), said


def test_a_gate_skipped_by_hand_is_no_green_run(handled: Handled) -> None:
    """Seen: all that followed was skipped, and the run ended green without a verdict."""
    states = handled.states["unjudged"]
    assert (states["gate"], states["report"], states["decide"]) == ("skipped", "skipped", "failed")
    said = handled.said["unjudged"]
    assert (said["exit_code"], "no gate.json yet" in said["text"]) == (2, True), said


def test_a_gate_marked_by_hand_is_no_verdict(handled: Handled) -> None:
    assert handled.states["gate"]["gate"] == "success"
    said = handled.said["gate"]
    assert (said["exit_code"], "no gate.json yet" in said["text"]) == (2, True), said
    assert handled.states["gate"]["promote"] != "success"


def test_an_approval_marked_by_hand_is_none(handled: Handled) -> None:
    assert handled.states["approval"]["approval"] == "success"
    assert handled.states["approval"]["promote"] == "failed"
    said = handled.said["approval"]
    assert said["text"] == "The release needs an approval and nobody gave one: clear the task `approval`."


def test_a_hold_or_a_freeze_that_came_while_it_waited_stops_it(handled: Handled) -> None:
    for step, words in (("hold", "eve"), ("freeze", "frozen (outage of unit 2")):
        assert handled.states[step]["promote"] == "failed"
        assert handled.pages[step]["word"] == "NOT TAKEN"
        assert (handled.said[step]["exit_code"], words in handled.said[step]["text"]) == (1, True), handled.said[step]


def test_a_promotion_marked_by_hand_is_none_and_the_page_says_so(handled: Handled) -> None:
    assert handled.states["marked"]["promote"] == "success"
    assert [entry["kind"] for entry in handled.log] == ["lift", "hold"]
    assert handled.pages["marked"]["word"] == "BROKEN"
    assert "a person may have marked it so by hand" in handled.pages["marked"]["headline"]


def test_it_is_promoted_once_however_often_the_task_runs(handled: Handled) -> None:
    assert [handled.states[step]["promote"] for step in ("promoted", "again", "late")] == ["success"] * 3
    outcomes = [handled.said[step]["outcome"] for step in ("promoted", "again", "late")]
    assert outcomes == ["promoted", "already_current", "superseded"]
    entries = [entry for entry in handled.site.channel(NAME) if entry["kind"] == "promote"]
    newer, mine = entries
    assert mine["release"] == handled.said["promoted"]["release_id"]
    assert newer["by"] == "bob", "the newer one stays"
    approval = mine["details"]["approval"]
    assert (approval["approved_by"], approval["started_by"], approval["comment"]) == ("bob", "ada", "as agreed")


def test_one_verdict(handled: Handled) -> None:
    verdict = json.loads((handled.workspace / "gate.json").read_text())
    assert verdict["verdict"] == "pass"
    words = [handled.pages[step]["word"] for step in ("promoted", "again", "late")]
    assert words == ["PROMOTED", "PROMOTED", "NOT PROMOTED"], "the last one changed nothing: a newer one is in charge"
