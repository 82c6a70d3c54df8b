"""The page for the signature and the section "At worst": no more than the evidence, nothing that is missing unsaid."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gate5.config.gate import RuleConfig
from gate5.gate.judge import judge
from gate5.report import render
from gate5.robustness.cases import Case
from gate5.robustness.matrix import PLAIN, Cell, Matrix
from gate5.robustness.monte_carlo import Chance
from gate5.robustness.report import RobustnessReport, SearchResult
from gate5.workspace.artifacts import DirectoryWorkspace
from tests.report.test_page import EVIL, Page

CASE = Case(
    "sco2", "load_following", 7, {"knot_1": 1.3}, False, "compressor_inlet", "C", -0.16, 0.0, -0.18, 670.0, True,
    "a" * 64, "search",
)  # fmt: skip
CHANCE = Chance("load_following", 3000, 5, 1, 0.00158, 0.95, "compressor_inlet", "C", -0.007, 9, 890.0, 8, 460.0, 1.3)


def cell(controller: str, name: str, level: float, violating: int) -> Cell:
    expected = level == 1.0 and name != "noise"
    return Cell(controller, name, name.title(), level, "periods", expected, 4, violating, "", None, "", -10.0, 1.5)


REPORT = RobustnessReport(
    (CHANCE,),
    (SearchResult("load_following", True, 5552, 1, ((256, -0.1), (512, -0.18)), {"compressor_inlet": -0.16}, CASE),),
    (
        Matrix(
            "load_following",
            True,
            tuple(
                cell(who, name, level, violating)
                for who, worse in (("policy", 1), ("baseline", 0))
                for name, level, violating in (
                    (PLAIN, 1.0, 0),
                    ("noise", 1.0, 0),
                    ("delay", 1.0, worse),
                    ("delay", 2.0, 3),
                )
            ),
        ),
    ),
    {"declared": True, "unmeasurable": ["surge_margin"], "integration_error": {"compressor_inlet": 0.19}},
)
RULES = [
    RuleConfig(name="worst_case", metric="worst_case.*.margin", op=">", threshold=0.0),
    RuleConfig(name="engine_parity", metric="parity.engine.max_abs_error", op="<", threshold=1.0),
    RuleConfig(name="robust", metric="stress.*.expected.violating_episodes", op="==", threshold=0.0, veto=False),
]


def page(path: Path, report: RobustnessReport | None = REPORT) -> dict[str, str]:
    workspace = DirectoryWorkspace(path)
    metrics: dict[str, float | None] = {"parity.engine.max_abs_error": 0.1}
    if report is not None:
        workspace.write_json("robustness.json", report.to_dict())
        metrics |= report.metrics()
        notes = report.notes()
        workspace.write_json("gate.json", judge(RULES, metrics, ["load_following"], 1.0, notes).to_dict())
    return Page(render(workspace)).sections


def test_the_report_survives_json() -> None:
    assert RobustnessReport.from_dict(REPORT.to_dict()) == REPORT


def test_the_page_claims_what_the_rules_support_and_no_more(tmp_path: Path) -> None:
    text = page(tmp_path)["assessment"]
    states = {line[:2]: line for line in text.split("G") if line[:1].isdigit() for line in [f"G{line}"]}
    assert "✓ supported" in states["G1"]
    assert "? not judged" in states["G2"]
    assert "✗ not supported everywhere" in states["G4"]
    assert "broken in load_following" in states["G4"]
    assert "expected: 1 of 8 episodes violate; beyond: 3 of 8" in states["G5"]
    assert "Advisory: no say in the verdict" in states["G5"]
    assert "surge_margin" in text
    assert "compressor_inlet 0.19" in text
    assert "0.00158 per episode and scenario at 95 %" in text


def test_before_anything_was_measured_nothing_is_claimed(tmp_path: Path) -> None:
    text = page(tmp_path, None)["assessment"]
    assert "supported" not in text.replace("not supported", "")
    assert text.count("? not judged") == 6
    assert "Not measured yet." in text


def test_the_worst_case_and_the_matrix_are_shown(tmp_path: Path) -> None:
    text = page(tmp_path)["robustness"]
    assert "gate5 replay cases/load_following.json" in text
    assert "broken" in text
    assert "−0.16 °C" in text
    assert "5,552 + 1 earlier" in text
    assert "1 of 4" in text
    assert "3 of 4" in text


def test_a_plant_that_declares_nothing_is_not_applicable(tmp_path: Path) -> None:
    nothing = RobustnessReport((), (SearchResult("s", False),), (Matrix("s", False),), {"declared": False})
    sections = page(tmp_path, nothing)
    assert sections["robustness"].count("Not applicable") == 3
    assert "not applicable" in sections["assessment"]


def test_a_hostile_case_cannot_inject(tmp_path: Path) -> None:
    case = dataclasses.replace(CASE, constraint=EVIL, unit=EVIL, found_by=EVIL, scenario=EVIL)
    bad = dataclasses.replace(REPORT, searches=(dataclasses.replace(REPORT.searches[0], case=case),))
    workspace = DirectoryWorkspace(tmp_path)
    workspace.write_json("robustness.json", bad.to_dict())
    text = render(workspace)
    assert "<script>alert" not in text
    assert "<img" not in text
