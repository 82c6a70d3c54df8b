"""A store with one release of the good checkpoint, and machines that pull and prove it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5 import engine, store
from gate5.checkpoint import fetch, read
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.export import ONNXExporter
from gate5.io import canonical
from gate5.store import proofs
from tests.support.small import FEW_EPISODES

GOOD = Path(__file__).resolve().parents[2] / "examples/checkpoints/good"
CONFIG: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "parity": {"samples": 100},
    "latency": {"iterations": 1000, "warmup": 10, "cadence_ms": 0.1, "cadence_iterations": 100},
    "evaluation": {"episodes": 1, "monte_carlo": 0, "scenarios": ["emergency_trip"]},
    "gate": {"sla_p99_ms": 1000, "rules": FEW_EPISODES},
}
Json = dict[str, Any]
Trust = ["--trust", "var/keys/release.pub"]


@dataclass
class Fleet:
    """A store with one release, and machines that pull from it."""

    home: Path
    capsys: pytest.CaptureFixture[str]

    def gate5(self, *words: str) -> tuple[int, Json]:
        self.capsys.readouterr()
        code = main([*words, "--config", "release.yaml", "--json"])
        return code, json.loads(self.capsys.readouterr().out)

    def pull(self, dest: str = "plant", *words: str) -> tuple[int, Json]:
        return self.gate5("pull", dest, *Trust, *words)

    def prove(self, dest: str = "plant", *words: str) -> tuple[int, Json]:
        return self.gate5("prove", dest, *Trust, "--episodes", "1", *words)

    def keys(self, *words: str) -> None:
        code, found = self.gate5("keys", *words, "--by", "me", "--reason", "test")
        assert code == 0, found

    @property
    def store(self) -> store.ArtifactStore:
        return store.open_store(ReleaseConfig.load(self.home / "release.yaml").store)

    def of(self, dest: str, link: str = "current") -> Path:
        return (self.home / dest / link).resolve()

    def proof(self, dest: str = "plant") -> proofs.Proof:
        return proofs.read_proof((self.of(dest) / "proof.json").read_bytes(), None)

    def only(self, data: bytes) -> None:
        """These bytes are the only proof there is, in the store and beside the release."""
        shutil.rmtree(self.home / "var/store/proofs", ignore_errors=True)
        proofs.keep(self.store, data)
        self.of("plant").joinpath("proof.json").write_bytes(data)


@cache
def built_once() -> tuple[bytes, engine.BuiltEngine, bytes]:
    """The good checkpoint's graph, its engine, and its golden inputs."""
    config, checkpoint = ReleaseConfig.parse(CONFIG), read(fetch(GOOD))
    onnx = ONNXExporter(config.export).trace(checkpoint)
    built = engine.build(onnx, config.engine)
    rows = np.random.default_rng(3).normal(size=(8, checkpoint.obs_dim)).astype(np.float32)
    with engine.load(built.blob, built.metadata) as loaded:
        golden = pack_golden(rows, np.concatenate([loaded.infer(rows[i : i + 1]) for i in range(len(rows))]))
    return onnx, built, golden


def publish(home: Path, changes: Json | None = None, verdict: str = "pass") -> str:
    """Publish and promote a release of the good checkpoint; returns its id."""
    config = ReleaseConfig.load(home / "release.yaml", changes)
    onnx, built, golden = built_once()
    files = {
        "policy.onnx": onnx,
        "engine/policy.engine": built.blob,
        "engine/engine.json": canonical.dumps(built.metadata),
        "config.json": canonical.dumps(config.plain()),
        "golden.npz": golden,
    }
    given = {"plant": "sco2", "engine": built.metadata, "gate": {"verdict": verdict}, "golden": golden_provenance()}
    opened = store.open_store(config.store)
    release = store.publish(opened, files, given, identity=["config.json", "policy.onnx"])
    store.promote(opened, "production", release, approved_by="me")
    return release.id
