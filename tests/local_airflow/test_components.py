"""However the runner ends, what it started ends; and two do not run in one folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local_airflow.patience import wait_for

ROOT = Path(__file__).resolve().parents[2]
#: Stands in for an Airflow component: it ignores SIGTERM and has a child in its process group.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
time.sleep(600)
"""

#: Stands in for the runner: it starts a watchdog, names a group to it, and waits to be killed.
RUNNER = """
import subprocess, sys, time
component = subprocess.Popen([sys.executable, "-c", sys.argv[2]], start_new_session=True, stdout=subprocess.PIPE)
watchdog = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, start_new_session=True)
watchdog.stdin.write(f"{component.pid}\\n".encode()); watchdog.stdin.flush()
print(component.stdout.readline().decode().strip(), watchdog.pid, flush=True)
time.sleep(600)
"""


def lives(pid: int) -> bool:
    """Whether a process is there and is not a corpse that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_a_killed_runner_leaves_no_process_behind() -> None:
    watchdog = str(ROOT / "local_airflow" / "watchdog.py")
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, watchdog, STUBBORN], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    pids = [int(pid) for pid in runner.stdout.readline().split()]
    assert all(lives(pid) for pid in pids), "component, its child, watchdog"
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    wait_for("processes are left", lambda: None if any(lives(pid) for pid in pids) else True)


def test_a_second_runner_in_the_folder_is_told_who_is_there(tmp_path: Path) -> None:
    import fcntl

    from local_airflow.components import AlreadyRunningError, LocalAirflow
    from local_airflow.environment import AirflowHome

    home = AirflowHome(tmp_path)
    info = {"pid": os.getpid(), "what": "make release", "address": "http://127.0.0.1:1", "user": "admin"}
    home.running_file.write_text(json.dumps(info))
    with open(home.path / "lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = rf"`make release` \(process {os.getpid()}, http://127.0.0.1:1\) is using the Airflow in"
        with pytest.raises(AlreadyRunningError, match=text), LocalAirflow(tmp_path, "make release"):
            pass
    assert home.running_file.exists(), "the one that runs is not disturbed"
    assert not (tmp_path / "airflow.db").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--config", "none.yaml"], "none.yaml cannot be read"),
        (["--config", "typo.yaml"], "unknown key 'gate.sla_p99': did you mean 'sla_p99_ms'?"),
    ],
)
def test_a_wrong_configuration_is_told_before_airflow_starts(tmp_path: Path, arguments: list[str], text: str) -> None:
    (tmp_path / "typo.yaml").write_text("gate: {sla_p99: 1}\n")
    done = subprocess.run(
        [sys.executable, "-m", "local_airflow.release", "--checkpoint", "x", "--home", "airflow", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "include")))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "airflow").exists()
