"""``EngineLink``: the supervisor's side of one engine process: start, ask, wait no longer than allowed, start again."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from typing import Any

import numpy as np

from gate5.config.run import RunConfig
from gate5.edge.runtime.installed import Installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.mailbox import Mailbox
from gate5.edge.runtime.priority import WATCHED_S
from gate5.io import canonical
from gate5.plant.base import Float32

Trouble = tuple[str, str]
MOST_PAUSE_S = 60.0


class EngineLink:
    """One engine process after another for one release.

    Args:
        release: what it runs.
        launcher: starts processes.
        config: of the run; timeouts and more.
        module: what the process runs.
    """

    def __init__(
        self,
        release: Installed,
        launcher: Launcher,
        config: RunConfig,
        *,
        module: str = "gate5.edge.runtime.answering",
    ) -> None:
        self._module = module
        self.release, self._launcher, self._config = release, launcher, config.engine
        self._realtime = config.realtime
        # Waking takes longer than most inferences; a machine of one CPU has none to spare for watching.
        self._watched_s = WATCHED_S if config.realtime and len(os.sched_getaffinity(0)) > 1 else 0.0
        self._answer: Float32 = np.zeros(release.act_dim, np.float32)
        self._box: Mailbox | None = None
        self._life: socket.socket | None = None
        self._number, self._missed, self._pause = 0, 0, config.engine.restart_s
        self._again_at, self._started, self._since = 0.0, 0.0, 0.0
        self._reset, self._warm = True, False
        self._pid = 0
        self._watched: list[int] = []
        self.starts = 0
        self.inference_ns = 0
        self.last_error = ""
        self._start()

    @property
    def ready(self) -> bool:
        """Whether an engine that has proved itself is there."""
        return self._box is not None and self._box.ready

    @property
    def pid(self) -> int:
        """Of the engine process; 0 where there is none."""
        return self._pid

    def reset(self) -> None:
        """An episode starts: a policy's state is zero again."""
        self._reset = True

    def keep_warm(self, on: bool) -> None:
        """Whether the engine is run while it waits: that of the release that drives, for two share one GPU."""
        self._warm = on
        if self._box is not None:
            self._box.set_warm(on)

    def ask(self, obs: Float32) -> Trouble | None:
        """Ask for the action to an observation; what is wrong where nobody can be asked."""
        if self._box is None:
            self.revive()
            return "engine_restarting", self.last_error or "the engine process is being started again"
        if not self._box.ready:
            return self.check_start() or ("engine_restarting", "the engine process is starting")
        if self._pid == 0:
            self._learn_pid()
        self._number += 1
        self._box.post(self._number, obs, self._reset)
        return None

    def nudge(self) -> None:
        """A question comes in a moment: the engine process is awake by then (with `realtime`)."""
        if self._watched_s and self._box is not None and self._box.ready:
            self._box.nudge()

    def revive(self) -> None:
        """Start a process that has ended again, where its pause is over; also while nobody can ask."""
        if self._box is None and time.monotonic() >= self._again_at:
            self._start()

    def check_start(self) -> Trouble | None:
        """What ended a start; ``None``: it goes on, or is done."""
        if self.ready:
            return None
        gone = self._gone()
        if gone is None and time.monotonic() - self._started > self._config.start_timeout_s:
            gone = self._end("engine_hung", f"no proof within {self._config.start_timeout_s:g} s of its start")
        return gone

    def wait(self, until: float, counts: bool = True) -> Float32 | Trouble:
        """The answer to what was asked, or why there is none.

        Args:
            until: how long it is waited for (``time.monotonic``).
            counts: whether no answer by then speaks against the engine; not where it had less than its deadline.
        """
        box, life = self._box, self._life
        if box is None or life is None:
            return "engine_dead", "there is no engine process"
        woken, watched = False, time.monotonic() + self._watched_s
        while True:
            taken = box.take(self._number, self._answer)
            if taken is not None:
                if not woken:
                    box.woken()  # by the answer that was there before anybody waited
                self._missed, self._pause, self._reset = 0, self._config.restart_s, False
                self.inference_ns = taken
                return self._answer
            now = time.monotonic()
            left = until - now
            if left <= 0:
                return self._late(counts)
            if now < watched:
                continue
            ready, _, _ = select.select(self._watched, (), (), left)
            box.woken()
            woken = True
            if len(ready) > 1 or ready == self._watched[1:]:
                return self._gone() or ("engine_dead", "the engine process ended")

    def close(self) -> None:
        """End the process and free everything."""
        if self._life is not None:
            self._life.close()
        if self._box is not None:
            self._learn_pid()  # of one that never got ready as well
            self._box.close()
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._box = self._life = None
        self._pid = 0

    def _late(self, counts: bool) -> Trouble:
        self._reset = True  # a policy's state is no longer what the plant went through
        if not counts:
            return "late", "the period began so late that too little of it was left for an answer"
        if not self._missed:
            self._since = time.monotonic()
        self._missed += 1
        long_enough = time.monotonic() - self._since >= self._config.hung_s
        if self._missed >= self._config.hung_periods and long_enough:
            return self._end("engine_hung", f"{self._missed} answers in a row did not come; it is started again")
        return "late", f"no answer within the deadline, {self._missed} in a row"

    def _gone(self) -> Trouble | None:
        """Whether the other end of the line is closed."""
        if self._life is None:
            return None
        try:
            said = self._life.recv(4096)
        except BlockingIOError:
            return None
        except OSError:
            said = b""
        if said:
            self.last_error = said.decode(errors="replace")
            return self._end("engine_dead", self.last_error)
        return self._end("engine_dead", "the engine process ended")

    def _end(self, cause: str, text: str) -> Trouble:
        self.close()
        self._again_at = time.monotonic() + self._pause
        self._pause = min(max(2.0 * self._pause, 0.1), MOST_PAUSE_S)
        self._missed, self._reset = 0, True
        return cause, text

    def _start(self) -> None:
        release = self.release
        self._box = Mailbox.create(release.obs_dim, release.act_dim)
        self._box.set_warm(self._warm)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._life, self._started, self.starts = ours, time.monotonic(), self.starts + 1
        order: dict[str, Any] = {
            "obs_dim": release.obs_dim, "act_dim": release.act_dim, "threads": self._config.threads,
            "files": dict(release.files), "release": release.id,
            "provenance": {"golden": release.provenance.get("golden")}, "keep_warm_ms": self._config.keep_warm_ms,
            "realtime": self._realtime, "cpu": self._config.cpu,
        }  # fmt: skip
        at = self._box.at
        self._watched = [at.answered, ours.fileno()]
        command = [
            sys.executable, "-m", self._module, os.fspath(release.folder),
            canonical.dumps(order).decode(), "{fd0}", "{fd1}", "{fd2}", "{fd3}",
        ]  # fmt: skip
        taken = self._launcher.start(command, [theirs.fileno(), at.memory, at.asked, at.answered])
        theirs.close()
        if not taken:
            self._end("engine_dead", "the launcher is gone")

    def _learn_pid(self) -> None:
        if self._box is not None:
            self._pid = self._box.process
