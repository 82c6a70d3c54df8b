"""The tab's page: what it says of a run, and that nothing in a run's name becomes markup."""

from __future__ import annotations

import json
import re

import pytest

from gate5.report.outcome import Outcome, broken
from gate5_plugin.pages import headline, message_page, run_page, status_json
from gate5_plugin.run import RunStatus, Stage

HOSTILE = "</script><script>alert(1)</script>\"'&"
REJECTED = Outcome("rejected", "Gate 5 passed, and ada rejected it. Nothing is released.", "ada")


def status(state: str, has_report: bool, *open_: str, outcome: Outcome | None = None) -> RunStatus:
    """A run in which ``open_`` are not done and another task is."""
    stages = (Stage("resolve", "resolve", "success"), *(Stage(name, name, "waiting") for name in open_))
    return RunStatus(state, True, stages, has_report, outcome)


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (status("running", False, "export", "gate"), "There is no report yet; still to come: export, gate."),
        (status("running", True, "promote"), "The report below is provisional; still to come: promote."),
        (status("failed", False, outcome=broken("export: no such file.")), "export: no such file."),
        (status("failed", True, outcome=REJECTED), "Gate 5 passed, and ada rejected it."),
    ],
)
def test_the_headline_says_how_far_the_run_is_or_what_became_of_it(run: RunStatus, text: str) -> None:
    assert text in headline(run)


def test_a_task_that_will_not_run_is_not_still_to_come() -> None:
    """Either promote or reject runs: while that is open, the two are one thing."""
    assert status("running", True, "gate", "decide", "approval", "promote", "reject").missing == [
        "gate",
        "the decision",
    ]
    assert status("failed", False, "export", "promote").missing == [], "the run has ended: nothing comes any more"


def test_a_run_that_waits_says_so_and_links_to_the_answer() -> None:
    stages = (Stage("gate", "gate", "success"), Stage("approval", "approval", "awaiting_input"))
    links = {
        "run": "dags/policy_release/runs/r",
        "answer": "dags/policy_release/runs/r/tasks/approval/required_actions",
    }
    run = RunStatus("running", True, stages, True, links=links, started_by="ada")
    shown = status_json(run, "/sub/gate5")
    assert shown["word"] == "WAITS FOR AN ANSWER"
    assert "waits for a person" in str(shown["headline"])
    assert "Started by ada." in str(shown["headline"])
    assert shown["shown"] == [
        {"name": "Answer", "href": f"/sub/{links['answer']}", "kind": "answer"},
        {"name": "Run", "href": f"/sub/{links['run']}", "kind": ""},
    ]


def test_a_release_links_to_its_page() -> None:
    found = Outcome("promoted", "x", None, "sco2-0123456789ab", "production", 3)
    shown = status_json(status("success", True, outcome=found))
    assert shown["shown"] == [
        {"name": "Release", "href": "/plugin/releases/gate5/releases/production/sco2-0123456789ab", "kind": ""}
    ]


def test_what_was_measured_and_what_waits_is_said_of_each_stage() -> None:
    stages = (Stage("verify", "verify", "success", "largest error 1e-6"), Stage("evaluate", "evaluate trip", "queued"))
    shown = status_json(RunStatus("running", True, stages, False))["stages"]
    assert isinstance(shown, list)
    assert [(line["name"], line["text"] or line["said"]) for line in shown] == [
        ("verify", "largest error 1e-6"), ("evaluate trip", "waits for a free worker")]  # fmt: skip


def test_nothing_of_a_runs_name_becomes_markup() -> None:
    hostile = RunStatus("running", True, (Stage(HOSTILE, HOSTILE, HOSTILE, HOSTILE),), True, started_by=HOSTILE)
    page = run_page(HOSTILE, HOSTILE, hostile, "/gate5", "nonce")
    assert "<script>alert" not in page
    assert len(re.findall(r"<script", page)) == 2, "the page's data and its script"
    data = re.search(r'id="at" nonce="nonce">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data.group(1))["now"]["stages"][0]["name"] == HOSTILE, "and the script still reads the name"


def test_a_whole_report_folds_its_stages() -> None:
    assert status_json(status("success", True))["whole"] is True
    assert status_json(status("running", True))["whole"] is False
    assert status_json(status("failed", False))["whole"] is False
    waits = RunStatus("running", True, (Stage("approval", "approval", "awaiting_input"),), True)
    assert status_json(waits)["whole"] is True, "all that there is to measure is in the report"


def test_a_message_is_escaped() -> None:
    assert "<script>alert" not in message_page(HOSTILE)
