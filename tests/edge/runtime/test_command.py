"""`gate5 run` as a person starts it: exit codes, one sentence for bad input, no engine library in its process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate5.cli.main import main
from gate5.edge.runtime.record.reader import read_flight
from gate5.edge.runtime.session import LOCK

SCRIPT = """
import sys
from gate5.cli.main import main
code = main(sys.argv[1:])
loaded = {"onnxruntime", "onnx", "torch", "tensorrt", "pycuda"} & set(sys.modules)
assert not loaded, loaded
sys.exit(code)
"""


def test_a_run_on_the_simulator_without_an_engine_library(home: Path) -> None:
    command = [
        "run", "plant", "--trust", "var/keys/release.pub", "--binding", "simulator", "--speed", "inf", "--json",
        "--set", "binding.options={scenarios: [steady_state]}", "--set", "hand_over.deadline_ms=2000",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", SCRIPT, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["tally"]["periods"] == result["tally"]["policy"] == 120
    assert result["episodes"][0]["violations"] == 0


def test_in_shadow_mode_the_baseline_drives_and_the_policy_is_heard(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "run", "plant", "--trust", "var/keys/release.pub", "--speed", "inf", "--json", "--set", "mode=shadow",
        "--set", "binding.options={scenarios: [steady_state]}", "--set", "hand_over.deadline_ms=2000",
        "--set", f"flight.folder={tmp_path}",
    ]  # fmt: skip
    assert main(command) == 0
    tally = json.loads(capsys.readouterr().out)["tally"]
    assert tally["baseline"] == tally["periods"] == 120
    assert tally["hand_overs"] == {}
    until = time.monotonic() + 120
    while not (files := list(tmp_path.glob("*.mcap"))) or not read_flight(files[0]).whole:
        assert time.monotonic() < until
        time.sleep(0.02)
    periods = read_flight(files[0]).periods
    assert len(periods) == 120
    assert all(p["policy"]["damper"] is not None for p in periods)
    assert all(p["action"] == p["baseline"] for p in periods)


def test_bad_input_is_one_sentence(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trust = ["--trust", "var/keys/release.pub"]
    damaged = tmp_path / "damaged"
    shutil.copytree(home / "plant", damaged, symlinks=True)
    engine = damaged / os.readlink(damaged / "current") / "files/engine/policy.engine"
    engine.write_bytes(engine.read_bytes() + b" ")
    for arguments, code, text in [
        ([str(damaged), *trust], 3, "was changed"),
        ([str(tmp_path / "nothing"), *trust], 2, "gate5 pull"),
        (["plant"], 2, "trust is empty"),
        (["plant", *trust, "--set", "binding.options={scenarios: [nowhere]}"], 2, "nowhere"),
        (["plant", *trust, "--set", "safe_action=[2, 0, 0, 0]"], 2, "safe_action"),
        (["plant", *trust, "--set", "hand_over.deadlin_ms=2"], 2, "deadlin_ms"),
        (["plant", *trust, "--binding", "socket", "--set", "binding.options={path: /nowhere}"], 2, "/nowhere"),
        (["plant", "--give-back", "now"], 2, "nobody to tell"),
    ]:
        assert main(["run", *arguments]) == code
        said = capsys.readouterr().err.strip()
        assert text in said
        assert "\n" not in said, said


def test_two_runtimes_of_one_folder_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "gate5", "run", "plant", "--trust", "var/keys/release.pub", "--speed", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as first:
        try:
            while not (home / "plant/run.sock").exists():
                assert first.poll() is None
            assert main(["run", "plant", "--trust", "var/keys/release.pub"]) == 3
            assert "in charge of the folder" in capsys.readouterr().err
        finally:
            first.kill()
    with (home / "plant" / LOCK).open("w") as held:  # by one in a container, whose names are its own
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["run", "plant", "--trust", "var/keys/release.pub"]) == 3
        assert "in charge of the folder" in capsys.readouterr().err
    # Killed: nothing it left keeps the next one out.
    assert main(["run", "plant", "--trust", "var/keys/release.pub", "--periods", "3", "--speed", "inf"]) == 0
