"""A run that waits for a person: what the question says, who may answer, what the tab shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate5.io.airflow import ApiError
from tests.support.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_the_question_shows_the_gates_table(site: Site, waiting: str) -> None:
    path = f"{site.api.run_path('policy_release', waiting)}/taskInstances/approval/-1/hitlDetails"
    detail = site.api.get(path)
    assert detail["subject"].startswith("Promote good/policy.zip (")
    assert ") to waiting? In charge now: " in detail["subject"]
    assert detail["subject"].endswith("; started by ada")
    assert "| no\\_violations" in detail["body"], "the table is Markdown, with what Markdown would read escaped"
    assert f"/dags/policy_release/runs/{waiting}/plugin/gate5)" in detail["body"], "a real link to the report"
    order = ["### Not met", "### The candidate beside the others", "### All "]
    assert sorted(order, key=detail["body"].index) == order, "what speaks against it first, all of it last"
    assert detail["options"] == ["Promote", "Reject"]
    assert detail["defaults"] == ["Reject"]


def test_nothing_is_released_while_the_question_stands(site: Site, waiting: str) -> None:
    assert site.channel(waiting) == []


def test_a_viewer_may_not_answer(site: Site, waiting: str) -> None:
    with pytest.raises(ApiError) as refused:
        site.api_of("viewer").answer("policy_release", waiting, "approval", "Promote")
    assert refused.value.status == 403


def test_the_tab_says_what_is_missing(site: Site, waiting: str) -> None:
    """The report is there for the approver, and the page says that it is not the last word."""
    status = site.page(f"run/policy_release/{waiting}/status").json()
    assert (status["final"], status["has_report"]) == (False, True)
    assert status["missing"] == ["the decision"]
    assert status["headline"] == "Gate 5 passed, and the run waits for a person: promote or reject. Started by ada."
    answer = status["links"]["answer"]
    assert answer == f"dags/policy_release/runs/{waiting}/tasks/approval/required_actions"
    numbers = {stage["task"]: stage["text"] for stage in status["stages"]}
    assert "largest error" in numbers["verify"], "numbers are there as they are measured"
    done = [stage["name"] for stage in status["stages"] if stage["state"] == "success"]
    assert done[:5] == ["resolve", "export", "build", "verify", "benchmark"]
    assert "evaluate emergency_trip" in done


@pytest.mark.browser
def test_the_tab_follows_the_run_in_a_browser(
    site: Site, waiting: str, browser_page: Callable[[str], Page], screenshots: Path
) -> None:
    page = browser_page("ada")
    page.goto(f"{site.airflow.address}/dags/policy_release/runs/{waiting}")
    page.get_by_role("link", name="Gate 5", exact=True).click()
    tab = page.frame_locator("iframe[title='Gate 5']")
    tab.locator("#headline").wait_for()
    assert re.search("waits for a person", tab.locator("#headline").inner_text())
    assert "waits for a person" in str(tab.locator("li[data-state=awaiting_input]").text_content())
    tab.frame_locator("iframe[title='Report of this release']").locator("h1").first.wait_for()
    page.screenshot(path=screenshots / "airflow-tab-waiting.png")
    tab.get_by_role("link", name="Answer").click()
    page.get_by_role("button", name="Promote").wait_for()
    page.screenshot(path=screenshots / "airflow-approval.png")
