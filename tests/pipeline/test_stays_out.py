"""Real engines, the command line: what was rolled back stays out; a release goes from channel to channel."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.cli.main import main
from gate5.engine.backends import onnxruntime
from gate5.engine.base import BuiltEngine
from gate5.io.files import sha256
from gate5.workspace import contents
from tests.pipeline.test_to_the_plant import CONFIG
from tests.support.s3_server import S3Server

ROOT = Path(__file__).parents[2]
GOOD, OTHER = (ROOT / "examples/checkpoints" / name for name in ("good", "undertrained"))
SAID = ["--by", "ada", "--reason", "oscillates at part load"]

Gate5 = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["keygen"]) == 0
    return tmp_path


@pytest.fixture
def gate5(home: Path, capsys: pytest.CaptureFixture[str]) -> Gate5:
    """A command's exit code and what it printed, errors too."""
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def configure(home: Path, **sections: Any) -> str:
    path = home / "release.yaml"
    path.write_text(yaml.safe_dump(CONFIG | sections))
    return str(path)


def built_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a build of the same graph has other bytes, as TensorRT's have."""
    real = onnxruntime.build

    def build(graph: bytes, config: Any) -> BuiltEngine:
        import onnx

        built = real(graph, config)
        model = onnx.load_from_string(built.blob)
        model.doc_string = "another build"
        blob = model.SerializeToString()
        return dataclasses.replace(built, blob=blob, metadata={**built.metadata, "blob_sha256": sha256(blob)})

    monkeypatch.setattr(onnxruntime, "build", build)


@pytest.fixture(scope="module")
def s3() -> Any:
    with S3Server() as server:
        yield server


LONG = pytest.mark.skipif("GATE5_LONG" not in os.environ, reason="as the other, 20 s more; GATE5_LONG=1 runs it")


@pytest.mark.parametrize("place", ["directory", pytest.param("s3", marks=LONG)])
def test_rolled_back_and_built_again(
    home: Path, gate5: Gate5, place: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    sections: dict[str, Any] = {}
    if place == "s3":
        server: S3Server = request.getfixturevalue("s3")
        sections["store"] = {"uri": f"s3://{server.bucket('holds')}/a", "endpoint": server.url}
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    config = configure(home, **sections)
    assert gate5("release", str(GOOD), "--config", config, "--workspace", "a")[0] == 0
    assert gate5("release", str(OTHER), "--config", config, "--workspace", "b")[0] == 0
    b = json.loads((home / "b/release.json").read_text())["release_id"]
    code, said = gate5("rollback", "--config", config, *SAID)
    assert code == 0
    assert f"{b} is held until a person lifts that" in said

    built_otherwise(monkeypatch)
    code, said = gate5("release", str(OTHER), "--config", config, "--workspace", "c")
    assert code == 1
    assert f"held on the channel production: {b} was rolled back by ada on" in said
    assert "oscillates at part load" in said
    assert not (home / "c/policy.onnx").exists(), "refused at the head, before the long work"
    for stage in [*(stage.name for stage in contents.measuring()[1:]), "gate", "report"]:
        assert gate5(stage, "--workspace", "c")[0] == 0, stage
    engines = [(home / f"{run}/engine/policy.engine").read_bytes() for run in "bc"]
    assert engines[0] != engines[1]
    code, said = gate5("promote", "--workspace", "c")
    assert code == 1
    assert "rolled back by ada" in said
    code, said = gate5("hold", "--config", config)
    assert (code, "rolled back by ada" in said) == (0, True)

    code, said = gate5("release-hold", b, "--config", config, "--by", "bob", "--reason", "it was the sensor")
    assert (code, "may be promoted on production again" in said) == (0, True)
    code, said = gate5("promote", "--workspace", "c")
    assert (code, "is now in production" in said) == (0, True)
    assert gate5("release-hold", b, "--config", config, *SAID)[0] == 2
    code, said = gate5("history", "--config", config, "--verify")
    assert [line.split()[2] for line in said.splitlines()] == ["promote", "lift", "rollback", "promote", "promote"]
