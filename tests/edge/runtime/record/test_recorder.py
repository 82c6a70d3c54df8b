"""The flight recorder's files: bounded, readable after kill -9, and a full disk stops them and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gate5.cli.main import main
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.record.reader import read_flight
from gate5.edge.runtime.record.recorder import Recorder
from gate5.edge.runtime.record.wire import Hello, Packer, Period, unpack

HELLO = Hello(
    "r-0", "control", "production", 5.0, ("a<b>", "b"), ("u",), ("m",), limits=(("b", None, 2.0, "top", False),)
)
ACTION = np.array([0.5], np.float32)


def period(number: int, cause: str = "") -> Period:
    decision = Decision(ACTION, "baseline" if cause else "policy", cause, "half <i>a</i> sentence" if cause else "")
    decision.policy, decision.handed_over = ACTION, bool(cause)
    packer = Packer(2, 1, 1)
    packer._number = number - 1
    reading = Reading(np.array([number, np.nan], np.float32), age_s=0.25)
    return unpack(bytes(packer.pack(reading, decision, np.array([np.inf]))), HELLO)


def test_what_is_packed_is_unpacked() -> None:
    found = period(7, "late")
    assert (found.number, found.source, found.cause, found.text) == (7, "baseline", "late", "half <i>a</i> sentence")
    assert found.obs[0] == 7
    assert np.isnan(found.obs[1])
    assert found.age_s == 0.25
    assert abs(found.time_ns / 1e9 - time.time()) < 60
    with pytest.raises(ValueError, match="period"):
        unpack(b"P123", HELLO)


def test_files_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 20_000, 60_000, pytest.fail)
    recorder.hello(HELLO)
    for number in range(1, 1001):
        recorder.add(period(number))
    recorder.close()
    files = sorted(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) <= 80_000
    last = read_flight(files[-1])
    assert last.whole
    assert last.periods[-1]["number"] == 1000
    assert last.periods[-1]["obs"] == {"a<b>": 1000.0, "b": None}
    again = Recorder(tmp_path, 20_000, 60_000, pytest.fail)
    again.hello(HELLO)
    again.add(period(1))
    again.close()
    assert sorted(tmp_path.iterdir())[-1] > files[-1], "the next run's file comes after"


WRITER = """
import sys, time
from pathlib import Path
from tests.edge.runtime.record.test_recorder import HELLO, period
from gate5.edge.runtime.record.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), 10_000_000, 60_000_000, print)
recorder.hello(HELLO)
for number in range(1, 10**9):
    recorder.add(period(number))
    if number % 50 == 0:
        recorder.flush()
        print(number, flush=True)
    time.sleep(0.0005)
"""


def test_kill_9_loses_only_what_was_not_flushed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        flushed = 0
        for _ in range(5):
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    (file,) = tmp_path.iterdir()
    found = read_flight(file)
    assert not found.whole
    assert [p["number"] for p in found.periods[:flushed]] == list(range(1, flushed + 1))
    whole = file.read_bytes()
    for cut in range(len(whole) - 400, len(whole), 7):  # wherever the last record breaks off
        file.write_bytes(whole[:cut])
        assert len(read_flight(file).periods) >= flushed - 3


def test_a_full_disk_is_said_once_and_recording_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full is the kernel's own full disk."""
    said: list[str] = []
    recorder = Recorder(tmp_path / "flight", 20_000, 60_000, said.append)
    recorder.hello(HELLO)
    recorder.add(period(1))
    assert recorder._file is not None
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the recorder closes it
    recorder._writer._Writer__stream = recorder._file = full
    for number in range(2, 50):
        recorder.add(period(number))
        recorder.flush()
    assert len(said) == 1
    assert "recording stopped: No space left" in said[0]
    assert recorder.stopped
    recorder._again = 0.0
    recorder.add(period(50))
    recorder.close()
    assert said[1:] == ["recording goes on."]
    assert read_flight(sorted((tmp_path / "flight").iterdir())[-1]).periods[0]["number"] == 50


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    recorder = Recorder(tmp_path / "file" / "flight", 20_000, 60_000, said.append)
    recorder.hello(HELLO)
    recorder.add(period(1))
    recorder.close()
    assert len(said) == 1


def test_the_page_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(tmp_path, 2_000_000, 6_000_000, pytest.fail)
    recorder.hello(HELLO)
    for number in range(1, 60):
        recorder.add(period(number, "late" if number == 30 else ""))
    recorder.flush()  # not closed
    (file,) = tmp_path.iterdir()
    assert main(["flight", str(file)]) == 0
    assert "59 periods of r-0; the file was not closed" in capsys.readouterr().out
    page = file.with_suffix(".html").read_text()
    assert "half &lt;i&gt;a&lt;/i&gt; sentence" in page
    assert "<i>a</i>" not in page
    assert "A&lt;b&gt;" in page
    assert page.count("<svg") == 3
    (tmp_path / "bad.mcap").write_bytes(b"nothing of the kind")
    (tmp_path / "empty.mcap").write_bytes(b"")
    for name, text in [("bad.mcap", "not a flight"), ("empty.mcap", "not a flight"), ("none.mcap", "cannot be read")]:
        assert main(["flight", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err.strip()
        assert text in said
        assert "\n" not in said
