"""Overshoot and settling time in a scenario's table, where they are meaningful."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gate5.report import render
from tests.support.finished_run import Run

RESPONSE = {
    "episodes": 6, "overshoot_mean": 3.25, "overshoot_worst": 4.5, "overshoot_percent_mean": 6.5,
    "overshoot_percent_worst": 9.0, "settled_episodes": 6, "settling_mean_s": 47.5, "settling_worst_s": 60.0,
}  # fmt: skip


def cells(page: str, name: str) -> list[list[str]]:
    """The table rows that begin with ``name``, as text."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    return [row for row in rows if row and row[0].startswith(name)]


def page(run: Run, path: Path, rl: dict[str, Any] | None, baseline: dict[str, Any] | None) -> str:
    row = json.loads(run.artifacts["evaluation/ramp.json"])
    row["rl"]["tracking"][0]["response"] = rl
    row["baseline"]["tracking"][0]["response"] = baseline
    return render(run.at(path, changes={"evaluation/ramp.json": json.dumps(row).encode()}))


def test_both_controllers_are_shown_and_who_did_not_settle_is_counted(run: Run, tmp_path: Path) -> None:
    slow = {**RESPONSE, "settled_episodes": 4, "settling_worst_s": None}
    text = page(run, tmp_path, RESPONSE, slow)
    shown = "3.25 °C, 6.5 % (4.5 °C, 9 %)"
    assert cells(text, "… overshoot") == [["… overshoot, mean (worst)", shown, shown]]
    assert cells(text, "… settling") == [
        ["… settling time to 2 %, mean (worst)", "47.5 s (60 s)", "47.5 s (settled in 4 of 6 episodes)"]
    ]


def test_a_controller_whose_episodes_ended_first_has_a_dash(run: Run, tmp_path: Path) -> None:
    text = page(run, tmp_path, None, RESPONSE)
    assert [row[1] for row in (*cells(text, "… overshoot"), *cells(text, "… settling"))] == ["–", "–"]


@pytest.mark.parametrize("name", ["… overshoot", "… settling"])
def test_where_they_mean_nothing_there_are_no_lines(run: Run, tmp_path: Path, name: str) -> None:
    assert cells(render(run.at(tmp_path)), name) == []
    assert len(cells(render(run.at(tmp_path)), "… largest error")) == 3
