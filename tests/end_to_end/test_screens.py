"""The pages as Airflow shows them, in its light and dark theme, wide and narrow; pictures are left to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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
    pages = {
        "releases": ("Releases", "plugin/releases/gate5/releases"),
        "channel": ("Releases", "plugin/releases/gate5/releases/announced"),
        "release": ("Releases", f"plugin/releases/gate5/releases/announced/{release}"),
        "tab": ("Gate 5", f"dags/{DAG}/runs/{promoted}/plugin/gate5"),
    }
    page = browser_page("viewer")
    page.goto(f"{site.airflow.address}/dags")
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (title, path) in pages.items():
        page.goto(f"{site.airflow.address}/{path}")
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 950})
            frame = ours(page, title)
            frame.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
            page.screenshot(path=PICTURES / f"airflow-{name}-{width}-{theme}.png")
            assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
            assert grave(frame) == [], (name, width)
