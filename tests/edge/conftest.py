"""A store with releases of real ONNX Runtime engines, and a plant's computer that pulls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.config.engine import EngineConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.edge.pull import PullResult, pull
from gate5.engine import build, load
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store import ArtifactStore, Release, keygen, load_public_keys, promote, publish
from gate5.store.directory import DirectoryBackend
from gate5.store.manifest import read_manifest
from scripts.tamper_release import OBS, graph


class Factory:
    """A store, its keys, and releases made on demand."""

    def __init__(self, folder: Path) -> None:
        keygen(folder / "release.pem")
        self.store = ArtifactStore(DirectoryBackend(folder / "store"), folder / "release.pem")
        self.root = folder / "store"
        self.keys = load_public_keys([folder / "release.pub"])
        self.dest = folder / "plant"

    def files(self, mark: int, **change: bytes | None) -> dict[str, bytes]:
        built = build(graph(mark), EngineConfig(backend="onnxruntime"))
        obs = np.random.default_rng(99).normal(size=(16, OBS)).astype(np.float32)
        with load(built.blob, built.metadata) as engine:
            golden = pack_golden(obs, engine.infer(obs))
        found = {
            "engine/policy.engine": built.blob,
            "engine/engine.json": canonical.dumps(built.metadata),
            "golden.npz": golden,
            "report.html": b"<p>",
        }
        changed = {**found, **{name.replace("__", "/").replace("_dot_", "."): data for name, data in change.items()}}
        return {name: data for name, data in changed.items() if data is not None}

    def release(self, mark: int, files: dict[str, bytes] | None = None, **provenance: Any) -> Release:
        given = {
            "plant": "test",
            "engine": {"backend": "onnxruntime"},
            "gate": {"verdict": "pass"},
            "golden": golden_provenance(1e-5),
            **provenance,
        }
        release = publish(self.store, self.files(mark) if files is None else files, given)
        promote(self.store, "production", release, approved_by="me")
        return release

    def pull(self, **more: Any) -> PullResult:
        return pull(self.store, "production", self.dest, self.keys, **{"load_engine": load, **more})

    def running(self) -> str | None:
        """The release whose complete files, every byte checked, lie behind ``current``."""
        current = self.dest / "current"
        if not current.is_symlink():
            return None
        entry = json.loads((current / "entry.json").read_bytes())
        release = read_manifest((current / "manifest.json").read_bytes(), entry["release"], self.keys)
        for name, digest in release.files.items():
            assert sha256((current / "files" / name).read_bytes()) == digest
        return release.id


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)
