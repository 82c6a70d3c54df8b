"""Start and end the processes of a local Airflow; however the caller ends, they end too."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

from gate5.errors import OperationError
from gate5.io.airflow import Api, ApiError
from local_airflow.environment import ROOT, USER, AirflowHome, airflow_command, write_private
from local_airflow.patience import Patience, StillError, cpu_seconds, log_bytes, wait_for

#: How long one answer of the API may take on a machine that is busy [s].
API_S = 120.0
#: CPU that the components' start may use [s], about ten times what it does; beyond, its use is no sign of progress.
START_CPU_S = 300

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}


class AlreadyRunningError(OperationError):
    """Another process runs the Airflow of this folder; ``info`` is what it says of itself, if anything."""

    def __init__(self, home: Path, info: Mapping[str, Any]) -> None:
        self.info = info
        who = f"`{info['what']}` (process {info['pid']}, {info['address']})" if info else "Another process"
        super().__init__(
            f"{who} is using the Airflow in {home}: wait until it has ended, or give this one a folder of its own with "
            "--home DIR."
        )


class LocalAirflow:
    """A running Airflow (context manager).

    Args:
        home: its folder.
        what: the command that it runs for, for the message to whoever finds it running.
        users: names to roles; the first is whom ``api`` logs in as.
        extra: further environment variables.
        own_runs: runs whose names start so belong to the caller; what a killed one left unfinished is ended first.
        port: of the API server; another one where it is taken. ``None``: any that is free.

    Raises:
        AlreadyRunningError: on entering, if another process runs the Airflow of this folder.
        OperationError: a component did not start.
    """

    def __init__(
        self,
        home: Path,
        what: str,
        users: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None,
        own_runs: str | None = None,
        port: int | None = None,
    ) -> None:
        self.home, self.what, self.own_runs, self.port = AirflowHome(home), what, own_runs, port
        self.users, self.extra = dict(users or {USER: "admin"}), dict(extra or {})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self.prepared = False
        self._states: tuple[object, ...] = ()

    def __enter__(self) -> LocalAirflow:
        self._take_lock()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def login(self) -> tuple[str, str]:
        """User name and password."""
        name = next(iter(self.users))
        return name, self.home.passwords(self.users)[name]

    def wait_until_ready(self, dag_id: str) -> None:
        """Wait until the scheduler works and the DAG has been read from its file since this Airflow started.

        Raises:
            OperationError: a component ended, the DAG has an import error, or nothing has moved for long.
        """

        def ready() -> bool | None:
            self.check_alive()
            return self._ready(dag_id) or None

        wait_for(f"Airflow is not ready (logs: {self.home.logs / 'components'})", ready, self._signs)

    def check_alive(self) -> None:
        """Raise where a component has ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = self.home.logs / "components" / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise OperationError(f"Airflow's {name} ended with code {process.returncode}; {log} ends with:\n{tail}")

    def stop(self) -> None:
        """End every process that was started, and wait for it."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            while self._watchdog.poll() is None:
                for process in self.processes.values():
                    process.poll()
                time.sleep(0.02)
            self._watchdog = None
        self.processes.clear()
        if self._lock is not None:
            self.home.running_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        lock = open(self.home.path / "lock", "a+")  # noqa: SIM115 - held for as long as Airflow runs
        # Where the owner was killed, its watchdog is still ending the components: that takes a moment.
        ending = Patience("The components of an Airflow whose owner was killed do not end", still_s=60.0)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                info = running(self.home)
                if not _lives(info.get("pid")):
                    with contextlib.suppress(StillError):
                        ending.look(info)
                        time.sleep(0.1)
                        continue
                lock.close()
                raise AlreadyRunningError(self.home.path, info) from None
        self._lock = lock

    def _start(self) -> None:
        if self._lock is None:
            raise OperationError("LocalAirflow is a context manager: enter it with `with`.")
        port = free_port(self.port)
        self.address = f"http://127.0.0.1:{port}"
        environment = self.home.environment(port, self.users, self.extra)
        info = {"pid": os.getpid(), "what": self.what, "address": self.address, "user": self.login[0]}
        write_private(self.home.running_file, json.dumps(info))
        self.prepared = self.home.prepare(environment)
        self.started = time.time()
        # The watchdog keeps the lock too: if this process is killed, it is free only when the components are gone.
        self._watchdog = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("watchdog.py"))],
            stdin=subprocess.PIPE,
            pass_fds=(self._lock.fileno(),),
            start_new_session=True,
        )
        self.api = Api(self.address, *self.login, timeout_s=API_S)
        leftovers = self.home.unfinished_runs(self.own_runs) if self.own_runs else []
        for name, arguments in COMPONENTS.items():
            if name == "scheduler" and leftovers:
                self._end_leftovers(leftovers)
            self._launch(name, arguments, environment)

    def _end_leftovers(self, runs: list[tuple[str, str]]) -> None:
        """Before there is a scheduler that would go on with them."""

        def answers() -> bool | None:
            self.check_alive()
            return self._answers() or None

        wait_for("Airflow's API server does not answer", answers, self._signs)
        for dag_id, run_id in runs:
            self.api.end_run(dag_id, run_id)

    def _answers(self) -> bool:
        try:
            self.api.get("version")
        except OperationError:
            return False
        return True

    def _launch(self, name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        assert self._watchdog is not None
        assert self._watchdog.stdin is not None
        with open(self.home.logs / "components" / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [*airflow_command(), *arguments],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        self._watchdog.stdin.write(f"{process.pid}\n".encode())
        self._watchdog.stdin.flush()

    def _ready(self, dag_id: str) -> bool:
        try:
            dag = self.api.get(f"dags/{dag_id}")
            health = self.api.get("monitor/health")
        except ApiError as error:
            if error.status == 404:
                self._check_imports()
                return False
            if error.status >= 500:  # it is starting; if it goes on so, the last word of the wait has this text
                self._states = (str(error),)
                return False
            raise
        except OperationError:
            return False
        self._check_imports()
        beat = _timestamp(health["scheduler"].get("latest_scheduler_heartbeat"))
        parsed = _timestamp(dag.get("last_parsed_time"))
        # Both of this start: the database remembers those of the Airflow before.
        self._states = (health["scheduler"]["status"], beat >= self.started, parsed)
        return self._states[0] == "healthy" and min(beat, parsed) >= self.started

    def _signs(self) -> tuple[object, ...]:
        """What moves while Airflow starts. Once all works its CPU and its logs go on for ever, and say nothing."""
        used = cpu_seconds(process.pid for process in self.processes.values())
        logs = log_bytes(self.home.logs / "components") if used < START_CPU_S else None
        return self._states, min(used, START_CPU_S), logs

    def _check_imports(self) -> None:
        errors = self.api.get("importErrors")["import_errors"]
        for error in errors:
            if _timestamp(error["timestamp"]) >= self.started:
                last = error["stack_trace"].strip().splitlines()[-1]
                raise OperationError(f"The DAG file {error['filename']} cannot be read: {last}")


def running(home: AirflowHome) -> dict[str, Any]:
    """What the process that runs the Airflow of ``home`` says of itself; empty where it says nothing."""
    try:
        return dict(json.loads(home.running_file.read_text()))
    except (OSError, ValueError):
        return {}


def free_port(wanted: int | None = None) -> int:
    """A port of this machine that nothing listens on just now: the wanted one, if it is free."""
    with socket.socket() as probe:
        # As the server does it: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def exit_on_signals() -> None:
    """Make SIGTERM and SIGHUP end the process by an exception, so that everything started is ended in order."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us in the background ignores it
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def _lives(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _timestamp(text: str | None) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0
