"""Charts on a screen: a part of the axis by mouse and keyboard, words that can be read, the same ticks as in Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

from gate5.report import render
from gate5.report.chart import Chart, Limit, Mark, Series, draw
from gate5.report.page import document
from tests.support.browser import NEEDED, open_page
from tests.support.finished_run import Run

pytestmark = NEEDED

#: Minutes: 300 steps of 5 s.
FIRST, LAST = 5 / 60, 25.0
ALL = (round(FIRST, 4), LAST)


def part(begin: float, end: float) -> tuple[float, float]:
    """Shares of the time of an episode, in minutes."""
    return FIRST + begin * (LAST - FIRST), FIRST + end * (LAST - FIRST)


def axis(svg: Locator, name: str = "x") -> tuple[float, float]:
    """From where to where an axis goes, in data."""
    low, high, *_ = json.loads(svg.get_attribute(f"data-{name}") or "")
    return round(low, 4), round(high, 4)


def axes(page: Page, scenario: str) -> set[tuple[float, float]]:
    return {axis(svg) for svg in page.locator(f"#scenario-{scenario} svg[data-x]").all()}


def opened(browser: Browser, run: Run, path: Path, scenario: str, width: int = 1280) -> tuple[Page, list[str]]:
    """A report whose scenario is open and drawn."""
    page, trouble = open_page(browser, render(run.at(path / "run")), path / "report.html", width)
    page.locator(f"#scenario-{scenario} > summary").click()
    wait_until_drawn(page)
    return page, trouble


def wait_until_drawn(page: Page) -> None:
    """Every chart that can be seen has the size of the screen's pixels."""
    page.wait_for_function(
        "[...document.querySelectorAll('figure svg[data-x]')].every(svg => !svg.checkVisibility() ||"
        "Math.abs(svg.viewBox.baseVal.width - svg.getBoundingClientRect().width) < 1)"
    )


