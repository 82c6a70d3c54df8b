"""Charts as a file of their own: well-formed, styled without a page around it, nothing from outside."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np

from gate5.report.chart import Chart, Limit, Series
from gate5.report.standalone import sheet

SVG = "{http://www.w3.org/2000/svg}"


def chart(title: str = "Load", names: tuple[str, ...] = ("policy", "PID"), height: float = 190.0) -> Chart:
    x = np.linspace(0, 1, 20)
    series = [Series(name, ("rl", "pid")[index], x, x + index) for index, name in enumerate(names)]
    return Chart(title, "MW", series, "time, min", limits=[Limit(0.5, True, "top")], height=height)


def test_a_file_that_any_viewer_reads() -> None:
    text = sheet([chart(), chart("Speed"), chart("Third")])
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    panels = [(panel.get("x"), panel.get("y")) for panel in root.iter(f"{SVG}svg") if panel is not root]
    assert len(set(panels)) == 3, "no two charts lie upon each other"
    assert len({y for _, y in panels}) == 2, "two columns"
    bottom = max(float(str(panel.get("y"))) + float(str(panel.get("height"))) for panel in root.iter(f"{SVG}svg")
                 if panel is not root)  # fmt: skip
    assert bottom <= float(str(root.get("height"))), "nothing is cut off"
    words = [str(node.text) for node in root.iter(f"{SVG}text")]
    assert {"Load, MW", "Speed, MW", "policy", "PID"} <= set(words)


def test_it_carries_its_colours_and_asks_no_server() -> None:
    text = sheet([chart()])
    style = ElementTree.fromstring(text).findtext(f"{SVG}style") or ""
    for rule in ("--rl:", ".curve.rl", ".curve polyline", "g.limit rect", "color-scheme: light dark", "light-dark("):
        assert rule in style
    assert "width: 100%" not in style, "it would stretch every panel over the sheet"
    assert text.count("http") == text.count("http://www.w3.org/")


def test_names_are_escaped() -> None:
    text = sheet([chart("<script>alert(1)</script>", ("a & b", "<i>"))])
    assert "<script>" not in text
    words = [node.text for node in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert "a & b" in words


def test_a_single_curve_needs_no_legend() -> None:
    words = [node.text for node in ElementTree.fromstring(sheet([chart(names=("only",))])).iter(f"{SVG}text")]
    assert "only" not in words
