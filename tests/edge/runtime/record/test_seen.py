"""A run that is watched: a real scrape, /healthz, systemd's protocol on a real socket, files after kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gate5.cli.main import main
from gate5.edge.runtime.record.reader import read_flight

PATIENCE_S = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(port: int) -> dict[tuple[str, str], float]:
    """Sample values by name and its labels' values, read with Prometheus' own parser."""
    found = {}
    for family in text_string_to_metric_families(get(f"http://127.0.0.1:{port}/metrics")[1]):
        for sample in family.samples:
            found[sample.name, ",".join(sample.labels.values())] = sample.value
    return found


def test_a_run_is_seen(home: Path, tmp_path: Path) -> None:
    port, flight = free_port(), tmp_path / "flight"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        command = [
            sys.executable, "-m", "gate5", "run", "plant", "--trust", "var/keys/release.pub", "--speed", "50",
            "--set", f"metrics.port={port}", "--set", f"flight.folder={flight}",
            "--set", "binding.options={scenarios: [cold_startup], episodes: 1000}",
            "--set", "hand_over.deadline_ms=2000",
        ]  # fmt: skip
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        with subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                told = systemd.recv(1000).decode()
                assert "READY=1" in told
                assert f"MAINPID={process.pid}" in told
                beats = [time.monotonic() for _ in range(4) if b"WATCHDOG=1" in systemd.recv(1000)]
                assert len(beats) >= 3
                until = time.monotonic() + PATIENCE_S
                seen: dict[tuple[str, str], float] = {}
                while not seen.get(("gate5_periods_total", "policy"), 0) > 20:
                    assert time.monotonic() < until
                    try:
                        seen = scrape(port)
                    except OSError:
                        time.sleep(0.05)
                assert seen["gate5_driving", "policy"] == 1
                assert seen["gate5_inference_seconds_count", ""] > 20
                assert seen["gate5_margin", "surge"] > 0
                assert any(name == "gate5_release_info" and "production" in labels for name, labels in seen)
                status, body = get(f"http://127.0.0.1:{port}/healthz")
                assert status == 200
                assert json.loads(body)["source"] == "policy"
                assert main(["run", "plant", "--hand-over", "a test"]) == 0
                while seen.get(("gate5_hand_overs_total", "person"), 0) < 1:
                    assert time.monotonic() < until
                    seen = scrape(port)
                process.send_signal(signal.SIGSTOP)
                while status == 200:
                    assert time.monotonic() < until
                    status, body = get(f"http://127.0.0.1:{port}/healthz")
                    time.sleep(0.05)
                assert status == 503
            finally:
                process.kill()
    # The recording process outlives the kill and closes the file.
    while not (files := sorted(flight.glob("*.mcap"))) or not read_flight(files[-1]).whole:
        assert time.monotonic() < until
        time.sleep(0.05)
    found = read_flight(files[-1])
    assert any(p["handed_over"] and p["cause"] == "person" for p in found.periods)
    assert found.hello.channel == "production"


def test_a_port_that_is_taken_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        trust = ["--trust", "var/keys/release.pub"]
        assert main(["run", "plant", *trust, "--set", f"metrics.port={port}"]) == 2
    said = capsys.readouterr().err.strip()
    assert f"127.0.0.1:{port}" in said
    assert "\n" not in said
