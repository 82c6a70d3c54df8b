"""The table of faults names every stage and every service, and its page says what was wrong."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import cast

import pytest

from benchmarks import results
from gate5.errors import OperationError
from gate5.workspace import contents
from local_cluster import clock, packages
from local_cluster.__main__ import AT_ONCE, carried_out
from local_cluster.cases import CASES, LONG, NAMES, READY_S, SHORT, groups
from local_cluster.clock import check_ahead
from local_cluster.cluster import AIRFLOW, Cluster
from local_cluster.faults import Case, Fault, Group, Met, kill, unless_nothing_was_tried
from local_cluster.many import COUNT, other_policy
from local_cluster.outcome import Ending
from local_cluster.page import lines, write_page

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
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {"many", "clock", "taken", "a-person"} <= set(names)
    assert [case.name for case in SHORT.cases] == ["plain", "two-kills"]


def test_what_is_asked_for_is_carried_out() -> None:
    assert groups(True, None) == [SHORT]
    assert groups(False, None) == list(LONG)
    assert [[case.name for case in group.cases] for group in groups(False, ["many", "taken", "plain"])] == [
        ["plain"], ["taken"], ["many"],
    ]  # fmt: skip


def test_one_fault_can_be_asked_for_alone() -> None:
    for name in NAMES:
        (group,) = groups(False, [name])
        (case,) = group.cases
        assert case.faults or case.name == "plain"
    (group,) = groups(False, ["gpu-last/benchmark", "a-person/api-server"])
    assert [fault.task for case in group.cases for fault in case.faults] == ["benchmark", "approval"]
    (group,) = groups(False, ["a-person/api-server"])
    assert [fault.text for case in group.cases for fault in case.faults] == ["kill -9 api-server"]


def test_all_of_it_takes_less_than_twenty_minutes_on_a_quiet_machine() -> None:
    assert READY_S + sum(group.seconds for group in LONG) <= 20 * 60
    assert READY_S + SHORT.seconds <= 5 * 60
    assert f"max_active_runs={AT_ONCE}" in (packages.ROOT / "dags/policy_release.py").read_text()


class Silent:
    """A cluster on which everything fails; what is tested is who goes on."""

    def release(self, run_id: str, **_: object) -> str:
        if run_id == "slow":
            time.sleep(60)
        raise ValueError(f"{run_id} cannot\nbe started")


def test_a_case_that_fails_is_a_row_and_the_next_goes_on() -> None:
    wanted = [Group((Case("a", ()), Case("b", ())), 1), Group((Case("c", ()),), 1)]
    found = list(carried_out(cast(Cluster, Silent()), wanted, time.monotonic() + 60))
    assert sorted(met.case.name for met in found) == ["a", "b", "c"]
    assert {met.ending.wrong for met in found} == {(f"ValueError: {name} cannot be started",) for name in "abc"}


def test_no_more_go_on_at_once_than_airflow_lets() -> None:
    """And the next begins when any of them has ended, not when all have."""
    lock, running, most = threading.Lock(), set[str](), list[int]()
    free = threading.Event()

    class Counted:
        def release(self, run_id: str, **_: object) -> str:
            with lock:
                running.add(run_id)
                most.append(len(running))
            if run_id == "0":
                assert free.wait(60), "the others wait for the first"
            time.sleep(0.02)
            with lock:
                running.remove(run_id)
                free.set() if len(most) == 2 * AT_ONCE else None
            raise ValueError("enough")

    wanted = [Group(tuple(Case(str(i), ()) for i in range(2 * AT_ONCE)), 1)]
    found = list(carried_out(cast(Cluster, Counted()), wanted, time.monotonic() + 120))
    assert len(found) == 2 * AT_ONCE
    assert max(most) == AT_ONCE
    assert {met.ending.wrong for met in found} == {("ValueError: enough",)}


def test_what_has_not_ended_in_time_is_a_row_too() -> None:
    wanted = [Group((Case("slow", ()),), 1), Group((Case("c", ()),), 1)]
    found = list(carried_out(cast(Cluster, Silent()), wanted, time.monotonic() + 0.3))
    assert [met.ending.wrong[0] for met in found] == [
        "it had not ended when the time was over", "it was not begun: the time was over",
    ]  # fmt: skip


def test_ten_candidates_are_ten_policies() -> None:
    assert len({other_policy(number) for number in range(COUNT)}) == COUNT


def test_a_case_none_of_whose_faults_came_in_time_is_wrong() -> None:
    """All of its kills would else be a table of releases that nothing happened to."""
    case, good = Case("one", (kill("scheduler", "gate"),)), Ending("one", "success", ("promote",), {}, ())
    assert unless_nothing_was_tried(case, [True], good) == good
    assert unless_nothing_was_tried(Case("plain", ()), [], good) == good
    (why,) = unless_nothing_was_tried(case, [False], good).wrong
    assert "nothing was tried" in why


def test_the_page_says_what_was_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    case = Case("one", (kill("scheduler", "gate"), kill("api-server", "promote")))
    good = Met(case, (True, False), 61.4, Ending("one", "success", ("promote",), {"gate": 2}, ()))
    bad = Met(
        Case("two", (Fault("x", "gate", lambda _: None),)),
        (),
        9.0,
        Ending("two", "failed", (), {}, ("the run ended failed", "no entry")),
    )
    page = write_page([good, bad], "an S3 server", 30.0, 120.0).read_text()
    assert "PostgreSQL, Redis, an S3 server, api-server" in page.replace("\n", " ")
    assert "2 cases, **1 wrong**" in page
    row = "| one | kill -9 scheduler in `gate`; kill -9 api-server in `promote` (it was past that already) | 61 |"
    assert f"{row} right: promote (tries: gate 2) |" in page
    assert (
        "| two | x in `gate` (not known whether it came to that) | 9 | WRONG: the run ended failed; no entry |" in page
    )
    assert lines(good)[0].split() == ["one", "61", "s", "right:", "promote", "(tries:", "gate", "2)"]


@pytest.mark.parametrize(("ahead_s", "right"), [(60, True), (30, True), (-1, False), (90, False)])
def test_that_the_clock_is_ahead_is_seen_where_the_task_began(ahead_s: float, right: bool) -> None:
    began = datetime.now(timezone.utc) + timedelta(seconds=ahead_s)

    class Asked:
        def tasks(self, run_id: str) -> list[dict[str, str]]:
            return [{"task_id": "gate", "start_date": ""}, {"task_id": "build", "start_date": began.isoformat()}]

    with contextlib.nullcontext() if right else pytest.raises(OperationError, match="it is not ahead"):
        check_ahead(cast(Cluster, Asked()), "clock", "build")


def test_a_process_of_such_a_worker_lives_a_minute_later(tmp_path: Path) -> None:
    """With what the cluster's environment has for it; skipped where that was never made."""
    python = packages.OVERLAY / "bin" / "python"
    if not (packages.OVERLAY / "installed").is_file():
        pytest.skip("no environment of the cluster here: make test-cluster")
    (tmp_path / "sitecustomize.py").write_text(clock.CODE)
    code = "import time; from datetime import datetime; print(time.time(), datetime.now().timestamp())"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    before = time.time()
    said = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    for found in map(float, said.split()):
        assert before + 60 <= found <= time.time() + 60
