"""From ``release`` to ``pull`` with nothing made by hand, with the backend that is there and with one new file's."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.gpu import prove as bench
from gate5 import engine, store
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import GOLDEN_INPUTS, TOLERANCE
from gate5.edge.pull import PullResult, pull
from gate5.errors import IntegrityError
from gate5.store.manifest import read_manifest

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "examples/checkpoints/good"
RULES = [
    {"name": "driven", "metric": "evaluation.emergency_trip.rl.engine_episodes", "op": ">=", "threshold": 1},
    {"name": "same", "metric": "parity.engine.max_abs_error", "op": "<", "threshold": 1e-4},
]
CONFIG: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "latency": {"iterations": 1000, "warmup": 10, "cadence_ms": 0.1, "cadence_iterations": 100},
    "evaluation": {"episodes": 1, "monte_carlo": 0, "scenarios": ["emergency_trip"]},
    "falsification": {"control_steps": 3000},
    "stress": {"episodes": 1},
    "gate": {"rules": RULES, "sla_p99_ms": 1000},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with a signing key and a configuration."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["keygen"]) == 0
    return tmp_path


def arrived(home: Path, dest: str, shift: float = 0.0) -> PullResult:
    """Pull to ``dest``, where every action is ``shift`` away from what it was."""

    def load(blob: bytes, metadata: dict[str, Any]) -> Any:
        opened: Any = engine.load(blob, metadata)
        plain = opened.infer
        opened.infer = lambda obs: plain(obs) + np.float32(shift)
        return opened

    opened = store.open_store(ReleaseConfig.load(home / "release.yaml", {}).store)
    keys = store.load_public_keys([str(home / "var/keys/release.pub")])
    return pull(opened, "production", home / dest, keys, load_engine=load)


def test_what_is_promoted_is_what_a_plant_pulls_and_promoting_needs_no_device(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["release", str(GOOD), "--config", "release.yaml", "--workspace", "w"]) == 0, capsys.readouterr().out
    capsys.readouterr()
    assert main(["pull", "plant", "--config", "release.yaml", "--trust", "var/keys/release.pub", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["outcome"], done["sequence"], done["compared"]) == ("installed", 1, GOLDEN_INPUTS)
    assert done["max_abs_error"] < 1e-6
    for name in ("engine/policy.engine", "policy.onnx", "gate.json", "report.html"):
        assert (home / "plant/current/files" / name).read_bytes() == (home / "w" / name).read_bytes()

    # A release for a GPU is promoted by a worker that has none: the golden inputs are the builder's.
    shutil.rmtree(home / "var/store")
    built = json.loads((home / "w/records/build.json").read_bytes())
    built["ran"] |= {"host": "gpu-7", "with": {**built["ran"]["with"], "python": "3.10.1"}}
    (home / "w/records/build.json").write_text(json.dumps(built))
    with monkeypatch.context() as patch:
        patch.setattr(engine, "load", lambda *_, **__: pytest.fail("promotion has opened the engine"))
        assert main(["promote", "--config", "release.yaml", "--workspace", "w"]) == 0, capsys.readouterr().out
    (manifest,) = (home / "var/store/releases").glob("*/manifest.json")
    kept = read_manifest(manifest.read_bytes(), manifest.parent.name, None).provenance
    assert (kept["builder"], kept["built_with"]["python"]) == ("urn:gate5:builder:gpu-7", "3.10.1")
    assert kept["released_with"]["python"] == platform.python_version()

    # One tolerance, the one that was signed: an engine within it is taken, one beyond it is not.
    assert arrived(home, "near", 0.5 * TOLERANCE).max_abs_error == pytest.approx(0.5 * TOLERANCE, rel=1e-3)
    with pytest.raises(IntegrityError, match="golden actions differ"):
        arrived(home, "far", 1.5 * TOLERANCE)
    assert not (home / "far/current").exists()

    # And what the bench does on a GPU, command by command, with the engine that is there. Its commands are called in
    # this process: thirty times the start of one is most of what they cost.
    def here(command: list[str], *, cwd: Path, **_: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with contextlib.chdir(cwd):
            code = main(command[3:])
        return subprocess.CompletedProcess(command, code, *capsys.readouterr())

    monkeypatch.setenv("PYTHONPATH", "")  # it changes this and GATE5_HOME
    monkeypatch.setattr(bench, "subprocess", SimpleNamespace(run=here))
    monkeypatch.setattr(sys, "argv", ["prove", "w", "--out", "proof.json", "--episodes", "1"])
    assert bench.main() == 0, (home / "proof.json").read_text()
    result = json.loads((home / "proof.json").read_text())
    refused = [step["title"] for step in result["steps"] if step.get("expected") == 3]
    assert len(refused) == 10, refused
    assert result["ok"]
    assert result["proof"]["payloadType"] == "application/vnd.gate5.proof+json"


#: A backend that is none of ours: ONNX's own evaluator in NumPy.
NUMPY = """
import hashlib
from typing import Any

