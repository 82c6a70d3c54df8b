"""The pages as Airflow shows them, in its light and dark theme, wide and narrow; pictures are left to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.browser import PICTURES, grave
from tests.support.site import DAG, Site

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.browser]


def ours(page: Page, title: str) -> Frame:
    """The frame that has a page of gate5, loaded."""
    page.frame_locator(f"iframe[title='{title}']").locator("main").first.wait_for(state="attached")
    handle = page.locator(f"iframe[title='{title}']").element_handle()
    assert handle is not None
    frame = handle.content_frame()
    assert frame is not None
    return frame


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_follows_airflows_theme_fits_and_has_no_serious_fault(
    site: Site, promoted: str, browser_page: Callable[[str], Page], theme: str
) -> None:
    release = site.channel("announced")[-1]["release"]
    run = quote(promoted, safe="")
    pages = {
        "releases": ("Releases", "plugin/releases/gate5/releases"),
        "channel": ("Releases", "plugin/releases/gate5/releases/announced"),
        "release": ("Releases", f"plugin/releases/gate5/releases/announced/{release}"),
        "tab": ("Gate 5", f"dags/{DAG}/runs/{run}/plugin/gate5"),
        # Airflow's panels leave a tab no room at 400 px; the list of candidates leads to the same page in this frame.
        "run": ("Releases", f"plugin/releases/gate5/run/{DAG}/{run}"),
    }
    page = browser_page("viewer")
    page.goto(f"{site.airflow.address}/dags")
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (title, path) in pages.items():
        page.set_viewport_size({"width": 1280, "height": 950})
        page.goto(f"{site.airflow.address}/{path}")
        frame = ours(page, title)
        frame.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
        if name in ("tab", "run"):
            frame.frame_locator("iframe").locator("#verdict").wait_for()
        assert grave(frame) == [], name
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 950})
            page.screenshot(path=PICTURES / f"airflow-{name}-{width}-{theme}.png")
            if (name, width) != ("tab", 400):
                assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
    page.close()


def test_on_a_small_screen_the_candidates_lead_to_the_runs_page(
    site: Site, promoted: str, browser_page: Callable[[str], Page]
) -> None:
    """From the newest candidate, whichever that is: the list has the last dozen."""
    page = browser_page("viewer")
    page.set_viewport_size({"width": 400, "height": 950})
    page.goto(f"{site.airflow.address}/plugin/releases")
    frame = page.frame_locator("iframe[title='Releases']")
    frame.locator("#candidates a[href*='/gate5/run/']").first.click()
    frame.get_by_role("link", name="Full page").wait_for()
    frame.get_by_role("link", name="Run", exact=True).click()
    page.wait_for_url(f"**/dags/{DAG}/runs/*")
    page.close()
