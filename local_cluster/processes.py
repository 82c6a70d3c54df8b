"""The processes of the cluster: started, killed with all that they started, started again as a container would be."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gate5.errors import OperationError
from local_airflow import watchdog

#: So long a container's runtime waits before it starts one again [s].
RESTART_S = 1.0
#: More ends than this within a minute, without anybody's doing, are a service that cannot run.
ENDS = 5


@dataclass
class Running:
    """One service's process, and how to start it again."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    stays: bool
    user: str | None = None
    ending: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    ends: list[float] = field(default_factory=list)


class Processes:
    """All processes of one cluster; a context manager: however it ends, they end too."""

    def __init__(self) -> None:
        self._all: dict[str, Running] = {}
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._outages = 0

    def __enter__(self) -> Processes:
        self._watchdog = subprocess.Popen(
            [sys.executable, watchdog.__file__], stdin=subprocess.PIPE, start_new_session=True
        )
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._keeper.join()
        with self._lock:
            for running in reversed(self._all.values()):
                running.wanted = False
                self._signal(running, signal.SIGKILL)
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()

    def start(self, running: Running) -> None:
        """Start a service; one that stays is started again whenever it ends."""
        with self._lock:
            self._all[running.name] = running
            self._launch(running)

    def kill(self, name: str, stays: bool = True) -> int:
        """kill -9 a service and all that it started, as when a container is killed; returns how many processes.

        Args:
            stays: whether it is started again at once; otherwise ``again`` does it.
        """
        with self._lock:
            self._all[name].wanted &= stays
            return self._signal(self._all[name], signal.SIGKILL)

    def stop(self, name: str, patience_s: float = 60.0) -> None:
        """End a service in order, as its image is ended, and leave it ended."""
        with self._lock:
            running = self._all[name]
            running.wanted = False
            process = running.process
        if process is not None and process.poll() is None:
            process.send_signal(running.ending)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
            self._signal(running, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """Stop a service's processes where they are (STOP)."""
        with self._lock:
            self._signal(self._all[name], signal.SIGSTOP)

    def freeze_children(self, name: str) -> None:
        """Stop what a service has started where it is, and not the service itself."""
        process = self._all[name].process
        with self._lock, contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid if process else 0).children(recursive=True):
                child.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let them go on."""
        with self._lock:
            self._signal(self._all[name], signal.SIGCONT)

    def again(self, name: str) -> None:
        """Start a service that was stopped; one that runs goes on."""
        with self._lock:
            running = self._all[name]
            running.wanted = True
            if running.process is None or running.process.poll() is not None:
                self._launch(running)

    def started_again(self, name: str, environment: Mapping[str, str]) -> None:
        """End a service in order and start it with other values of some variables."""
        self.stop(name)
        with self._lock:
            running = self._all[name]
            running.environment = {**running.environment, **environment}
        self.again(name)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Something that all need is gone: that a service ends again and again meanwhile is no fault of its own."""
        with self._lock:
            self._outages += 1
        try:
            yield
        finally:
            with self._lock:
                self._outages -= 1

    def pids(self) -> list[int]:
        """Of all services that run."""
        with self._lock:
            return [one.process.pid for one in self._all.values() if one.process and one.process.poll() is None]

    def check(self) -> None:
        """Raise where a service ends again and again by itself."""
        with self._lock:
            for running in self._all.values():
                recent = [end for end in running.ends if time.monotonic() - end < 60]
                if len(recent) > ENDS:
                    tail = "\n".join(running.log.read_text(errors="replace").splitlines()[-15:])
                    raise OperationError(f"{running.name} ends again and again; {running.log} ends with:\n{tail}")

    def _launch(self, running: Running) -> None:
        as_user = ["setpriv", "--reuid", running.user, "--regid", running.user, "--init-groups"] if running.user else []
        with open(running.log, "ab") as log:
            running.process = subprocess.Popen(
                [*as_user, *running.command],
                env=dict(running.environment),
                cwd=running.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.write(f"{running.process.pid}\n".encode())
            self._watchdog.stdin.flush()

    def _signal(self, running: Running, number: int) -> int:
        """Signal a service's process, its group, and whatever it started; returns how many there were."""
        if running.process is None:
            return 0
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(running.process.pid)
            found = [top, *top.children(recursive=True)]
        for one in found:
            with contextlib.suppress(psutil.Error):
                one.send_signal(number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, number)
        return len(found)

    def _keep(self) -> None:
        """Start again what has ended, as `restart: unless-stopped` does."""
        while not self._done.wait(RESTART_S):
            with self._lock:
                for running in self._all.values():
                    process = running.process
                    if process is None or process.poll() is None or not (running.wanted and running.stays):
                        continue
                    if not self._outages:
                        running.ends.append(time.monotonic())
                    self._signal(running, signal.SIGKILL)  # what it started and left behind
                    self._launch(running)
