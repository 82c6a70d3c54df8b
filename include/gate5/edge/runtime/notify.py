"""systemd's notify protocol: ready, alive, stopping (sd_notify(3)); nothing where systemd did not ask for it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

from gate5.edge.runtime.decision import Decision, Reading


class Notifier:
    """An observer of ``drive``: ready with the first period, and alive as long as there are periods.

    Args:
        environment: ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` of it.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self._ready = False
        limit = environment.get("WATCHDOG_USEC", "")
        self._every_s = int(limit) / 3e6 if limit.isdigit() and int(limit) > 0 else float("inf")
        self._due = 0.0
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            with contextlib.suppress(OSError):
                self._socket.connect("\0" + path[1:] if path.startswith("@") else path)

    def __call__(self, reading: Reading, decision: Decision) -> None:
        """A period is done."""
        if self._socket is None:
            return
        if not self._ready:
            self._ready = True
            self._send(f"READY=1\nSTATUS={decision.source} drives\nMAINPID={os.getpid()}")
        elif decision.handed_over or decision.given_back:
            self._send(f"STATUS={decision.source} drives{': ' + decision.cause if decision.cause else ''}")
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every_s
            if self._every_s != float("inf"):
                self._send("WATCHDOG=1")

    def close(self) -> None:
        """The control ends."""
        if self._socket is not None:
            self._send("STOPPING=1")
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(text.encode())
