"""A real Chromium for the tests of pages."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
#: It asks no server by itself.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
#: Where the browser's pictures go, for a person to look at.
PICTURES = Path(__file__).resolve().parents[2] / "var" / "screenshots"
#: How long anything in a page may take on a busy machine [ms].
PATIENCE_MS = 300_000

NEEDED = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium"),
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET), timeout=PATIENCE_MS)
        yield running
        running.close()


def open_page(browser: Browser, text: str, path: Path, width: int = 1280) -> tuple[Page, list[str]]:
    """The page and everything that went wrong in it: errors, dialogs, requests."""
    path.write_text(text, encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(f"error {error}"))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)

    def dismiss(dialog: Any) -> None:
        trouble.append("dialog")
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("request", lambda request: trouble.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    return page, trouble


def grave(page: Page | Frame) -> list[Any]:
    """What axe-core finds serious or critical in a page, or in one frame of it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    answer = axe.run(page).response  # asks no more of it than a frame has
    assert len(answer["passes"]) > 10, "axe has looked"
    return [
        (found["id"], [node["html"][:160] for node in found["nodes"]])
        for found in answer["violations"]
        if found["impact"] in ("serious", "critical")
    ]
