"""The page in a real browser: its script runs without an error and shows the values under the pointer."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gate5.report import render
from tests.support.browser import NEEDED, PICTURES, grave, open_page
from tests.support.finished_run import Run

pytestmark = NEEDED


def test_the_pointer_shows_policy_pid_and_time_in_all_charts_of_the_episode(
    browser: Browser, run: Run, tmp_path: Path
) -> None:
    page, trouble = open_page(browser, render(run.at(tmp_path / "run")), tmp_path / "report.html")
    page.locator("#scenario-ramp > summary").click()
    chart = page.locator("#scenario-ramp svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + box["height"] / 2)
    lines = page.locator(".tip div").all_text_contents()
    assert [line.split(":")[0] for line in lines] == ["time, min", "policy", "PID", "set-point"]
    time, policy, _, wanted = (float(line.split(":")[1].split()[0]) for line in lines)
    assert 23 < time <= 25
    assert 725 < policy < wanted + 2
    assert wanted == pytest.approx(700 + 0.15 * 12 * time, abs=1)
    lit = page.evaluate(
        "[...document.querySelectorAll('.cursor')].filter(c => c.style.visibility === 'visible').length"
    )
    assert lit == page.locator("#scenario-ramp svg").count()
    page.mouse.move(2, 2)
    assert page.evaluate("getComputedStyle(document.querySelector('.tip')).visibility") == "hidden"
    assert trouble == []


def test_a_hostile_checkpoint_and_rule_run_nothing(browser: Browser, run: Run, tmp_path: Path) -> None:
    evil = "</script></style><script>alert(1)</script><img src=//x/y onerror=alert(2)>"
    verdict = json.loads(run.artifacts["gate.json"])
    verdict["rules"][0] |= {"name": evil, "why": evil, "note": evil}
    changes = {
        "gate.json": json.dumps(verdict).encode(),
        "checkpoint.json": json.dumps({"source": evil, "policy_sha256": evil, "notes": [evil]}).encode(),
    }
    page, trouble = open_page(browser, render(run.at(tmp_path / "run", changes=changes)), tmp_path / "report.html")
    assert page.locator("img").count() == 0
    assert trouble == []


@pytest.mark.parametrize("width", [400, 1280])
def test_no_screen_has_to_scroll_sideways(browser: Browser, run: Run, tmp_path: Path, width: int) -> None:
    page, trouble = open_page(browser, render(run.at(tmp_path / "run")), tmp_path / "report.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert trouble == []


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_short_before_one_opens_anything_and_a_link_opens_the_worst(
    browser: Browser, whole: Run, tmp_path: Path, width: int
) -> None:
    page, trouble = open_page(browser, render(whole.at(tmp_path / "run")), tmp_path / "report.html", width)
    assert page.evaluate("document.documentElement.scrollHeight") < 4000
    assert page.locator("details[open]").count() == 0
    summaries = page.locator("details.scenario > summary").all_inner_texts()
    assert len(summaries) == 7
    assert all("closest limit" in text and "against the PID" in text for text in summaries)
    worst = page.locator("details.scenario.worst")
    assert worst.count() == 1
    page.get_by_role("link", name="Open the worst").click()
    assert worst.evaluate("box => box.open")
    assert trouble == []
    page.close()


def test_a_charts_data_can_be_had_as_csv(browser: Browser, run: Run, tmp_path: Path) -> None:
    page, trouble = open_page(browser, render(run.at(tmp_path / "run")), tmp_path / "report.html")
    page.locator("#scenario-ramp > summary").click()
    trouble.clear()
    with page.expect_download() as caught:
        page.locator("#scenario-ramp").get_by_role("button", name="Data of Furnace temperature as CSV").click()
    caught.value.save_as(tmp_path / "chart.csv")
    rows = list(csv.reader((tmp_path / "chart.csv").read_text().splitlines()))
    assert rows[0] == ["curve", "time, min", "°C"]
    assert {row[0] for row in rows[1:]} == {"policy", "PID", "set-point"}
    wanted = [(float(x), float(y)) for name, x, y in rows[1:] if name == "set-point"]
    assert all(y == pytest.approx(700 + 0.15 * 12 * x, abs=1.0) for x, y in wanted)
    page.close()


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_clipped_with_all_of_it_open(browser: Browser, run: Run, tmp_path: Path, width: int) -> None:
    page, _ = open_page(browser, render(run.at(tmp_path / "run")), tmp_path / "report.html", width)
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('svg, .scroll') && e.clientWidth > 0 && "
        "getComputedStyle(e).display !== 'inline' && e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 90))"
    )
    assert clipped == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_with_all_of_it_open(
    browser: Browser, whole: Run, tmp_path: Path, theme: str
) -> None:
    """Pictures of it, folded and open, are left for a person to look at."""
    page, trouble = open_page(browser, render(whole.at(tmp_path / "run")), tmp_path / "report.html")
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=PICTURES / f"report-{width}-{theme}.png", full_page=True)
    assert grave(page) == []
    page.locator("#scenario-load_following > summary").click()
    for name in ("rules", "parity", "latency", "robustness"):
        page.evaluate("id => { for (const box of document.querySelectorAll(`#${id} details`)) box.open = true }", name)
    assert grave(page) == []
    page.locator("#scenario-load_following .grid2").scroll_into_view_if_needed()
    page.screenshot(path=PICTURES / f"report-charts-400-{theme}.png")
    assert trouble == []
    page.close()
