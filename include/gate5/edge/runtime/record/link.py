"""``RecordLink``: the supervisor's end of the recording process: one send a period that never waits."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate5.config.models import ReleaseConfig
from gate5.config.run import EvidenceConfig, RunConfig
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.record.wire import Hello, Packer, pack_outcome
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.errors import ConfigError
from gate5.io.paths import resolve_path
from gate5.store.evidence import SIMULATED
from gate5.store.signing import load_signer

AGAIN_S = 5.0
BUFFER = 1 << 20
#: Outcomes of updates that wait for a recording process.
MOST_UNTOLD = 100
MODULE = "gate5.edge.runtime.record.process"


def recording_order(config: RunConfig, root: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """What the recording process is to do; ``None``: nothing.

    Raises:
        ConfigError: a package that was asked for is not installed, or the port is taken.
        InputError: evidence is asked for, and there is no key that signs it or no configuration that names a store.
    """
    flight, metrics = config.flight, config.metrics
    has = {name: importlib.util.find_spec(name) is not None for name in ("mcap", "prometheus_client")}
    if flight.record is True and not has["mcap"]:
        raise ConfigError("flight.record is true, which needs mcap: pip install 'gate5[plant]', or set it to false.")
    if flight.record is None and not has["mcap"]:
        say("not recorded: pip install 'gate5[plant]' for the flight recorder")
    if config.evidence is not None:
        _check_evidence(config.evidence)
    if metrics.port is not None:
        if not has["prometheus_client"]:
            raise ConfigError("metrics.port needs prometheus-client: pip install 'gate5[plant]', or leave it out.")
        _check_port(metrics.address, metrics.port)
    records = flight.record is not False and has["mcap"]
    found: dict[str, Any] = {
        "flight": None
        if not records
        else {
            "folder": os.path.abspath(root / "flight" if flight.folder is None else flight.folder),
            "file_mb": flight.file_mb, "total_mb": flight.total_mb,
        },
        "evidence": None if config.evidence is None else {
            "folder": os.path.abspath(root / "evidence"), "config": os.path.abspath(config.evidence.config),
            "key": str(resolve_path(config.evidence.key)), "every_s": config.evidence.every_s,
            "plant": config.evidence.plant or socket.gethostname() or "unnamed",
        },
        "metrics": None if metrics.port is None else {"address": metrics.address, "port": metrics.port},
    }  # fmt: skip
    return found if records or metrics.port is not None or config.evidence is not None else None


def hello_of(runtime: PolicyRuntime, channel: str) -> Hello:
    """What is recorded from now on."""
    plant, bounds = runtime.release.plant, runtime.release.envelope
    names = plant.observation_space.names or tuple(str(i) for i in range(plant.observation_space.size))
    actions = plant.action_space.names or tuple(str(i) for i in range(plant.action_space.size))
    low, high = ((), ()) if bounds is None else (tuple(bounds.low.tolist()), tuple(bounds.high.tolist()))
    binding = runtime.config.binding
    limits = tuple((c.variable, c.low, c.high, c.name, c.catastrophic) for c in plant.constraints)
    return Hello(
        runtime.release.id, runtime.config.mode, channel, runtime.period_s, names, actions, runtime.margins.names,
        low, high, limits, SIMULATED if binding.test_rig else binding.kind,
    )  # fmt: skip


class RecordLink:
    """Sends every period; an observer of ``drive``.

    Args:
        order: of ``recording_order``.
        say: gets what the process says.
    """

    def __init__(
        self,
        order: dict[str, Any],
        launcher: Launcher,
        runtime: PolicyRuntime,
        channel: str,
        say: Callable[[str], None],
    ) -> None:
        self._order, self._launcher, self._runtime, self._say = order, launcher, runtime, say
        self._channel = channel
        self._line: socket.socket | None = None
        self._again = 0.0
        self.dropped = 0
        self._untold: deque[bytes] = deque(maxlen=MOST_UNTOLD)
        self.changed()

    def changed(self) -> None:
        """Another release drives, or another mode."""
        self._hello = hello_of(self._runtime, self._channel)
        sizes = len(self._hello.observations), len(self._hello.actions), len(self._hello.margins)
        self._packer = Packer(*sizes)
        if self._line is None:
            self._start()
        else:
            self._send(self._hello.pack())

    def __call__(self, reading: Reading, decision: Decision) -> None:
        """One period."""
        if self._line is None:
            if time.monotonic() < self._again:
                return
            self._start()
        self._send(self._packer.pack(reading, decision, self._runtime.margins.margins))

    def outcome(self, outcome: dict[str, Any]) -> None:
        """What became of a newer release; kept until there is a process that takes it."""
        self._untold.append(pack_outcome(outcome))
        self._tell()

    def listen(self) -> None:
        """Say what the process said; between two periods."""
        if self._line is None:
            return
        self._tell()
        try:
            said = self._line.recv(4096)
        except OSError:
            return
        if said:
            self._say(said.decode(errors="replace"))

    def close(self) -> None:
        """Let it finish its file and end."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _tell(self) -> None:
        while self._line is not None and self._untold:
            try:
                self._line.send(self._untold[0])
            except OSError:  # full, or gone: later
                return
            self._untold.popleft()

    def _send(self, data: bytes | memoryview) -> None:
        if self._line is None:
            return
        try:
            self._line.send(data)
        except BlockingIOError:
            self.dropped += 1
        except OSError:
            self._say("the recording process ended; it is started again, the control goes on")
            self.close()
            self._again = time.monotonic() + AGAIN_S

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._again = time.monotonic() + AGAIN_S
        command = [sys.executable, "-m", MODULE, json.dumps(self._order), "{fd0}"]
        taken = self._launcher.start(command, [theirs.fileno()])
        theirs.close()
        if not taken:
            ours.close()
            return
        self._line = ours
        self._send(self._hello.pack())
        self._tell()


def _check_evidence(told: EvidenceConfig) -> None:
    """Whether summaries can be signed and there is a store to send them to; it need not answer now.

    Raises:
        InputError: there is no such key or configuration.
    """
    ReleaseConfig.load(told.config)
    load_signer(resolve_path(told.key))


def _check_port(address: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigError(
                f"metrics cannot listen on {address}:{port} ({error.strerror or error}): set metrics.address and "
                "metrics.port to a free one."
            ) from None
