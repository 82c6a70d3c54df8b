"""One story in a browser: a release is started, watched, approved, compared and rolled back; others may only look."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from gate5 import store
from gate5.config.models import ReleaseConfig
from tests.end_to_end.conftest import GOOD
from tests.end_to_end.test_rollback import rolled_back_from_the_page
from tests.support.releases_site import fill
from tests.support.site import DAG, PAGE_S, Runs, Site

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

LONG = pytest.mark.skipif(
    "GATE5_LONG" not in os.environ, reason="parts are in the other files; GATE5_LONG=1 runs the whole"
)
pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.browser, LONG]

RUN = "from-the-form"


@pytest.fixture
def config(site: Site) -> str:
    """Of a channel with one release, for a run that asks a person."""
    path = site.config("story", {"scenarios": ["emergency_trip"]}, approval="required")
    fill(store.open_store(ReleaseConfig.load(path).store), "story", 1, by="grace")
    return path


def releases(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title='Releases']")


def tab(page: Page, site: Site, run_id: str, dag_id: str = DAG) -> FrameLocator:
    """The tab of a run, opened."""
    page.goto(f"{site.airflow.address}/dags/{dag_id}/runs/{run_id}")
    page.get_by_role("link", name="Gate 5", exact=True).click()
    found = page.frame_locator("iframe[title='Gate 5']")
    found.locator("#headline").wait_for()
    return found


def trigger(page: Page, site: Site, config: str) -> None:
    """Start the run with Airflow's own form."""
    page.goto(f"{site.airflow.address}/dags/{DAG}")
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Candidate").click()
    form.locator("#element_checkpoint").fill(str(GOOD))
    form.locator("#element_config").fill(config)
    form.get_by_role("button", name="Advanced Options").click()
    form.locator("[name=dagRunId]").fill(RUN)
    page.keyboard.press("Tab")
    form.get_by_test_id("trigger-dag-submit").click()
    form.wait_for(state="detached")
    site._watch(DAG, RUN)


def watch_and_approve(page: Page, site: Site) -> None:
    """The tab shows numbers as they are measured, then whom it waits for; the comment goes with the answer."""
    shown = tab(page, site, RUN)
    assert "Started by ada" in shown.locator("#sentence").inner_text()
    site.wait_for_task(RUN, "approval", "awaiting_input")
    shown.get_by_text("waits for a person", exact=False).first.wait_for()
    assert "largest error" in shown.locator("#stages").text_content()  # type: ignore[operator]
    site.wait_until_left(RUN, "approval")
    shown.get_by_role("link", name="Answer").click()
    page.locator("#element_comment").fill("seen on the rig, 2 h")
    page.get_by_test_id("hitl-option-Promote").click()
    assert site.wait_for_run(RUN) == "success"


def in_charge_and_compared(page: Page, site: Site, before: str) -> str:
    """Two clicks from the first page to what runs and why, a third to what changed; returns the release."""
    newest = site.channel("story")[0]
    assert (newest["by"], newest["details"]["approval"]["comment"]) == ("ada", "seen on the rig, 2 h")
    page.goto(site.airflow.address)
    page.get_by_role("link", name="Releases", exact=True).click()
    frame = releases(page)
    frame.get_by_role("link", name="story", exact=True).click()
    frame.get_by_text("In charge now").wait_for()
    current = frame.locator("#current")
    assert newest["release"] in current.inner_text()
    assert current.get_by_role("link", name=RUN).count() == 1
    current.get_by_role("link", name=newest["release"]).click()
    frame.get_by_text("IN CHARGE", exact=True).wait_for()
    difference = frame.locator("#difference")
    assert before in difference.inner_text()
    p99 = difference.locator("tr", has_text="p99, upper bound").locator("td").all_inner_texts()
    assert p99[1] == "0.03", "of the one before"
    assert float(p99[2]) > 0
    assert p99[3][0] in "+−0123456789", p99
    return str(newest["release"])


def roll_back(page: Page, site: Site, before: str, release: str) -> None:
    """From the release's page; then that page, the channel's and the run's tab say so."""
    frame = releases(page)
    run_id = rolled_back_from_the_page(page, frame, site, "story", before)
    page.goto(f"{site.airflow.address}/plugin/releases/gate5/releases/story")
    frame.locator("#current").get_by_role("link", name=run_id).wait_for()
    frame.locator("#history").get_by_role("link", name=release).first.click()
    frame.get_by_text("ROLLED BACK SINCE", exact=True).wait_for()
    shown = tab(page, site, RUN)
    shown.get_by_text("ROLLED BACK SINCE", exact=True).wait_for()
    assert "oscillates at part load" in shown.locator("#sentence").inner_text()


def a_viewer_only_looks(page: Page, site: Site, refused: str, silent: str, release: str) -> None:
    """Everything can be seen, a rejected run and an unanswered one as such; nothing can be started or answered."""
    for run_id, word in ((refused, "REJECTED BY ada"), (silent, "NOBODY ANSWERED")):
        shown = tab(page, site, run_id)
        shown.get_by_text(word, exact=True).wait_for()
        shown.frame_locator("iframe").get_by_text(word, exact=True).first.wait_for()
    for path in ("releases/story", f"releases/story/{release}"):
        page.goto(f"{site.airflow.address}/plugin/releases/gate5/{path}")
        frame = releases(page)
        frame.get_by_text("needs the permission to start policy_rollback").first.wait_for()
        assert frame.locator("a[href*='/act/']").count() == 0
    page.goto(f"{site.airflow.address}/gate5/act/rollback?channel=story&release=")
    before = site.channel("story")
    ready = page.locator("#send:not([disabled])")
    refusal = page.get_by_text("you need the permission to start policy_rollback")
    ready.or_(refusal).first.wait_for()
    if ready.count():
        page.locator("[name=reason]").fill("I would like to")
        ready.click()
    refusal.wait_for()
    token = site.login("viewer")
    started = httpx.post(f"{site.airflow.address}/api/v2/dags/{DAG}/dagRuns", json={"logical_date": None},
                         headers={"Authorization": f"Bearer {token}"}, timeout=PAGE_S, trust_env=False)  # fmt: skip
    assert started.status_code == 403
    assert site.channel("story") == before


def test_from_the_form_to_production_and_back(
    site: Site, runs: Runs, refused: str, config: str, browser_page: Callable[[str], Page]
) -> None:
    before = site.channel("story")[0]["release"]
    page = browser_page("ada")
    trigger(page, site, config)
    watch_and_approve(page, site)
    release = in_charge_and_compared(page, site, before)
    roll_back(page, site, before, release)
    site.wait_for_run(runs.silent)
    viewer = browser_page("viewer")
    a_viewer_only_looks(viewer, site, refused, runs.silent, release)
    tabs = (f"run/{DAG}/{RUN}", f"run/{DAG}/{RUN}/report")
    for path in ("releases", "releases/story", f"releases/story/{release}", "act/rollback?channel=story", *tabs):
        assert site.page(path, None).status_code == 401
