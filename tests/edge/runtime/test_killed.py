"""kill -9 of the supervisor at random instants: the next start goes on, and every recorder file opens.

GATE5_KILLS=50 does it fifty times; the suite does it a few.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate5.cli.main import main
from gate5.edge.runtime.record.reader import read_flight

KILLS = int(os.environ.get("GATE5_KILLS", "3"))
PATIENCE_S = 300.0


def test_the_next_start_goes_on(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(18)
    flight = tmp_path / "flight"
    command = [
        "run", "plant", "--trust", "var/keys/release.pub", "--set", f"flight.folder={flight}",
        "--set", "binding.options={scenarios: [steady_state], episodes: 100000}", "--set", "hand_over.deadline_ms=2000",
    ]  # fmt: skip
    released = json.loads((home / "plant/current/entry.json").read_bytes())["release"]
    for _ in range(KILLS):
        before = set(flight.glob("*.mcap"))
        with subprocess.Popen(
            [sys.executable, "-m", "gate5", *command, "--speed", "100"], cwd=home, stderr=subprocess.DEVNULL
        ) as process:
            until = time.monotonic() + PATIENCE_S
            if chance.random() < 0.5:  # in the middle of control, or at whatever it does while it starts
                while set(flight.glob("*.mcap")) == before:
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 2.0))
            assert process.poll() is None, "nothing that an earlier kill left keeps a start out"
            process.send_signal(signal.SIGKILL)
    assert main([*command, "--speed", "inf", "--periods", "50", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["release"] == released
    assert result["tally"]["policy"] == 50
    files = sorted(flight.glob("*.mcap"))
    assert files
    for file in files:
        found = read_flight(file)
        assert found.hello.release == released
        numbers = [period["number"] for period in found.periods]
        assert numbers == list(range(1, len(numbers) + 1)), "no period is missing in front of the kill"
