"""A run that waits for a person: what the question says, who may answer, what the tab shows.

The files of this folder run in the order of their names: the next one answers.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from gate5.cli.store import history
from gate5.config.models import ReleaseConfig

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def production(site: Any) -> list[dict[str, Any]]:
    return list(history(ReleaseConfig.load(site.folder / "announced.yaml")).to_dict()["entries"])


def test_the_question_shows_the_gates_table(site: Any, runs: Any) -> None:
    site.wait_for_task(runs.promote, "approval", "awaiting_input")
    path = f"{site.api.run_path('policy_release', runs.promote)}/taskInstances/approval/-1/hitlDetails"
    detail = site.api.get(path)
    assert detail["subject"] == "Promote this policy to the channel production?"
    assert "| no\\_violations" in detail["body"], "the table is Markdown, with what Markdown would read escaped"
    assert "tab **Gate 5**" in detail["body"]
    assert detail["options"] == ["Promote", "Reject"]
    assert detail["defaults"] == ["Reject"]


def test_nothing_is_released_while_the_question_stands(site: Any, runs: Any) -> None:
    site.wait_for_task(runs.promote, "approval", "awaiting_input")
    assert production(site) == []


def test_a_viewer_may_not_answer(site: Any, runs: Any) -> None:
    from gate5.io.airflow import Api, ApiError  # type: ignore[import-not-found,unused-ignore]

    site.wait_for_task(runs.promote, "approval", "awaiting_input")
    viewer = Api(site.airflow.address, "viewer", site.password("viewer"))
    with pytest.raises(ApiError) as refused:
        viewer.answer("policy_release", runs.promote, "approval", "Promote")
    assert refused.value.status == 403


def test_the_tab_says_what_is_missing(site: Any, runs: Any) -> None:
    """The report is there for the approver, and the page says that it is not the last word."""
    site.wait_for_task(runs.promote, "approval", "awaiting_input")
    status = site.page(f"run/policy_release/{runs.promote}/status").json()
    assert (status["final"], status["has_report"]) == (False, True)
    assert status["missing"] == ["approval", "promote", "reject"]
    assert status["headline"].endswith("is provisional; still missing: approval, promote, reject.")
    done = [stage["name"] for stage in status["stages"] if stage["state"] == "success"]
    assert done[:5] == ["resolve", "export", "build", "verify", "benchmark"]
    assert {"evaluate steady_state", "evaluate emergency_trip"} <= set(done)


@pytest.mark.browser
def test_the_tab_follows_the_run_in_a_browser(site: Any, runs: Any, browser_page: Any, screenshots: Any) -> None:
    site.wait_for_task(runs.promote, "approval", "awaiting_input")
    page = browser_page("ada")
    page.goto(f"{site.airflow.address}/dags/policy_release/runs/{runs.promote}")
    page.get_by_role("link", name="Gate 5", exact=True).click()
    tab = page.frame_locator("iframe[title='Gate 5']")
    tab.locator("#headline").wait_for()
    assert re.search("provisional; still missing: approval", tab.locator("#headline").inner_text())
    assert tab.locator("li[data-state=awaiting_input]").inner_text().strip() == "approval"
    tab.frame_locator("iframe[title='Report of this release']").locator("h1").first.wait_for()
    page.screenshot(path=screenshots / "airflow-tab-waiting.png")
    page.goto(f"{site.airflow.address}/dags/policy_release/runs/{runs.promote}/tasks/approval/required_actions")
    page.get_by_role("button", name="Promote").wait_for()
    page.screenshot(path=screenshots / "airflow-approval.png")
