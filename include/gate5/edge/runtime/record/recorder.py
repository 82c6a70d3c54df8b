"""The flight recorder: every period as a JSON message in MCAP files, the oldest removed where they grow too large.

Written without chunks, so that what was flushed can be read whatever ended the process: https://mcap.dev/spec.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gate5.edge.runtime.record.wire import GIVEN_BACK, HANDED_OVER, MISSED, STARTS, Hello, Period
from gate5.io import canonical
from gate5.plant.base import Float32

TOPIC, METADATA = "/gate5/period", "gate5"
AGAIN_S = 60.0
_NAME = re.compile(r"flight-([0-9]{8})\.mcap")
_SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "integer"}, "source": {"type": "string"}, "cause": {"type": "string"},
        "text": {"type": "string"}, "age_s": {"type": "number"}, "obs": {"type": "object"},
        "action": {"type": "object"}, "policy": {"type": "object"}, "baseline": {"type": "object"},
        "margins": {"type": "object"}, "inference_us": {"type": "number"}, "overhead_us": {"type": "number"},
    },
}  # fmt: skip


class Recorder:
    """Files ``flight-00000001.mcap`` and on in a folder.

    Args:
        folder: made where it is not there.
        file_bytes, total_bytes: of one file, of all together.
        say: gets a line when recording stops or starts again.
    """

    def __init__(self, folder: Path, file_bytes: int, total_bytes: int, say: Callable[[str], None]) -> None:
        self._folder, self._file_bytes, self._total, self._say = folder, file_bytes, total_bytes, say
        self._hello: Hello | None = None
        self._file: BinaryIO | None = None
        self._writer: Any = None
        self._channel = 0
        self._again = 0.0
        self.stopped = ""

    def hello(self, hello: Hello) -> None:
        """What comes next is of this release: a new file."""
        self._guard(self._finish)
        self._hello = hello

    def add(self, period: Period) -> None:
        """Write a period; what cannot be written stops the recording for a while and is said once."""
        if self._hello is None or (self.stopped and time.monotonic() < self._again):
            return
        self._guard(lambda: self._add(period))

    def flush(self) -> None:
        """Hand what was written to the disk; once a second."""
        self._guard(self._flush)

    def close(self) -> None:
        """Finish the file."""
        self._guard(self._finish)

    def _guard(self, what: Callable[[], None]) -> None:
        try:
            what()
        except OSError as error:
            if not self.stopped:
                self._say(f"recording stopped: {error.strerror or error} ({self._folder}); the control goes on.")
            self.stopped, self._again = str(error.strerror or error), time.monotonic() + AGAIN_S
            self._abandon()

    def _add(self, period: Period) -> None:
        hello = self._hello
        if hello is None:
            return
        if self._file is None:
            self._open(hello)
        data = json.dumps(_message(period, hello), separators=(",", ":")).encode()
        self._writer.add_message(self._channel, period.time_ns, data, period.time_ns, period.number)
        if self._file is not None and self._file.tell() > self._file_bytes:
            self._finish()

    def _open(self, hello: Hello) -> None:
        from mcap.writer import CompressionType, Writer

        self._folder.mkdir(parents=True, exist_ok=True)
        numbers = self._make_room()
        path = self._folder / f"flight-{(numbers[-1] if numbers else 0) + 1:08d}.mcap"
        self._file = path.open("xb")
        writer = Writer(self._file, use_chunking=False, compression=CompressionType.NONE)
        writer.start(profile="gate5", library="gate5")
        writer.add_metadata(METADATA, {"hello": canonical.dumps(vars(hello)).decode()})
        schema = writer.register_schema("gate5.period", "jsonschema", json.dumps(_SCHEMA).encode())
        self._channel = writer.register_channel(TOPIC, "json", schema)
        self._writer = writer
        self._flush()
        if self.stopped:
            self._say("recording goes on.")
            self.stopped = ""

    def _make_room(self) -> list[int]:
        """Remove the oldest files until one more fits; returns the numbers that are left."""
        found = sorted((int(m[1]), path) for path in self._folder.iterdir() if (m := _NAME.fullmatch(path.name)))
        size = sum(path.stat().st_size for _, path in found) + self._file_bytes
        while found and size > self._total:
            _, path = found[0]
            size -= path.stat().st_size
            path.unlink(missing_ok=True)
            if len(found) == 1:
                return [found[0][0]]
            found.pop(0)
        return [number for number, _ in found]

    def _flush(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _finish(self) -> None:
        if self._file is not None:
            self._writer.finish()
            self._flush()
            self._file.close()
        self._file = self._writer = None

    def _abandon(self) -> None:
        """Let go of a file that cannot be written any more, without writing what is left of it."""
        file, self._file, self._writer = self._file, None, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return


def _message(period: Period, hello: Hello) -> dict[str, Any]:
    return {
        "number": period.number, "source": period.source, "cause": period.cause, "text": period.text,
        "handed_over": bool(period.flags & HANDED_OVER), "given_back": bool(period.flags & GIVEN_BACK),
        "starts": bool(period.flags & STARTS), "missed": bool(period.flags & MISSED), "age_s": _number(period.age_s),
        "inference_us": period.inference_ns / 1e3, "overhead_us": period.overhead_ns / 1e3,
        "waited_us": period.waited_ns / 1e3, "obs": _named(hello.observations, period.obs),
        "action": _named(hello.actions, period.action), "policy": _named(hello.actions, period.policy),
        "baseline": _named(hello.actions, period.baseline), "margins": _named(hello.margins, period.margins),
    }  # fmt: skip


def _named(names: tuple[str, ...], values: Float32) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values.tolist(), strict=True)}


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None
