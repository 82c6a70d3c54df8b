"""Services as processes: killed whole, started again as a container would be, gone when their owner is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gate5.errors import OperationError
from local_airflow.patience import wait_for
from local_cluster import processes as module
from local_cluster.processes import Processes, Running

#: A service with a child: writes both ids, and waits.
SERVICE = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "open('pids.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
    "os.replace('pids.new', 'pids')\n"
    "time.sleep(600)\n"
)


def service(folder: Path, code: str = SERVICE, stays: bool = True) -> Running:
    return Running("one", [sys.executable, "-c", code], dict(os.environ), folder, folder / "log", stays)


def pids(folder: Path, before: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The service's ids, once they are others than ``before``."""

    def read() -> tuple[int, ...] | None:
        try:
            found = tuple(int(word) for word in (folder / "pids").read_text().split())
        except FileNotFoundError:
            return None
        return found if found != before else None

    return wait_for("the service did not start", read, every_s=0.02)


def gone(found: tuple[int, ...]) -> None:
    """Wait until none of these processes runs any more."""

    def ended() -> bool | None:
        for pid in found:
            try:
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    return None
            except psutil.NoSuchProcess:
                continue
        return True

    wait_for(f"{found} go on", ended, every_s=0.02)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(module, "RESTART_S", 0.05)
    with Processes() as running:
        yield running


def test_a_kill_takes_all_that_it_started_and_it_comes_again(quick: Processes, tmp_path: Path) -> None:
    quick.start(service(tmp_path))
    first = pids(tmp_path)
    assert quick.kill("one") == 2
    gone(first)
    second = pids(tmp_path, first)
    assert set(first).isdisjoint(second)
    quick.check()


def test_what_is_stopped_stays_so_until_it_is_wanted(quick: Processes, tmp_path: Path) -> None:
    quick.start(service(tmp_path))
    first = pids(tmp_path)
    quick.stop("one")
    assert quick.pids() == []
    gone(first[:1])
    quick.again("one")
    pids(tmp_path, first)


def test_one_that_was_killed_may_stay_away(quick: Processes, tmp_path: Path) -> None:
    quick.start(service(tmp_path))
    first = pids(tmp_path)
    quick.kill("one", stays=False)
    gone(first)
    quick.kill("one")  # by another case: it does not bring back what is to stay away
    time.sleep(5 * module.RESTART_S)
    assert quick.pids() == []
    quick.again("one")
    pids(tmp_path, first)


def test_what_a_service_started_stops_and_the_service_goes_on(quick: Processes, tmp_path: Path) -> None:
    quick.start(service(tmp_path))
    top, child = pids(tmp_path)
    quick.freeze_children("one")

    def stopped() -> bool | None:
        return psutil.Process(child).status() == psutil.STATUS_STOPPED or None

    wait_for("it goes on", stopped, every_s=0.02)
    assert psutil.Process(top).status() != psutil.STATUS_STOPPED
    quick.thaw("one")
    wait_for("it stays stopped", lambda: stopped() is None or None, every_s=0.02)


def test_a_service_that_cannot_run_is_told_with_its_last_words(quick: Processes, tmp_path: Path) -> None:
    quick.start(service(tmp_path, "print('no database', flush=True); raise SystemExit(1)"))

    def told() -> str | None:
        try:
            quick.check()
        except OperationError as error:
            return str(error)
        return None

    said = wait_for("nothing was told", told, every_s=0.05)
    assert "one ends again and again" in said
    assert "no database" in said


def test_a_service_is_not_blamed_for_what_it_ends_of_in_an_outage(quick: Processes, tmp_path: Path) -> None:
    """As the scheduler does while PostgreSQL is gone: on a quick machine more than `ENDS` times in 20 s."""
    code = (
        "import os, sys, time\n"
        "open('tries', 'a').write('x')\n"
        "sys.exit('no database') if not os.path.exists('database') else time.sleep(600)\n"
    )
    tries = tmp_path / "tries"
    with quick.outage():
        quick.start(service(tmp_path, code))

        def often() -> bool | None:
            return (tries.exists() and len(tries.read_text()) > module.ENDS + 2) or None

        wait_for("it did not end often enough", often, every_s=0.05)
        (tmp_path / "database").touch()
    before = len(tries.read_text())
    wait_for("it did not stay", lambda: quick.pids() or None, every_s=0.05)
    assert len(tries.read_text()) <= before + 2
    quick.check()


def test_one_that_need_not_stay_is_not_started_again(quick: Processes, tmp_path: Path) -> None:
    quick.start(service(tmp_path, "open('ran', 'a').write('x')", stays=False))
    wait_for("it did not run", lambda: (tmp_path / "ran").exists() or None, every_s=0.02)
    wait_for("it did not end", lambda: quick.pids() == [] or None, every_s=0.02)
    quick.check()
    assert (tmp_path / "ran").read_text() == "x"


def test_all_end_with_their_owner(tmp_path: Path) -> None:
    with Processes() as running:
        running.start(service(tmp_path))
        found = pids(tmp_path)
        assert all(psutil.pid_exists(pid) for pid in found)
    gone(found)


def test_one_that_is_started_again_has_the_new_variables_and_runs_once(quick: Processes, tmp_path: Path) -> None:
    code = SERVICE.replace(
        "f'{os.getpid()} {child.pid}'", "f'{os.getpid()} {child.pid} {os.environ.get(\"AHEAD\", 0)}'"
    )
    quick.start(service(tmp_path, code))
    first = pids(tmp_path)
    assert first[2] == 0
    quick.started_again("one", {"AHEAD": "60"})
    gone(first[:1])
    second = pids(tmp_path, first)
    assert second[2] == 60
    quick.again("one")  # it runs: nothing is to be done
    assert quick.pids() == [second[0]]
