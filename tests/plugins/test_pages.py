"""The tab's page: what it says of a run, and that nothing in a run's name becomes markup."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

HOSTILE = "</script><script>alert(1)</script>\"'&"


@dataclass(frozen=True)
class Stage:
    """As gate5_plugin.status.Stage, which cannot be imported without an Airflow."""

    name: str
    state: str


@dataclass(frozen=True)
class Status:
    """As gate5_plugin.status.RunStatus."""

    state: str
    stages: tuple[Stage, ...]
    has_report: bool
    final: bool
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        stages = [{"name": stage.name, "state": stage.state} for stage in self.stages]
        return {"state": self.state, "final": self.final, "has_report": self.has_report, "stages": stages}


def headline(status: Status) -> str:
    from gate5_plugin.pages import headline as text  # type: ignore[import-not-found,unused-ignore]

    return str(text(status))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            Status("running", (), False, False, ("export", "gate")),
            "There is no report yet; still missing: export, gate.",
        ),
        (Status("running", (), True, False, ("promote",)), "The report below is provisional; still missing: promote."),
        (Status("failed", (), False, True, ("export",)), "before there was anything to report. Not done: export."),
        (Status("success", (), True, True), "The run has ended (success)."),
    ],
)
def test_the_headline_says_how_far_the_run_is(status: Status, text: str) -> None:
    assert text in headline(status)


def test_nothing_of_a_runs_name_becomes_markup() -> None:
    from gate5_plugin.pages import run_page

    status = Status("running", (Stage(HOSTILE, HOSTILE),), True, False, (HOSTILE,))
    page = run_page(HOSTILE, HOSTILE, status, "/gate5", "nonce")
    assert "<script>alert" not in page
    assert len(re.findall(r"<script", page)) == 2, "the page's data and its script"
    data = re.search(r'id="at" nonce="nonce">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data.group(1))["now"]["stages"][0]["name"] == HOSTILE, "and the script still reads the name"


def test_a_whole_report_has_the_page_to_itself() -> None:
    from gate5_plugin.pages import status_json

    assert status_json(Status("success", (), True, True))["whole"] is True
    assert status_json(Status("running", (), True, False))["whole"] is False
    assert status_json(Status("failed", (), False, True))["whole"] is False


def test_a_message_is_escaped() -> None:
    from gate5_plugin.pages import message_page

    assert "<script>alert" not in message_page(HOSTILE)
