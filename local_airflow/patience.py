"""Wait for what goes on, however slowly it does; give up only where nothing has moved for long.

How long a start or a run takes depends on what else the machine does, so no wait here has an end by the clock. What is
waited for shows that it goes on: states change, logs grow, processes use the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from gate5.errors import OperationError

#: Seconds without any sign of progress after which a wait gives up.
STILL_S = 300.0
#: One look counts as no more than this many seconds: while the watcher itself was stopped, it saw nothing.
LOOK_S = 5.0

T = TypeVar("T")


class StillError(OperationError):
    """Nothing has moved for so long that it is not waited for any more."""


class Patience:
    """Looks at the signs of progress of one thing.

    Args:
        what: what is waited for, as a sentence's beginning: ``Airflow is not ready``.
        still_s: how long nothing may move [s].
    """

    def __init__(self, what: str, still_s: float = STILL_S) -> None:
        self.what, self.still_s = what, still_s
        self._signs: object = None
        self._still, self._looked = 0.0, time.monotonic()

    def look(self, signs: object) -> None:
        """Note the signs of progress, anything that can be compared.

        Raises:
            StillError: they have been the same for ``still_s``.
        """
        now = time.monotonic()
        self._still += min(now - self._looked, LOOK_S)
        self._looked = now
        if signs != self._signs:
            self._signs, self._still = signs, 0.0
        elif self._still >= self.still_s:
            raise StillError(f"{self.what}, and nothing has moved for {self.still_s:g} s: {signs}")


def wait_for(
    what: str,
    found: Callable[[], T | None],
    signs: Callable[[], object] = lambda: None,
    *,
    every_s: float = 0.3,
    still_s: float = STILL_S,
) -> T:
    """Ask ``found`` until its answer is not ``None``; returns the answer.

    Args:
        what: see ``Patience``.
        found: asked every ``every_s`` seconds.
        signs: the signs of progress.

    Raises:
        StillError: no answer, and the same signs for ``still_s``.
    """
    patience = Patience(what, still_s)
    while True:
        answer = found()
        if answer is not None:
            return answer
        patience.look(signs())
        time.sleep(every_s)


def log_bytes(folder: Path) -> int:
    """How much all logs in a folder hold [bytes]."""
    total = 0
    for path in folder.rglob("*.log"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def cpu_seconds(pids: Iterable[int]) -> int:
    """Whole seconds of CPU that processes and those that they started have used; one that has ended counts no more."""
    import psutil

    total = 0.0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            continue
    return int(total)