def drag(page: Page, svg: Locator, begin: float, end: float) -> tuple[float, float]:
    """Drag over a chart between two shares of its x axis; the two places in data, as the axis is now."""
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    low, high, left, right, _ = json.loads(svg.get_attribute("data-x") or "")
    assert box is not None
    at = [box["x"] + left + share * (right - left) for share in (begin, end)]
    page.mouse.move(at[0], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(sum(at) / 2, box["y"] + 80)
    page.mouse.move(at[1], box["y"] + 70)
    page.mouse.up()
    first, last = sorted((begin, end))
    return low + first * (high - low), low + last * (high - low)


@pytest.mark.parametrize(("begin", "end"), [(0.2, 0.6), (0.6, 0.2)])
def test_a_drag_shows_a_part_of_the_time_in_every_chart_of_the_scenario(
    browser: Browser, whole: Run, tmp_path: Path, begin: float, end: float
) -> None:
    page, trouble = opened(browser, whole, tmp_path, "load_following")
    page.locator("#scenario-cold_start_up > summary").click()
    svg = page.locator("#scenario-load_following svg").first
    assert axes(page, "load_following") == {ALL}
    height = axis(svg, "y")
    wanted = drag(page, svg, begin, end)
    (shown,) = axes(page, "load_following")
    assert shown == pytest.approx(wanted, abs=0.1), "first and worst seed, all of them"
    assert page.locator("#scenario-load_following svg[data-x]").count() == 6
    assert axes(page, "cold_start_up") == {ALL}, "another scenario stays as it is"
    assert axis(svg, "y") == height, "limits stay where they were"
    times = [float(text) for text in svg.locator(".grid text[text-anchor=middle]").all_text_contents()]
    assert len(times) > 3
    assert wanted[0] - 0.1 <= min(times) < max(times) <= wanted[1] + 0.1
    assert svg.locator("polyline").count() == 3
    left, right = json.loads(svg.get_attribute("data-x") or "")[2:4]
    for points in svg.locator("polyline").evaluate_all("all => all.map(line => line.getAttribute('points'))"):
        x = [float(pair.split(",")[0]) for pair in points.split()]
        assert [min(x), max(x)] == pytest.approx([left, right], abs=0.2), "cut at the edges"
    assert trouble == []
    page.close()


def test_three_ways_lead_back_and_a_click_is_no_drag(browser: Browser, run: Run, tmp_path: Path) -> None:
    page, trouble = opened(browser, run, tmp_path, "ramp")
    svg = page.locator("#scenario-ramp svg").first
    svg.click()
    assert axes(page, "ramp") == {ALL}

    def escape() -> None:
        page.keyboard.press("Escape")

    def button() -> None:
        page.get_by_role("button", name="show all").last.click()

    for back in (svg.dblclick, escape, button):
        drag(page, svg, 0.2, 0.4)
        drag(page, svg, 0.0, 1.0)  # of what is shown: nothing changes
        assert axis(svg) == pytest.approx(part(0.2, 0.4), abs=0.1)
        back()
        assert axes(page, "ramp") == {ALL}
        assert page.get_by_role("button", name="show all").count() == 0
    page.mouse.down()
    page.mouse.move(0, 0)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert axes(page, "ramp") == {ALL}, "Escape ends a drag"
    assert (page.locator(".brush").count(), trouble) == (0, [])
    page.close()


def test_by_keyboard_and_a_folded_chart_goes_along(browser: Browser, run: Run, tmp_path: Path) -> None:
    page, trouble = opened(browser, run, tmp_path, "ramp")
    svg = page.locator("#scenario-ramp svg").first
    page.locator("#scenario-ramp .hint").first.wait_for()
    page.locator("#scenario-ramp > summary").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if svg.evaluate("svg => document.activeElement === svg"):
            break
    page.keyboard.press("+")
    assert axis(svg) == pytest.approx(part(0.25, 0.75), abs=0.01)
    page.keyboard.press("ArrowRight")
    assert axis(svg) == pytest.approx(part(0.375, 0.875), abs=0.01)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert axis(svg) == pytest.approx(part(0.5, 1.0), abs=0.01), "no further than the data"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("-")
    assert axes(page, "ramp") == {ALL}
    page.keyboard.press("+")
    page.locator("#scenario-ramp > summary").click()
    page.keyboard.press("Escape")
    page.locator("#scenario-ramp > summary").click()
    wait_until_drawn(page)
    assert axes(page, "ramp") == {ALL}
    for _ in range(30):
        svg.press("+")
    low, high = axis(svg)
    assert 0 < high - low < 0.1, "an end, and no chart that cannot be drawn"
    assert trouble == []
    page.close()


def test_the_csv_has_all_of_it_whatever_is_shown(browser: Browser, run: Run, tmp_path: Path) -> None:
    page, _ = opened(browser, run, tmp_path, "ramp")
    svg = page.locator("#scenario-ramp svg").first
    drag(page, svg, 0.2, 0.4)
    with page.expect_download() as caught:
        page.locator("#scenario-ramp").get_by_role("button", name="Data of Furnace temperature as CSV").click()
    caught.value.save_as(tmp_path / "chart.csv")
    rows = list(csv.reader((tmp_path / "chart.csv").read_text().splitlines()))
    times = [float(x) for name, x, _ in rows[1:] if name == "policy"]
    assert [times[0], times[-1], len(times)] == pytest.approx([FIRST, LAST, 300], abs=0.01)
    page.close()


def test_the_worst_seed_stands_beside_the_first(browser: Browser, whole: Run, tmp_path: Path) -> None:
    page, _ = opened(browser, whole, tmp_path, "emergency_trip")
    figures = page.locator("#scenario-emergency_trip .grid2 > figure")
    names = [text.split("\n")[0] for text in figures.locator("figcaption b").all_text_contents()]
    assert names[:2] == ["Furnace temperature", "Furnace temperature, worst seed"]
    first, worst = (figures.nth(index).locator("svg").bounding_box() for index in (0, 1))
    assert first is not None
    assert worst is not None
    assert abs(first["y"] - worst["y"]) < 25, "in one row"
    assert worst["x"] > first["x"] + first["width"]
    assert "the worst of many (seed 4711" in page.locator("#scenario-emergency_trip h3").first.inner_text()
    page.close()


#: Of every chart: the size of its words on the screen [px], words that its edge cuts, and pairs that lie on each other.
WORDS = """() => [...document.querySelectorAll('figure svg')].filter(svg => svg.checkVisibility()).map(svg => {
  const texts = [...svg.querySelectorAll('text')].filter(text => text.getBoundingClientRect().width);
  const boxes = texts.map(text => text.getBoundingClientRect()), frame = svg.getBoundingClientRect();
  const beyond = getComputedStyle(svg).overflow === 'visible' ? svg.closest('section').getBoundingClientRect() : frame;
  const grid = texts.map((text, i) => [text, boxes[i]]).filter(([text]) => text.closest('.grid') || !svg.dataset.x);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
  return {
    sizes: texts.map(text => parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a),
    cut: texts.filter((_, i) => boxes[i].left < beyond.left - 1 || boxes[i].right > beyond.right + 1
      || boxes[i].top < frame.top - 3 || boxes[i].bottom > frame.bottom + 1).map(text => text.textContent),
    upon: grid.flatMap(([a, x], i) => grid.slice(i + 1).filter(([, y]) => meet(x, y))
      .map(([b]) => a.textContent + '|' + b.textContent)),
  };
})"""


def words(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(WORDS)
    return found


@pytest.mark.parametrize(("width", "then"), [(400, 400), (1280, 1280), (1280, 400)])
def test_every_word_of_every_chart_can_be_read(
    browser: Browser, run: Run, tmp_path: Path, width: int, then: int
) -> None:
    page, trouble = open_page(browser, render(run.at(tmp_path / "run")), tmp_path / "report.html", width)
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    wait_until_drawn(page)
    page.set_viewport_size({"width": then, "height": 900})
    wait_until_drawn(page)
    charts = words(page)
    assert len(charts) > 15
    sizes = [size for chart in charts for size in chart["sizes"]]
    assert len(sizes) > 100
    assert min(sizes) >= 11.0
    assert [word for chart in charts for word in chart["cut"]] == []
    assert [pair for chart in charts for pair in chart["upon"]] == []
    assert trouble == []
    page.close()


def many_charts() -> list[Chart]:
    """Axes of many kinds: tiny and large numbers, negative ones, logarithms, a limit for a while, gaps, dots."""
    x = np.linspace(0, 60, 721)
    gap = np.where((x > 20) & (x < 25), np.nan, np.sin(x))
    late = Limit(0.5, True, "late", where=((30.0, 60.0),))
    return [
        Chart("waves", "MW", [Series("a", "rl", x, gap)], "time, min", limits=[late], marks=[Mark(45.0, "here", "p")]),
        Chart("tiny", "", [Series("a", "c1", x, 1e-6 * x)], "time, min"),
        Chart("large", "", [Series("a", "c1", 1e7 * x, -1e8 * x)], "time, min"),
        Chart("flat", "", [Series("a", "c1", x, np.full(721, 700.0))], "time, min", least=0.1),
        Chart("logarithms", "", [Series("a", "c1", 10 ** (x / 20 - 2), 10 ** (x / 10))], "ms", log_x=True, log_y=True),
        Chart("dots", "", [Series("a", "c1", np.arange(1.0, 9.0), np.arange(8.0) ** 2, dots=True)], "entry"),
        Chart(
            "counted", "", [Series("a", "c1", np.arange(1.0, 4.0), np.arange(10.0, 40.0, 10.0))], "entry", whole_x=True
        ),
    ]


def test_the_screen_and_the_file_agree_about_the_ticks(browser: Browser, tmp_path: Path) -> None:
    page, trouble = open_page(browser, document("charts", [draw(chart) for chart in many_charts()]),
                              tmp_path / "charts.html", 648)  # fmt: skip
    wait_until_drawn(page)
    still = browser.new_page(viewport={"width": 648, "height": 900}, java_script_enabled=False)
    still.goto((tmp_path / "charts.html").as_uri())
    read = "all => all.map(svg => [...svg.querySelectorAll('.grid text')].map(text => text.textContent))"
    with_script, without = (each.locator("figure svg").evaluate_all(read) for each in (page, still))
    assert page.locator("figure svg").first.evaluate("svg => svg.viewBox.baseVal.width") == 600
    assert with_script == without
    assert with_script[-1][:4] == ["1", "2", "3", "10"], "there is no entry 1.5"
    assert trouble == []
    still.close()
    page.close()


def test_limits_marks_gaps_and_dots_go_along(browser: Browser, tmp_path: Path) -> None:
    page, trouble = open_page(browser, document("charts", [draw(chart) for chart in many_charts()]),
                              tmp_path / "charts.html", 648)  # fmt: skip
    wait_until_drawn(page)
    waves, logs, dots = (page.locator("figure svg").nth(index) for index in (0, 4, 5))
    drag(page, waves, 0.25, 0.75)
    low, high, left, right, _ = json.loads(waves.get_attribute("data-x") or "")
    assert (low, high) == pytest.approx((15.0, 45.0), abs=0.1)
    box = waves.locator("g.limit rect")
    x, wide = (float(box.get_attribute(name) or "") for name in ("x", "width"))
    begins = left + (30 - low) / (high - low) * (right - left)
    assert [x, x + wide] == pytest.approx([begins, right], abs=0.5)
    drag(page, waves, 0.0, 0.3)
    assert not waves.locator("g.limit line").is_visible(), "it does not hold in there"
    assert not waves.locator("g.mark").is_visible()
    drawn = waves.locator("polyline").evaluate_all("all => all.filter(l => l.getAttribute('points')).length")
    assert drawn == 1, "the other side of the gap is out of sight"
    drag(page, logs, 0.0, 0.5)
    assert axis(logs)[1] == pytest.approx(10**-0.5, rel=0.1), "by the place, not by the number"
    assert len(logs.locator(".grid text[text-anchor=middle]").all()) > 1
    drag(page, dots, 0.4, 0.9)
    shown = dots.locator("circle").evaluate_all("all => all.map(dot => dot.checkVisibility())")
    assert shown == [False] * 3 + [True] * 4 + [False]
    assert trouble == []
    page.close()