import numpy as np

from gate5.engine.base import BuiltEngine, ConfinedEngine, EngineInfo
from gate5.engine.kind import Backend

class NumpyEngine(ConfinedEngine):
    def __init__(self, blob, metadata):
        import onnx
        from onnx.reference import ReferenceEvaluator
        self._run = ReferenceEvaluator(onnx.load_from_string(blob)).run
        keys = ("backend", "precision", "device", "obs_dim", "act_dim", "batch_max", "versions")
        super().__init__(EngineInfo(**{key: metadata[key] for key in keys}, path="one graph, NumPy"))

    def infer(self, obs, out=None):
        self._check(obs, out)
        action = np.asarray(self._run(["action"], {"obs": obs})[0], np.float32)
        if out is None:
            return action
        out[...] = action
        return out

    def split(self, obs):
        return {"copy_in_ms": 0.0, "compute_ms": 0.0, "copy_out_ms": 0.0}

    def poison(self):
        pass

    def __enter__(self):
        return self

class Numpy(Backend):
    name, title, rank, package = "plain", "Plain NumPy", 1, "numpy"

    def missing(self):
        return None

    def build(self, onnx, config, *, timing_cache=None):
        digest = hashlib.sha256(onnx).hexdigest()
        return BuiltEngine(onnx, {
            "backend": "plain", "precision": "fp32", "device": "CPU", "obs_dim": 36, "act_dim": 4,
            "batch_max": config.profile.max_batch, "onnx_sha256": digest, "blob_sha256": digest,
            "versions": {"numpy": np.__version__}, "hardware": {}, "build": {},
        })

    def load(self, blob, metadata, *, threads=1):
        return NumpyEngine(blob, metadata)

BACKEND = Numpy()
"""


def test_a_backend_of_one_new_file_is_built_judged_promoted_and_pulled(home: Path) -> None:
    """Nothing else of gate5 is told that it exists."""
    tree = home / "tree"
    shutil.copytree(ROOT / "include", tree / "include", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "include/gate5/engine/backends/plain.py").write_text(NUMPY)

    def gate5(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tree / "include")}
        command = [sys.executable, "-m", "gate5.cli.main", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    mine = ["--config", "release.yaml", "--set", "engine.backend=plain", "--set", "release.require_backend=plain"]
    assert "✓ Plain NumPy" in gate5("doctor", *mine)
    assert "engine.backend: plain comes to plain" in gate5("doctor", *mine)
    assert "is now in production" in gate5("release", str(GOOD), "--workspace", "w", *mine)
    assert json.loads((home / "w/parity.json").read_text())["reference"].startswith("onnxruntime")
    assert "plain" in (home / "w/report.html").read_text()
    assert "golden inputs agree" in gate5("pull", "plant", *mine, "--trust", "var/keys/release.pub")
    metadata = json.loads((home / "plant/current/files/engine/engine.json").read_text())
    assert metadata["backend"] == "plain"
