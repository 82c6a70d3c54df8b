"""The table of faults names every stage and every service, and its page says what was wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import results
from gate5.workspace import contents
from local_cluster.__main__ import NAMES, groups
from local_cluster.cluster import AIRFLOW
from local_cluster.faults import LONG, SHORT, Case, Met, kill
from local_cluster.many import COUNT, MANY, other_policy
from local_cluster.outcome import Ending
from local_cluster.page import lines, write_page

CASES = [case for group in LONG for case in group]
FAULTS = [fault for case in CASES for fault in case.faults]


def test_every_service_is_killed_and_every_other_one_is_gone_for_a_while() -> None:
    said = {fault.text for fault in FAULTS}
    assert {f"kill -9 {name}" for name in AIRFLOW} <= said
    assert {f"{name} gone for 20 s" for name in ("postgres", "redis", "s3")} <= said


def test_a_worker_is_killed_in_every_stage() -> None:
    """All but `falsify`, which runs beside `evaluate` on the same worker, and `reject`, which no good policy meets."""
    met = {fault.task for fault in FAULTS if fault.text.endswith("-worker")}
    stages = {stage.name for stage in contents.STAGES}
    assert stages - met <= {"falsify", "reject"}, stages - met


def test_no_two_cases_share_a_channel() -> None:
    names = [case.name for case in (*CASES, MANY)]
    assert len(set(names)) == len(names)
    assert [case.name for case in SHORT] == ["plain", "two-kills"]


def test_what_is_asked_for_is_carried_out() -> None:
    assert groups(True, None) == [[case] for case in SHORT]
    assert [case.name for group in groups(False, None) for case in group] == NAMES
    assert groups(False, ["many", "twice", "plain"]) == [
        [case for case in CASES if case.name in ("plain", "twice")], [MANY],
    ]  # fmt: skip


def test_ten_candidates_are_ten_policies() -> None:
    assert len({other_policy(number) for number in range(COUNT)}) == COUNT


def test_the_page_says_what_was_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    case = Case("one", (kill("scheduler", "gate"), kill("api-server", "promote")))
    good = Met(case, (True, False), 61.4, Ending("one", "success", ("promote",), {"gate": 2}, ()))
    bad = Met(Case("two", ()), (), 9.0, Ending("two", "failed", (), {}, ("the run ended failed", "no entry")))
    page = write_page([good, bad], 30.0, 120.0).read_text()
    assert "2 cases, **1 wrong**" in page
    row = "| one | kill -9 scheduler in `gate`; kill -9 api-server in `promote` (it was past that already) | 61 |"
    assert f"{row} right: promote (tries: gate 2) |" in page
    assert "| two | none | 9 | WRONG: the run ended failed; no entry |" in page
    assert lines(good)[0].split() == ["one", "61", "s", "right:", "promote", "(tries:", "gate", "2)"]
