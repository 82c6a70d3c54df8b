"""A real OPC UA server in its own process as the plant, killed and started again in the middle."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.edge.runtime.bindings.opcua import OpcUa
from gate5.plant.judged import judged_plant
from tests.edge.runtime.record.test_seen import PATIENCE_S, free_port

PERIOD_S = 0.25
PLANT = judged_plant(ReleaseConfig.load(None))


@contextlib.contextmanager
def served(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.opcua_plant", str(port), str(PERIOD_S), "steady_state"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[4]) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def options(port: int) -> dict[str, Any]:
    scaled = {"high_pressure", "low_pressure"}
    return {
        "url": f"opc.tcp://127.0.0.1:{port}/",
        "observations": {
            name: {"node": f"ns=2;s=Obs.{name}", "scale": 0.1} if name in scaled else f"ns=2;s=Obs.{name}"
            for name in PLANT.observation_space.names
        },
        "actions": {
            name: {"node": f"ns=2;s=Cmd.{name}", "scale": 0.02, "offset": -1} for name in PLANT.action_space.names
        },
        "heartbeat": "ns=2;s=Beat",
    }


def test_the_plant_is_controlled_through_a_restart_of_its_server(home: Path, tmp_path: Path) -> None:
    port = free_port()
    run = {
        "binding": {"kind": "opcua", "test_rig": True, "options": options(port)},
        "period_s": PERIOD_S, "trust": ["var/keys/release.pub"],
        "hand_over": {"deadline_ms": 200.0, "hold_periods": 2, "max_age_periods": 4.0, "lost_age_periods": 6.0},
        "flight": {"record": False},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    command = [sys.executable, "-m", "gate5", "run", "plant", "--config", str(tmp_path / "run.yaml"), "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with served(port) as server, subprocess.Popen(command, cwd=home, **pipes) as process:
        try:
            _until(process, "the policy drives again")
            _received(server)
            server.kill()
            _until(process, "handed over")
            with served(port) as again:
                _until(process, "there again")
                _until(process, "the policy drives again")
                _received(again)
                process.send_signal(signal.SIGTERM)
                said, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    tally = json.loads(said)["tally"]
    assert tally["policy"] > 0
    assert tally["causes"]["observation_stale"] > 0


def _received(server: subprocess.Popen[str]) -> None:
    """The plant received an action, through the scaling; it began with none."""
    assert server.stdout is not None
    for line in server.stdout:
        action = [float(v) for v in line.split()[1:]]
        assert all(-1.0 <= v <= 1.0 for v in action)
        if any(v != 0.0 for v in action):
            return
    raise AssertionError("the plant received nothing")


def _until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    until = time.monotonic() + PATIENCE_S
    for line in process.stderr:
        if text in line:
            return
        assert time.monotonic() < until
    raise AssertionError(f"the run ended without {text!r}")


def test_values_scaling_quality_and_the_heartbeat(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with served(port):
        binding = OpcUa(PLANT, options(port), PERIOD_S)
        binding.open()
        try:
            reading = binding.read()
            assert reading.obs is not None
            names = PLANT.observation_space.names
            # The server's plant goes on by itself, so it is about the first; without the scale it is ten times it.
            first = PLANT.reset("steady_state", [20_000])[0][names.index("high_pressure")]
            assert 0.5 * first < reading.obs[names.index("high_pressure")] < 2.0 * first
            assert 0.0 <= reading.age_s < 60.0
            # Beating: a second runtime of this plant, on whatever machine, is refused.
            stop = time.monotonic() + PATIENCE_S
            code = None
            while code != 3 and time.monotonic() < stop:
                binding.write(PLANT.action_space.low)
                code = _second(home, port, binding)
            assert code == 3
            assert "Another runtime is in charge of the plant" in capsys.readouterr().err
        finally:
            binding.close()
        bad = options(port)
        bad["observations"]["net_power"] = "ns=2;s=Obs.nothing"
        assert main(_command(bad)) == 2
        said = capsys.readouterr().err.strip()
        assert "no node 'ns=2;s=Obs.nothing'" in said
        assert "observations.net_power" in said
        assert "\n" not in said


def test_an_action_that_the_server_refuses_is_in_the_reading() -> None:
    port = free_port()
    given = options(port)
    given["actions"]["damper"] = "ns=2;s=Obs.net_power"  # nobody may write that
    said: list[str] = []
    names = PLANT.action_space.names
    damper = names.index("damper")
    others = [i for i in range(len(names)) if i != damper]
    with served(port):
        binding = OpcUa(PLANT, given, PERIOD_S, said.append)
        binding.open()
        try:
            first = binding.read()
            assert first.refused == ""
            assert first.standing is not None
            assert first.standing[others].tolist() == [0.0] * len(others), "what the nodes hold, 50 %"
            binding.write(np.full(len(names), 0.5, np.float32))
            until = time.monotonic() + PATIENCE_S
            while not (reading := binding.read()).refused:
                assert time.monotonic() < until
                time.sleep(0.01)
        finally:
            binding.close()
    assert reading.refused.startswith("damper: Bad")
    assert reading.standing is not None
    assert reading.standing[others].tolist() == [0.5] * len(others)
    assert reading.standing[damper] == first.standing[damper], "what it was"
    assert [text for text in said if "does not take" in text] == [f"the plant does not take actions: {reading.refused}"]


def _second(home: Path, port: int, first: OpcUa) -> int:
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(PERIOD_S / 4):
            first.write(PLANT.action_space.low)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        return main(_command(options(port)))
    finally:
        stop.set()
        thread.join()


def _command(given: dict[str, Any]) -> list[str]:
    return [
        "run", "plant", "--trust", "var/keys/release.pub", "--binding", "opcua", "--periods", "3",
        "--set", f"period_s={PERIOD_S}", "--set", "binding.test_rig=true",
        "--set", f"binding.options={json.dumps(given)}",
    ]  # fmt: skip


def test_a_plant_is_driven_in_its_own_control_step(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gains, forecast and policy are for that step alone; a rig that goes faster says that it is one."""
    command = ["run", "plant", "--trust", "var/keys/release.pub", "--set", "period_s=2.5"]
    for kind in ("opcua", "socket"):
        assert main([*command, "--binding", kind, "--set", "binding.options={}"]) == 2
        said = capsys.readouterr().err.strip()
        assert "period_s is 2.5 s, but the plant's control step is 5 s" in said
        assert "\n" not in said
    for more in (["--set", "binding.test_rig=true"], ["--set", "period_s=5"]):
        assert main([*command, "--binding", "socket", "--set", "binding.options={}", *more]) == 2
        assert "binding.options of the socket binding" in capsys.readouterr().err, "the next thing that is wrong"


def _changed(port: int, key: str, value: Any) -> dict[str, Any]:
    found = options(port)
    found[key] = value
    return found


def test_bad_options_are_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        port = closed.getsockname()[1]
        lacking = options(port)
        del lacking["actions"]["damper"]
        more = options(port)
        more["observations"]["colour"] = "ns=2;i=1"
        zero = options(port)
        zero["actions"]["damper"]["scale"] = 0
        for given, text in [
            (options(port), f"No OPC UA server answers at opc.tcp://127.0.0.1:{port}/"),
            (_changed(port, "url", "http://x"), "url"),
            (_changed(port, "colour", 1), "colour"),
            (_changed(port, "poll_s", -1), "poll_s"),
            (lacking, "lacks a node for damper"),
            (more, "colour"),
            (zero, "scale"),
            ({}, "url"),
        ]:
            assert main(_command(given)) == 2
            said = capsys.readouterr().err.strip()
            assert text in said
            assert "\n" not in said
