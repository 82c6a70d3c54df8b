"""The tab's page: what it says of a run, and that nothing in a run's name becomes markup."""

from __future__ import annotations

import json
import re

import pytest

from gate5_plugin.pages import headline, message_page, run_page, status_json
from gate5_plugin.run import RunStatus, Stage

HOSTILE = "</script><script>alert(1)</script>\"'&"


def status(state: str, has_report: bool, *missing: str) -> RunStatus:
    """A run in which ``missing`` are not done and another task is."""
    stages = (Stage("resolve", "success"), *(Stage(name, "running") for name in missing))
    return RunStatus(state, True, stages, has_report)


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (
            status("running", False, "export", "gate"),
            "There is no report yet; still missing: export, gate.",
        ),
        (status("running", True, "promote"), "The report below is provisional; still missing: promote."),
        (status("failed", False, "export"), "before there was anything to report. Not done: export."),
        (status("success", True), "The run has ended (success)."),
    ],
)
def test_the_headline_says_how_far_the_run_is(run: RunStatus, text: str) -> None:
    assert text in headline(run)


def test_nothing_of_a_runs_name_becomes_markup() -> None:
    hostile = RunStatus("running", True, (Stage(HOSTILE, HOSTILE),), True)
    page = run_page(HOSTILE, HOSTILE, hostile, "/gate5", "nonce")
    assert "<script>alert" not in page
    assert len(re.findall(r"<script", page)) == 2, "the page's data and its script"
    data = re.search(r'id="at" nonce="nonce">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data.group(1))["now"]["stages"][0]["name"] == HOSTILE, "and the script still reads the name"


def test_a_whole_report_has_the_page_to_itself() -> None:
    assert status_json(status("success", True))["whole"] is True
    assert status_json(status("running", True))["whole"] is False
    assert status_json(status("failed", False))["whole"] is False


def test_a_message_is_escaped() -> None:
    assert "<script>alert" not in message_page(HOSTILE)
