"""Who may say yes, on a real scheduler: wrong approvers, the person who started the run, and states set by hand.

The tasks before the question are marked as done by hand, and a verdict that no gate made lies in the workspace: the
question is asked, and what a person answers is written down; nothing is promoted, because nothing was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gate5.config.models import ReleaseConfig
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.io.airflow import ApiError
from gate5.workspace.address import run_workspace_uri
from tests.end_to_end.conftest import GOOD
from tests.support.site import DAG, Site, say

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def mark(site: Site, run_id: str, task_id: str, **more: Any) -> None:
    path = f"{site.api.run_path(DAG, run_id)}/taskInstances/{task_id}"
    site.api.call("PATCH", path, {"new_state": "success", **more})


def asked(site: Site, name: str, demands: dict[str, Any]) -> str:
    """A run that ada started and that waits for a person, on a channel that demands something."""
    path = Path(site.config(name))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "channels": {name: demands}}))
    workspace = Path(run_workspace_uri(DAG, name))
    workspace.mkdir(parents=True)
    config = ReleaseConfig.load(path)
    (workspace / "config.json").write_bytes(canonical.dumps(config.plain()))
    verdict = GateReport(verdict="pass", rules=(), reasons=())
    (workspace / "gate.json").write_bytes(canonical.dumps(verdict.to_dict()))
    site.start(name, checkpoint=str(GOOD), config=str(path))
    mark(site, name, "decide", include_upstream=True)
    site.wait_for_task(name, "approval", "awaiting_input")
    site.wait_until_left(name, "approval")
    return name


def test_only_another_approver_can_say_yes_and_it_is_written_down(site: Site) -> None:
    run_id = asked(site, "people", {"two_person": True, "approvers": ["ada", "bob"]})
    for user in ("eve", "ada"):  # no approver; the person who started the run
        with pytest.raises(ApiError) as refused:
            site.api_of(user).answer(DAG, run_id, "approval", "Promote")
        assert refused.value.status == 403
    say(site.api_of("bob"), DAG, run_id, "Promote", comment="seen on the rig, 2 h")
    assert site.wait_for_run(run_id) == "failed"
    states = site.states(run_id)
    assert (states["approval"], states["promote"]) == ("success", "failed")
    said = json.loads((Path(run_workspace_uri(DAG, run_id)) / "approval.json").read_text())
    assert (said["approved_by"], said["started_by"], said["comment"]) == ("bob", "ada", "seen on the rig, 2 h")
    error = site.api.xcom(DAG, run_id, "promote", "error")
    assert (error["exit_code"], "no gate.json yet" in error["text"]) == (2, True), "a verdict that no gate made is none"
    assert site.channel("people") == []


@pytest.mark.browser
def test_an_approver_says_yes_with_a_comment_in_a_browser(
    site: Site, browser_page: Callable[[str], Page], screenshots: Path
) -> None:
    """Nobody else can: a person who is no approver, and the one who started the run."""
    run_id = asked(site, "in-a-browser", {"two_person": True, "approvers": ["ada", "bob"]})
    address = f"{site.airflow.address}/dags/{DAG}/runs/{run_id}/tasks/approval/required_actions"
    for user in ("eve", "ada"):
        page = browser_page(user)
        page.goto(address)
        with page.expect_response(lambda got: "hitlDetails" in got.url and got.request.method == "PATCH") as refused:
            page.get_by_test_id("hitl-option-Promote").click()
        assert refused.value.status == 403, user
        page.get_by_text("Access Denied").wait_for()
        page.screenshot(path=screenshots / f"airflow-approval-{user}.png")
        assert site.states(run_id)["approval"] == "awaiting_input"
        page.close()
    page = browser_page("bob")
    page.goto(address)
    page.locator("#element_comment").fill("seen on the rig, 2 h")
    page.screenshot(path=screenshots / "airflow-approval-comment.png")
    page.get_by_test_id("hitl-option-Promote").click()
    assert site.wait_for_run(run_id) == "failed", "nothing was measured"
    said = json.loads((Path(run_workspace_uri(DAG, run_id)) / "approval.json").read_text())
    assert (said["approved_by"], said["started_by"], said["comment"]) == ("bob", "ada", "seen on the rig, 2 h")


def test_where_anybody_may_answer_who_started_the_run_cannot_say_yes(site: Site) -> None:
    run_id = asked(site, "alone", {"two_person": True})
    say(site.api_of("ada"), DAG, run_id, "Promote")
    assert site.wait_for_run(run_id) == "failed"
    assert site.states(run_id)["approval"] == "failed"
    error = site.api.xcom(DAG, run_id, "approval", "error")
    assert "'ada' started the run and cannot approve it" in error["text"]
    assert not (Path(run_workspace_uri(DAG, run_id)) / "approval.json").exists()


def test_a_measurement_that_a_person_skips_leaves_no_green_run(site: Site) -> None:
    """All that comes after a skipped task was skipped, and the run ended green without a verdict."""
    site.start("skipped", checkpoint=str(GOOD), config=site.config("skipped"))
    mark(site, "skipped", "compare", new_state="skipped")
    for task_id in ("evaluate", "falsify", "stress"):
        mark(site, "skipped", task_id, include_upstream=True)
    assert site.wait_for_run("skipped") == "failed"
    states = site.states("skipped")
    assert (states["look_up"], states["compare"], states["gate"]) == ("success", "skipped", "failed")
    error = site.api.xcom(DAG, "skipped", "gate", "error")
    assert (error["exit_code"], "yet" in error["text"]) == (2, True), error
    assert site.channel("skipped") == []
