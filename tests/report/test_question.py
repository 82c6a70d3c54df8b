"""What an approver is asked: the candidate, what is in charge, who started it, and what speaks against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gate5.gate.report import RuleResult
from gate5.io import canonical
from gate5.report.question import body, close, subject
from tests.support.finished_run import Run


def test_the_subject_names_candidate_release_and_person(run: Run, tmp_path: Path) -> None:
    origin = {"dag_id": "policy_release", "run_id": "r", "started_by": "ada"}
    checkpoint = {"source": "s3://candidates/nightly/policy.zip", "policy_sha256": "0123456789abcdef"}
    row = json.loads(run.artifacts["evaluation/hold.json"])
    row["current"] = {"release": "furnace-0123456789ab", "driver": "", "result": None,
                      "difference": None, "terms": [], "why_not": "too old"}  # fmt: skip
    changes = {"run.json": origin, "checkpoint.json": checkpoint, "evaluation/hold.json": row}
    space = run.at(tmp_path, changes={name: canonical.dumps(value) for name, value in changes.items()})
    assert subject(space, "production") == (
        "Promote nightly/policy.zip (0123456789ab) to production? In charge now: furnace-0123456789ab; started by ada"
    )


def test_where_nobody_started_it_and_nothing_is_in_charge_it_says_so(run: Run, tmp_path: Path) -> None:
    text = subject(run.at(tmp_path), "production")
    assert "In charge now: no release" in text
    assert "started by a schedule or an announcement" in text


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"state": "first", "release": ""}, "In charge now: nothing;"),
        ({"state": "unusable", "release": "furnace-0123456789ab"}, "In charge now: furnace-0123456789ab;"),
        ({"state": "off", "release": ""}, "In charge now: no release that was compared with;"),
    ],
)
def test_what_is_in_charge_is_what_the_run_found_in_its_channel(
    run: Run, tmp_path: Path, found: dict[str, Any], said: str
) -> None:
    space = run.at(tmp_path, changes={"current.json": canonical.dumps(found)})
    assert said in subject(space, "production")


def test_the_body_has_what_speaks_against_it_before_all_checks(run: Run, tmp_path: Path) -> None:
    text = body(run.at(tmp_path), 24.0, "https://airflow.example/dags/policy_release/runs/r/plugin/gate5")
    assert text.startswith("[The report](https://airflow.example/dags/policy_release/runs/r/plugin/gate5).")
    assert "Without an answer within 24 hours the policy is rejected." in text
    first, _, rest = text.partition("### The candidate beside the others")
    others, _, every = rest.partition("### All ")
    assert first.count("\n| ") < every.count("\n| "), "the first table is the short one"
    assert "Gust &lt;b&gt;" in others, "a name is no markup"
    assert "| return against the PID |" in others
    assert "against the current release" not in others, "there is none to compare with"


@pytest.mark.parametrize(
    ("op", "threshold", "margin", "outcome", "expected"),
    [
        ("<", 1.0, 0.05, "pass", True),
        ("<", 1.0, 0.5, "pass", False),
        ("<", 1.0, -0.05, "fail", False),
        ("==", 1.0, 0.0, "pass", False),
        (">=", 0.0, 0.0, "pass", False),
        (">=", -10.0, 0.5, "pass", True),
    ],
)
def test_close_is_less_than_a_tenth_of_the_threshold(
    op: str, threshold: float, margin: float, outcome: Any, expected: bool
) -> None:
    rule = RuleResult("rule", "a.b", None, op, threshold, 0.0, margin, outcome, True, "", "")
    assert close(rule) is expected
