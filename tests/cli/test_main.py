"""The command line: bad input ends in one sentence that names the value and the way out, and the right exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gate5.cli.main import main

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "examples/checkpoints/good"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, so that nothing touches the store of the person who runs the tests."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/release.yaml").write_text("engine: {backend: onnxruntime}\n")
    return tmp_path


def check_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str, code: int = 2) -> None:
    """One sentence on stderr with all of ``words``, no traceback, nothing in the store."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("gate5: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in captured.err + captured.out


def test_missing_checkpoint(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    check_refused(capsys, ["resolve", str(home / "none"), "--workspace", "w"], str(home / "none"))


def test_paths_start_where_the_person_is(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative arguments mean the current folder, wherever $GATE5_HOME is."""
    here = home / "here"
    shutil.copytree(GOOD, here / "mine")
    monkeypatch.chdir(here)
    assert main(["resolve", "mine", "--workspace", "w"]) == 0, capsys.readouterr().err
    assert (here / "w/checkpoint/policy.zip").exists()


def test_truncated_zip(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    folder = home / "cut"
    folder.mkdir()
    (folder / "policy.zip").write_bytes((GOOD / "policy.zip").read_bytes()[:5000])
    shutil.copy(GOOD / "vecnormalize.pkl", folder)
    check_refused(capsys, ["resolve", str(folder), "--workspace", "w"], "policy.zip")


def test_zip_that_is_not_of_stable_baselines3(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    path = home / "holiday.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("beach.jpg", b"sun")
    check_refused(capsys, ["resolve", str(path), "--workspace", "w"], "Stable-Baselines3")


def test_policy_for_another_plant(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    arguments = ["resolve", str(GOOD), "--workspace", "w", "--set", "plant.id=gymnasium:Pendulum-v1"]
    check_refused(capsys, arguments, "observations", "Pendulum-v1")


def test_unknown_plant(capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(capsys, ["resolve", str(GOOD), "--workspace", "w", "--set", "plant.id=sc02"], "sc02", "sco2")


def test_unknown_key_names_the_close_one(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "config/release.yaml").write_text("latency: {iteration: 5}\n")
    check_refused(capsys, ["resolve", str(GOOD), "--workspace", "w"], "latency.iteration", "did you mean 'iterations'?")


def test_unknown_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["resolve", str(GOOD), "--workspace", "w", "--set", "evaluation.scenarios=[emergency_tripp]"]
    check_refused(capsys, arguments, "emergency_tripp", "emergency_trip")


def test_release_without_a_key_says_keygen_before_the_long_work(capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(capsys, ["release", str(GOOD)], "gate5 keygen")


def test_unreachable_store(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-value")
    assert main(["keygen"]) == 0
    capsys.readouterr()
    store = ["--set", "store.uri=s3://releases/x", "--set", "store.endpoint=http://127.0.0.1:9"]
    check_refused(capsys, ["release", str(GOOD), *store], "127.0.0.1:9", code=3)


def test_stage_out_of_turn_names_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(capsys, ["build", "--workspace", "w"], "gate5 resolve")


def test_json_error_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--workspace", "w", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2
    assert document["kind"] == "WorkspaceError"


def test_unknown_command_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["relaese"])
    assert caught.value.code == 2
    assert "relaese" in capsys.readouterr().err


def test_key_is_never_overwritten(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert main(["keygen"]) == 0
    before = (home / "var/keys/release.pem").read_bytes()
    capsys.readouterr()
    check_refused(capsys, ["keygen"], "never overwritten")
    assert (home / "var/keys/release.pem").read_bytes() == before
    assert (home / "var/keys/release.pem").stat().st_mode & 0o077 == 0


def test_a_reader_that_leaves_gets_no_traceback(home: Path) -> None:
    """``gate5 history | head -0``: the verdict's exit code stays, nothing on standard error."""
    command = [sys.executable, "-m", "gate5.cli.main", "history", "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=home)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
