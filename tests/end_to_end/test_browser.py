"""The tab of a finished run in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.browser]


def test_the_tab_shows_the_finished_report(
    site: Site, promoted: str, browser_page: Callable[[str], Page], screenshots: Path
) -> None:
    page = browser_page("viewer")
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{site.airflow.address}/dags/policy_release/runs/{promoted}")
    page.get_by_role("link", name="Gate 5", exact=True).click()
    report = page.frame_locator("iframe[title='Gate 5']").frame_locator("iframe[title='Report of this release']")
    report.locator("h1").first.wait_for()
    assert "emergency_trip" in report.locator("body").inner_text().replace(" ", "_").lower()
    frame = next(
        frame for frame in page.frames if frame.url.split("?")[0].endswith(f"/{quote(promoted, safe='')}/report")
    )
    assert frame.evaluate("document.querySelectorAll('svg, canvas').length") > 3, "the charts are drawn"
    assert frame.evaluate("try { parent.document.title } catch (error) { error.name }") == "SecurityError"
    assert frame.evaluate("origin") == "null"
    page.screenshot(path=screenshots / "airflow-tab.png")
    assert problems == []


def test_a_report_cannot_call_airflow_with_the_readers_login(
    site: Site, promoted: str, browser_page: Callable[[str], Page]
) -> None:
    page = browser_page("ada")
    page.goto(f"{site.airflow.address}/gate5/run/policy_release/{promoted}")
    page.frame_locator("iframe").locator("h1").first.wait_for()
    frame = next(frame for frame in page.frames if frame.url.split("?")[0].endswith("/report"))
    call = "fetch('/api/v2/dags', {credentials: 'include'}).then(() => 'answered', error => error.name)"
    assert frame.evaluate(call) == "TypeError"


def test_the_grid_names_the_scenarios(
    site: Site, promoted: str, browser_page: Callable[[str], Page], screenshots: Path
) -> None:
    page = browser_page("viewer")
    page.goto(f"{site.airflow.address}/dags/policy_release/runs/{promoted}/tasks/evaluate/mapped")
    page.get_by_text("emergency_trip").first.wait_for()
    page.screenshot(path=screenshots / "airflow-scenarios.png")
    page.goto(f"{site.airflow.address}/dags/policy_release/runs/{promoted}")
    page.get_by_role("cell", name="success", exact=False).first.wait_for()
    page.screenshot(path=screenshots / "airflow-run.png")
