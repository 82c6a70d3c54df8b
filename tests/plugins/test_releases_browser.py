"""The pages "Releases" in a real Chromium: both themes, both widths, the keyboard, axe, and the form that is sent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from gate5_plugin.releases.candidates import Candidate
from tests.support import releases_site as site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
PICTURES = Path(__file__).resolve().parents[2] / "var" / "screenshots"
#: As Airflow's API describes the DAG's form.
PARAMS = {
    "reason": {"value": None, "description": "Why; `kept` for good.",
               "schema": {"type": "string", "minLength": 3, "title": "Reason"}},
    "release_id": {"value": None, "description": "Empty: the one before.",
                   "schema": {"type": ["null", "string"], "title": "Release"}},
    "channel": {"value": None, "description": None, "schema": {"type": ["null", "string"], "title": "Channel"}},
    "config": {"value": "other.yaml", "description": None, "schema": {"type": "string", "title": "Configuration"}},
}  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium"),
]


class Api:
    """Airflow's API as far as the form asks it; a mock, because the real one is asked in tests/end_to_end."""

    def __init__(self) -> None:
        from fastapi import FastAPI, HTTPException, Request

        self.app, self.started, self.refuse = FastAPI(), list[Any](), False

        @self.app.get("/dags/{dag_id}/details")
        def details(dag_id: str) -> Any:
            return {"dag_id": dag_id, "params": PARAMS}

        async def start(dag_id: str, request: Request) -> Any:
            if self.refuse:
                raise HTTPException(403, "Forbidden")
            self.started.append((dag_id, await request.json()))
            return {"dag_run_id": "manual__back"}

        start.__annotations__["request"] = Request
        self.app.post("/dags/{dag_id}/dagRuns")(start)


@pytest.fixture(scope="module")
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return site.stocked(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def address(stock: Any, api: Api) -> Iterator[str]:
    last = [
        Candidate("policy_release", "manual__1", "2026-01-01T00:00:00Z", "good (0123)", "ada", "REJECTED BY bob",
                  "fail", "Gate 5 passed, and bob rejected it."),
        Candidate("policy_release", "scheduled__2", None, None, None, "BROKEN", "error", "build: no GPU"),
    ]  # fmt: skip
    with site.served(site.application(stock[0], {"rollback": True, "hold": False}, last, api.app)) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield running
        running.close()


def paths(stock: Any) -> dict[str, str]:
    return {
        "releases": "releases",
        "channel": "releases/production",
        "release": f"releases/production/{stock[1][3]}",
        "form": f"act/rollback?channel=production&release={stock[1][0]}",
    }


def opened(browser: Browser, width: int, theme: Literal["light", "dark"]) -> tuple[Page, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    return page, trouble


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")])
def test_every_page_fits_and_axe_finds_no_serious_fault(
    browser: Browser, address: str, stock: Any, width: int, theme: Literal["light", "dark"]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page, trouble = opened(browser, width, theme)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, path in paths(stock).items():
        page.goto(f"{address}/gate5/{path}")
        if name == "form":
            page.locator("#send:not([disabled])").wait_for()
        page.screenshot(path=PICTURES / f"{name}-{width}-{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 22, 29)"
        assert dark == (theme == "dark"), name
        answer = axe.run(page).response
        assert len(answer["passes"]) > 10, "axe has looked"
        grave = [
            (found["id"], [node["html"][:120] for node in found["nodes"]])
            for found in answer["violations"]
            if found["impact"] in ("serious", "critical")
        ]
        assert grave == [], name
    assert trouble == []
    page.close()


def test_from_the_first_page_to_a_rollback_with_the_keyboard_alone(
    browser: Browser, address: str, stock: Any, api: Api
) -> None:
    page, _ = opened(browser, 1280, "light")
    page.goto(f"{address}/gate5/releases")

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText") == name:
                return
        raise AssertionError(f"{name} cannot be reached with the keyboard")

    tab_to("production")
    page.keyboard.press("Enter")
    page.wait_for_url("**/releases/production")
    tab_to("Roll back")
    page.keyboard.press("Enter")
    page.locator("#send:not([disabled])").wait_for()
    assert api.started == [], "nothing has happened yet"
    assert page.evaluate("document.activeElement.name") == "reason"
    page.keyboard.type("oscillates")
    assert page.locator("[name=channel]").input_value() == "production"
    assert page.locator("[name=release_id]").input_value() == "", "back one"
    offered = page.locator("datalist option").evaluate_all("all => all.map(one => one.value)")
    assert offered == [stock[1][1], stock[1][0]], "those before the current one, newest first; not the held one"
    with page.expect_navigation():
        tab_to("Roll back")
        page.keyboard.press("Enter")
    ((dag_id, body),) = api.started
    assert (dag_id, body["logical_date"]) == ("policy_rollback", None)
    assert body["conf"] == {"reason": "oscillates", "release_id": None, "channel": "production",
                            "config": "config/release.yaml"}  # fmt: skip
    assert page.url == f"{address}/dags/policy_rollback/runs/manual__back"
    api.started.clear()
    page.close()


def test_a_form_without_a_reason_is_not_sent_and_a_refusal_is_told(
    browser: Browser, address: str, stock: Any, api: Api
) -> None:
    page, _ = opened(browser, 1280, "light")
    page.goto(f"{address}/gate5/{paths(stock)['form']}")
    page.locator("#send:not([disabled])").click()
    assert api.started == []
    assert page.locator("[name=release_id]").input_value() == stock[1][0], "this one"
    page.locator("[name=reason]").fill("because")
    api.refuse = True
    try:
        page.locator("#send").click()
        page.get_by_text("you need the permission to start policy_rollback").wait_for()
    finally:
        api.refuse = False
    assert api.started == []
    page.close()


def test_within_airflow_the_page_follows_its_theme_and_links_leave_the_frame(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    """Airflow shows the page in a frame that may not navigate its parent; the theme is a class of the parent's root."""
    page, _ = opened(browser, 1280, "light")
    page.goto(f"{address}/gate5/releases")
    frame = "<iframe sandbox='allow-scripts allow-same-origin allow-forms allow-downloads' src='/gate5/releases' " \
            "style='width:100%;height:800px' title='Releases'></iframe>"  # fmt: skip
    page.evaluate("html => { document.documentElement.className = 'dark'; document.body.innerHTML = html }", frame)
    inner = page.frame_locator("iframe")
    inner.get_by_role("heading", name="Last candidates").wait_for()
    shown = "getComputedStyle(document.querySelector('iframe').contentDocument.body).backgroundColor"
    assert page.evaluate(shown) == "rgb(17, 22, 29)"
    page.evaluate("document.documentElement.className = 'light'")
    page.wait_for_function(f"{shown} === 'rgb(246, 247, 249)'")
    with page.expect_navigation():
        inner.get_by_role("link", name="manual__1").click()
    assert page.url == f"{address}/dags/policy_release/runs/manual__1"
    page.close()
