"""Charts: what is drawn is what was measured."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.report.axis import Axis, label, span
from gate5.report.chart import POINTS, Chart, Limit, Mark, Series, draw, thin
from gate5.report.forest import Row, forest

finite = st.floats(-1e6, 1e6)


class Attributes(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))


def read_back(drawing: str) -> tuple[list[float], list[float]]:
    """The data that the script gets back from a curve's position."""
    found = Attributes(drawing).found
    svg = next(attributes for name, attributes in found if name == "svg")
    line = next(attributes["points"] for name, attributes in found if name == "polyline")
    points = np.array([[float(part) for part in point.split(",")] for point in line.split()])
    result = []
    for column, name in enumerate(("data-x", "data-y")):
        low, high, start, end, log = json.loads(svg[name])
        share = (points[:, column] - start) / (end - start)
        data = 10 ** (np.log10(low) + share * np.log10(high / low)) if log else low + share * (high - low)
        result.append(data.tolist())
    return result[0], result[1]


@given(st.lists(finite, min_size=2, max_size=40))
def test_a_curves_values_can_be_had_back_from_the_drawing(values: list[float]) -> None:
    y = np.array(values)
    x = np.arange(len(y), dtype=np.float64)
    _, back = read_back(draw(Chart("c", "", [Series("s", "rl", x, y)], "t")))
    assert np.allclose(back, y, atol=1e-3 * max(np.ptp(y), 1e-6 * np.abs(y).max(), 1e-9))


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40))
def test_and_on_logarithmic_axes(values: list[float]) -> None:
    y = np.array(values)
    x = np.linspace(1, 100, len(y))
    back_x, back_y = read_back(draw(Chart("c", "", [Series("s", "rl", x, y)], "t", log_x=True, log_y=True)))
    assert np.allclose(back_y, y, rtol=0.01)
    assert np.allclose(back_x, x, rtol=0.01)


@given(st.lists(st.one_of(finite, st.just(np.nan)), min_size=1, max_size=3000))
def test_thinning_keeps_the_extremes_the_ends_and_the_gaps(values: list[float]) -> None:
    y = np.array(values)
    x = np.arange(len(y), dtype=np.float64)
    few_x, few_y = thin(x, y)
    assert len(few_x) <= 3 * POINTS // 2 + 2
    assert few_x[0] == x[0]
    assert few_x[-1] == x[-1]
    assert (np.diff(few_x) > 0).all()
    assert np.isnan(few_y).any() == np.isnan(y).any()
    if np.isfinite(y).any():
        assert np.nanmin(few_y) == np.nanmin(y)
        assert np.nanmax(few_y) == np.nanmax(y)


def test_a_gap_in_the_data_is_a_gap_in_the_curve() -> None:
    y = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    drawing = draw(Chart("c", "", [Series("s", "rl", np.arange(5.0), y)], "t"))
    assert drawing.count("<polyline") == 2


def test_an_ordinary_limit_is_always_in_view_and_shaded_on_its_bad_side() -> None:
    flat = Series("s", "rl", np.arange(3.0), np.full(3, 700.0))
    drawing = draw(Chart("c", "", [flat], "t", limits=[Limit(760.0, True, "hot"), Limit(665.0, False, "cold")]))
    boxes = [a for name, a in Attributes(drawing).found if name == "rect"]
    assert len(boxes) == 2
    upper, lower = (float(box["y"]) for box in boxes)
    assert upper < lower
    (y,) = {round(value) for value in read_back(drawing)[1]}
    assert y == 700


def test_a_far_catastrophic_limit_does_not_squeeze_the_curve() -> None:
    flat = Series("s", "rl", np.arange(3.0), np.array([1.0, 2.0, 3.0]))
    drawing = draw(Chart("c", "", [flat], "t", limits=[Limit(1000.0, True, "bang", catastrophic=True)]))
    assert "<rect" not in drawing


def test_a_limit_is_drawn_only_where_it_applies() -> None:
    series = Series("s", "rl", np.arange(11.0), np.linspace(0, 10, 11))
    drawing = draw(Chart("c", "", [series], "t", limits=[Limit(5.0, True, "l", where=((5.0, 10.0),))]))
    (box,) = [a for name, a in Attributes(drawing).found if name == "rect"]
    svg = next(a for name, a in Attributes(drawing).found if name == "svg")
    _, _, start, end, _ = json.loads(svg["data-x"])
    assert float(box["width"]) == pytest.approx((end - start) / 2, rel=0.01)
    assert float(box["x"]) == pytest.approx((start + end) / 2, rel=0.01)


def test_marks_stand_where_their_value_is() -> None:
    series = Series("s", "rl", np.array([1.0, 100.0]), np.array([1.0, 2.0]))
    drawing = draw(Chart("c", "", [series], "t", marks=[Mark(10.0, "SLA", "sla")], log_x=True))
    svg = next(a for name, a in Attributes(drawing).found if name == "svg")
    low, high, start, end, _ = json.loads(svg["data-x"])
    expected = start + (1 - np.log10(low)) / np.log10(high / low) * (end - start)
    (x,) = re.findall(r'class="mark sla"><line x1="([\d.]+)"', drawing)
    assert float(x) == pytest.approx(expected, abs=0.1)


def test_names_in_a_chart_are_escaped() -> None:
    evil = "<script>"
    series = Series(evil, "rl", np.arange(2.0), np.arange(2.0))
    drawing = draw(
        Chart(evil, evil, [series, series], evil, limits=[Limit(1.0, True, evil)], marks=[Mark(1.0, evil, "p")])
    )
    assert evil not in drawing
    assert evil not in forest(evil, evil, [Row(evil, 1.0, 0.5, 2.0, evil)], evil)


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0.5, 2.0, "better"), (-2.0, -0.5, "worse"), (-1.0, 1.0, "even"), (0.0, 1.0, "even")]
)
def test_a_difference_is_coloured_only_where_its_interval_excludes_zero(low: float, high: float, kind: str) -> None:
    assert f'class="{kind}"' in forest("t", "u", [Row("s", (low + high) / 2, low, high, "")], "")


@given(finite, st.floats(1e-9, 1e6))
def test_ticks_are_round_few_and_inside(low: float, width: float) -> None:
    high = low + width
    if high - low < 1e-9 * max(abs(low), 1.0):
        return
    ticks = Axis(low, high, 0, 100).ticks(5)
    assert len(ticks) <= 7
    assert all(low - 1e-6 * width <= tick <= high + 1e-6 * width for tick in ticks)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=20))
def test_an_axis_has_a_positive_finite_width_whatever_the_data(values: list[float]) -> None:
    low, high = span(np.array(values, dtype=np.float64))
    assert np.isfinite([low, high]).all()
    assert low < high


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.1 + 0.2, 0.1, "0.3"),
        (-5.0, 5.0, "−5"),
        (17.5, 2.5, "17.5"),
        (0.25, 0.25, "0.25"),
        (1e-17, 0.5, "0"),
        (0.02, 0.02, "0.02"),
        (2e-5, 2e-5, "2e−5"),
        (-1.5e8, 5e7, "−1.5e8"),
    ],
)
def test_a_ticks_label_has_the_digits_of_its_step(value: float, step: float, text: str) -> None:
    assert label(value, step) == text
