"""The socket binding: JSON lines on a Unix socket, for a plant that is none of the others.

The plant's side listens. It writes ``{"obs": [..]}`` or ``{"obs": {"net_power": 9.8, ..}, "time": 1722.5}`` (seconds
since 1970, when the readings were taken) once a period; it reads ``{"action": [..]}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gate5.edge.runtime.bindings.clock import PlantClock
from gate5.edge.runtime.decision import Reading
from gate5.errors import ConfigError
from gate5.plant.base import Float32, Plant

MOST_BYTES = 1 << 20
#: Reads of a period, at most: a plant that writes faster than it is read must not hold the control up.
MOST_READS = 64
AGAIN_S = 1.0


class JsonSocket:
    """One plant behind a Unix socket; a connection that breaks is opened again.

    Args:
        plant: names of observations and actions.
        options: ``path`` of the socket.
        say: gets a line when a clock was set.

    Raises:
        ConfigError: another option, or no path.
    """

    def __init__(self, plant: Plant, options: dict[str, Any], say: Callable[[str], None] = lambda text: None) -> None:
        if set(options) != {"path"} or not isinstance(options["path"], str):
            raise ConfigError(f"binding.options of the socket binding must be {{path: FILE}}, but they are {options}.")
        self._path = os.path.abspath(options["path"])
        self._names = plant.observation_space.names
        self._size = plant.observation_space.size
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._newest: tuple[Float32, float] | None = None
        self._clock = PlantClock(say)
        self._again = 0.0
        self._say = say
        self._refused = ""
        self._sent: Float32 | None = None
        self.troubles = 0

    @property
    def address(self) -> str:
        return f"unix:{self._path}"

    def open(self) -> None:
        """Connect.

        Raises:
            ConfigError: nobody listens there.
        """
        if not self._connect():
            raise ConfigError(f"No plant listens on {self._path}: start it first, or correct binding.options.path.")

    def read(self) -> Reading:
        """The newest line that has come; an older one that came before is passed over."""
        self._receive()
        told: dict[str, Any] = {"refused": self._refused, "standing": self._sent}
        if self._newest is None:
            return Reading(None, why=f"nothing has come on {self._path} yet", **told)
        obs, taken = self._newest
        return Reading(obs, age_s=self._clock.age(taken), **told)

    def write(self, action: Float32) -> None:
        """Send an action; one that cannot be sent at once is lost and counted."""
        if self._socket is None:
            self.troubles += 1
            self._refuse(f"nobody listens on {self._path}")
            return
        try:
            self._socket.sendall((json.dumps({"action": [float(v) for v in action]}) + "\n").encode())
        except OSError as error:
            self._drop()
            self._refuse(f"{self._path} takes nothing ({error.strerror or error})")
            return
        self._sent = action.copy()
        if self._refused:
            self._refused = ""
            self._say("the plant takes actions again")

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _refuse(self, why: str) -> None:
        if not self._refused:
            self._say(f"the plant does not take actions: {why}")
        self._refused = why

    def _connect(self) -> bool:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.settimeout(0.05)
            found.connect(self._path)
        except OSError:
            found.close()
            self._again = time.monotonic() + AGAIN_S
            return False
        found.setblocking(False)
        self._socket, self._buffer = found, b""
        return True

    def _receive(self) -> None:
        if self._socket is None and (time.monotonic() < self._again or not self._connect()):
            return
        for _ in range(MOST_READS):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop()
                return
            self._buffer += data
            *lines, self._buffer = self._buffer.split(b"\n")
            if len(self._buffer) > MOST_BYTES:
                self._drop()
            if lines:
                self._keep(lines[-1])

    def _keep(self, line: bytes) -> None:
        # Whatever the line says: a number of 400 digits overflows, 100,000 brackets are too deep to read.
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
            plain = json.loads(line)
            given = plain["obs"]
            values = [given.get(name) for name in self._names] if isinstance(given, dict) else given
            with np.errstate(over="ignore"):
                obs = np.array([np.nan if v is None else float(v) for v in values], np.float32)
            taken = float(plain.get("time", time.time()))
            if obs.shape == (self._size,) and np.isfinite(taken):
                self._newest = obs, taken
                return
        self.troubles += 1

    def _drop(self) -> None:
        self.troubles += 1
        self.close()
        self._again = time.monotonic() + AGAIN_S
