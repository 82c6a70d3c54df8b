"""``Background``: what takes long (disk, signatures) in a thread, one thing after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from gate5.errors import Gate5Error


class Background:
    """Runs one job at a time; ``done`` is asked between two periods."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._results: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="background", daemon=True)
        self._thread.start()
        self.busy = False

    def start(self, job: Callable[[], Any]) -> None:
        """Begin a job; one at a time."""
        self.busy = True
        self._jobs.put(job)

    def done(self) -> Any:
        """The result of the job, or the error that it raised; ``None``: it goes on, or there is none."""
        if not self.busy or self._results.empty():
            return None
        self.busy = False
        return self._results.get()

    def close(self) -> None:
        """End after the job that goes on."""
        self._jobs.put(None)
        self._thread.join(5.0)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._results.put(job())
            except (Gate5Error, OSError) as error:
                self._results.put(error)
            except Exception as error:  # noqa: BLE001 - a defect here must not end the control of a plant
                self._results.put(error)
