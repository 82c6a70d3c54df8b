"""``gate5 doctor``: what is there, what is missing and how to get it, and whether the configured backend can run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gate5.cli.doctor import DoctorReport, Finding, examine
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, on a machine without TensorRT and PyCUDA whatever the real one has."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    for name in ("tensorrt", "pycuda", "pycuda.driver", "cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    return tmp_path


def findings(report: DoctorReport) -> dict[str, Finding]:
    return {finding.name: finding for finding in report.findings}


def test_a_cpu_machine_releases_with_onnx_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "auto comes to onnxruntime" in out
    assert "– TensorRT" in out
    assert "pip install tensorrt==10.16.1.11" in out
    assert "Traceback" not in out


def test_a_backend_that_cannot_run_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--set", "engine.backend=tensorrt"]) == 2
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("✗ engine.backend: tensorrt cannot run here: ")
    assert "TensorRT is not there" in last


def test_what_is_only_built_here_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """TensorRT-RTX builds anywhere: that it is chosen does not say that its engines run on this machine."""
    pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]'")
    assert main(["doctor", "--set", "engine.backend=tensorrt_rtx"]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert "comes to tensorrt_rtx, which is built here and cannot run here: PyCUDA is not there" in last


def test_without_onnx_runtime_nothing_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = examine(ReleaseConfig())
    assert (report.exit_code, report.backend) == (2, None)
    assert "pip install onnxruntime" in str(report.problem)


def test_what_is_missing_comes_with_the_way_to_get_it() -> None:
    found = findings(examine(ReleaseConfig()))
    for name in ("TensorRT", "PyCUDA", "cuda-bindings", "GPU", "signing key"):
        assert not found[name].there
        assert found[name].remedy or "pip install" in found[name].found, name
    for name in ("ONNX Runtime", "onnx", "PyTorch", "gate5"):
        assert found[name].there
        assert found[name].remedy == ""


def test_a_key_is_found_once_it_is_made(home: Path) -> None:
    assert main(["keygen"]) == 0
    key = findings(examine(ReleaseConfig()))["signing key"]
    assert key.there
    assert key.found == str(home / "var/keys/release.pem")


def test_a_store_that_cannot_be_used_is_a_finding_and_no_crash(home: Path) -> None:
    (home / "file").write_text("not a folder")
    config = ReleaseConfig.load(None, {"store.uri": str(home / "file")})
    store = findings(examine(config))["store"]
    assert not store.there
    assert "file" in store.found
    assert store.remedy


def test_a_library_that_breaks_on_import_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("libnvinfer.so.10: wrong ELF class")

    monkeypatch.setitem(sys.modules, "tensorrt", Broken())
    report = examine(ReleaseConfig())
    assert "wrong ELF class" in findings(report)["TensorRT"].found
    assert findings(report)["ONNX Runtime"].there


def test_json_is_the_whole_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == json.loads(json.dumps(examine(ReleaseConfig()).to_dict()))
