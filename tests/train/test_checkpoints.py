"""The committed checkpoints are what they are said to be, on the shipped plant and on seeds training never used."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.control.closed_loop import QuickScore, pairs, quick
from gate5.plant.sco2.plant import SCO2Plant
from gate5.train import summary
from tests.support.scenarios import SCENARIOS

FOLDER = Path(__file__).parents[2] / "examples" / "checkpoints"


@cache
def drive(name: str) -> QuickScore:
    plant = SCO2Plant()
    return quick(plant, TorchController(read(fetch(str(FOLDER / name))).module), *pairs(plant, 12, 20_000))


def record(name: str) -> Any:
    return json.loads((FOLDER / name / "train.json").read_text())


def test_the_good_checkpoint_keeps_every_limit_in_every_scenario() -> None:
    score = drive("good")
    broken = {name: int(v.sum()) for name, v in score.by_scenario(score.violations).items()}
    assert broken == dict.fromkeys(SCENARIOS, 0)


def test_the_undertrained_checkpoint_breaks_limits() -> None:
    score = drive("undertrained")
    broken = {name: int(v.sum()) for name, v in score.by_scenario(score.violations).items()}
    assert sum(count > 0 for count in broken.values()) >= 2
    assert broken["emergency_trip"] > 0


@pytest.mark.parametrize("name", ["good", "undertrained"])
def test_a_checkpoint_is_small_and_says_how_it_was_made(name: str) -> None:
    assert sum(f.stat().st_size for f in (FOLDER / name).iterdir()) < 2_000_000
    made = record(name)
    assert made["command"].startswith(f"gate5 train examples/checkpoints/{name} ")
    assert made["command"] in (FOLDER / "README.md").read_text()
    assert made["held_out"]["episodes"] >= 200


def test_the_record_of_the_good_checkpoint_shows_no_violation() -> None:
    rows = record("good")["held_out"]["policy"]
    assert set(rows) == set(SCENARIOS)
    assert all(row["violations"] == 0 for row in rows.values())


def test_the_summary_says_what_the_evaluation_found(tmp_path: Path) -> None:
    summary.main([str(FOLDER / "undertrained"), str(tmp_path / "x.md"), "--episodes", "1", "--seed", "20000"])
    text = (tmp_path / "x.md").read_text()
    assert [line.split("|")[1].strip() for line in text.splitlines() if "0/1" in line] == list(SCENARIOS)
    score = drive("undertrained")
    first = {name: int(v[0]) for name, v in score.by_scenario(score.violations).items()}
    for name in SCENARIOS:
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        assert row.split("|")[7].strip() == str(first[name])
    assert record("undertrained")["command"] in text
    assert "(x-curve.svg)" in text
    assert (tmp_path / "x-curve.svg").read_text() == summary.curve_picture(record("undertrained"))


@pytest.mark.parametrize("name", ["good", "undertrained"])
def test_the_learning_curve_has_one_mark_per_logged_point(name: str) -> None:
    """Its height is the value's: read back with the axis that the drawing carries."""
    made, svg = record(name), "{http://www.w3.org/2000/svg}"
    log = made["log"]
    at = [row["steps"] / 1000 if made["steps"] else number for number, row in enumerate(log)]
    root = ElementTree.fromstring(summary.curve_picture(record(name)))
    panels = [panel for panel in root.iter(f"{svg}svg") if panel is not root]
    wanted = [[100 * row["gain"] for row in log], [row["violations"] for row in log]]
    assert len(panels) == len(wanted)
    for panel, values in zip(panels, wanted, strict=True):
        marks = list(panel.iter(f"{svg}circle"))
        for key, axis, data in (
            ("cx", "data-x", at),
            ("cy", "data-y", values),
        ):
            low, high, start, end, _ = json.loads(panel.attrib[axis])
            found = [low + (float(mark.attrib[key]) - start) / (end - start) * (high - low) for mark in marks]
            assert found == pytest.approx(data, abs=1e-3 * (high - low)), "one each, in the log's order"
