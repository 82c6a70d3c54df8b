"""Releases in Airflow's navigation: two clicks from the first page, a rollback from the page, who sees and who may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.test_rollback import released_twice, rolled_back_from_the_page
from tests.support.site import DAG, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


@pytest.mark.parametrize(("user", "code"), [(None, 401), ("stranger", 403), ("viewer", 200), ("ada", 200)])
@pytest.mark.parametrize("path", ["releases", "releases/announced", "act/rollback?channel=announced"])
def test_releases_are_as_open_as_the_results_of_their_dag(
    site: Site, promoted: str, path: str, user: str | None, code: int
) -> None:
    answer = site.page(path, user)
    assert answer.status_code == code
    if code != 200:
        assert "announced" not in answer.text


def test_a_viewer_sees_all_and_may_start_nothing(site: Site, promoted: str) -> None:
    index = site.page("releases", "viewer").text
    # The last candidates, however many runs other tests have started since those two.
    last = site.api.call("GET", f"dags/{DAG}/dagRuns?order_by=-run_after&limit=5")["dag_runs"]
    assert [run["dag_run_id"] for run in last if run["dag_run_id"] not in index] == []
    channel = site.page("releases/announced", "viewer").text
    assert promoted in channel
    assert "needs the permission to start policy_rollback" in channel
    assert "/act/rollback" not in channel
    assert "/act/rollback" in site.page("releases/announced", "ada").text


@pytest.mark.browser
def test_what_runs_in_production_and_why_is_two_clicks_away_and_rolled_back_from_the_page(
    site: Site, promoted: str, browser_page: Callable[[str], Page], screenshots: Path
) -> None:
    released_twice(site, "fromthepage")
    before = site.channel("fromthepage")
    page = browser_page("ada")
    page.goto(site.airflow.address)
    page.get_by_role("link", name="Releases", exact=True).click()
    frame = page.frame_locator("iframe[title='Releases']")
    frame.get_by_role("link", name="fromthepage", exact=True).click()
    frame.get_by_text("In charge now").wait_for()
    assert before[0]["release"] in frame.locator("#current").inner_text()
    page.wait_for_url("**/plugin/releases/gate5/releases/fromthepage")
    page.screenshot(path=screenshots / "airflow-releases.png")
    run_id = rolled_back_from_the_page(page, frame, site, "fromthepage", before[1]["release"])
    page.goto(f"{site.airflow.address}/plugin/releases/gate5/releases/fromthepage")
    frame.locator("#current").get_by_role("link", name=run_id).wait_for()
    page.screenshot(path=screenshots / "airflow-releases-rolled-back.png")
