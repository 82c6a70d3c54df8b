"""The recording process: takes what the supervisor sends, so that a disk or a scrape never keeps that waiting."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gate5.edge.runtime.record.evidence import Sender, Summaries
from gate5.edge.runtime.record.metrics import Metrics, serve
from gate5.edge.runtime.record.recorder import Recorder
from gate5.edge.runtime.record.wire import Hello, Period, unpack

MEGA = 1_000_000
FLUSH_S = 0.5


class Sink(Protocol):
    """Takes periods."""

    def hello(self, hello: Hello) -> None:
        """What comes next is of this release."""

    def add(self, period: Period) -> None:
        """One period."""


def main(arguments: list[str]) -> int:
    """``process ORDER.json-text LINE``; the supervisor starts it and it ends with the supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    order: dict[str, Any] = json.loads(arguments[0])
    line = socket.socket(fileno=int(arguments[1]))

    def say(text: str) -> None:
        with contextlib.suppress(OSError):
            line.send(text.encode()[:2000], socket.MSG_DONTWAIT)

    recorder, metrics, sinks = None, None, list[Sink]()
    if order["metrics"] is not None:
        metrics = Metrics()
        sinks.append(metrics)
        try:
            port = serve(metrics, order["metrics"]["address"], order["metrics"]["port"])
            say(f"metrics at http://{order['metrics']['address']}:{port}/metrics")
        except OSError as error:
            say(f"no metrics: {order['metrics']['address']}:{order['metrics']['port']}: {error.strerror or error}")
    if order["flight"] is not None:
        told = order["flight"]
        recorder = Recorder(Path(told["folder"]), told["file_mb"] * MEGA, told["total_mb"] * MEGA, say)
        sinks.append(recorder)

    summaries, sender = None, None
    if order["evidence"] is not None:
        told = order["evidence"]
        folder = Path(told["folder"])
        try:
            summaries = Summaries(folder, told["plant"], told["every_s"])
            sinks.append(summaries)
            sender = Sender(folder, told["config"], told["key"], say)
        except OSError as error:
            say(f"no evidence: {folder}: {error.strerror or error}")

    def second() -> None:
        if summaries is not None:
            summaries.second()
        if recorder is not None:
            recorder.flush()
            if metrics is not None:
                metrics.recording.set(not recorder.stopped)

    def outcome(told: dict[str, str]) -> None:
        if summaries is not None:
            summaries.outcome(told)
        if metrics is not None:
            metrics.outcome(told["outcome"])

    follow(line, sinks, second, outcome)
    if recorder is not None:
        recorder.close()
    if summaries is not None and sender is not None:
        summaries.finish()
        sender.close()
    return 0


def follow(
    line: socket.socket,
    sinks: list[Sink],
    second: Callable[[], None],
    outcome: Callable[[dict[str, str]], None] = lambda told: None,
) -> None:
    """Pass on what comes until the supervisor is gone; ``second`` is called twice a second.

    Args:
        outcome: gets what became of a newer release.
    """
    hello: Hello | None = None
    poll = select.poll()
    poll.register(line, select.POLLIN)
    due = time.monotonic() + FLUSH_S
    while True:
        if poll.poll(max(0.0, due - time.monotonic()) * 1e3):
            try:
                data = line.recv(1 << 20)
            except ConnectionError:
                return
            if not data:
                return
            if data[:1] == b"H":
                hello = Hello.from_dict(json.loads(data[1:]))
                for sink in sinks:
                    sink.hello(hello)
            elif data[:1] == b"O":
                outcome(json.loads(data[1:]))
            elif hello is not None:
                with contextlib.suppress(ValueError):
                    period = unpack(data, hello)
                    for sink in sinks:
                        sink.add(period)
        if time.monotonic() >= due:
            due = time.monotonic() + FLUSH_S
            second()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
