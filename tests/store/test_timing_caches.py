"""Timing caches in the store: found again, newest first, never trusted blindly, never a reason to fail a build."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from gate5 import engine
from gate5.config.channel import StoreConfig
from gate5.config.models import ReleaseConfig
from gate5.engine import BuiltEngine
from gate5.pipeline import stages
from gate5.pipeline.results import ExportResult
from gate5.store import timing_caches
from gate5.workspace.artifacts import DirectoryWorkspace
from gate5.workspace.records import Tracker, run_stage

PLACE = "NVIDIA H200-sm9.0-tensorrt-8.5.3.1"


@pytest.fixture
def store(tmp_path: Path) -> StoreConfig:
    return StoreConfig(uri=str(tmp_path / "store"))


def test_the_newest_of_its_place_is_found(store: StoreConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timing_caches.fetch(store, PLACE) is None
    for second, content in enumerate((b"old", b"new")):
        monkeypatch.setattr(timing_caches.time, "time", lambda second=second: 1_700_000_000 + second)  # type: ignore[attr-defined]
        name = timing_caches.keep(store, PLACE, content)
        assert name is not None
        assert name.startswith("timing-caches/NVIDIA-H200-sm9.0-tensorrt-8.5.3.1/")
        assert name.endswith(hashlib.sha256(content).hexdigest())
    assert timing_caches.fetch(store, PLACE) == b"new"
    assert timing_caches.fetch(store, "Orin-sm8.7-tensorrt-8.5.2.2") is None


def test_the_same_cache_is_kept_once(store: StoreConfig, tmp_path: Path) -> None:
    assert timing_caches.keep(store, PLACE, b"same") is not None
    assert timing_caches.keep(store, PLACE, b"same") is None
    assert len([path for path in (tmp_path / "store").rglob("*-*") if path.is_file()]) == 1


def test_a_damaged_cache_is_not_given_to_tensorrt(store: StoreConfig, tmp_path: Path) -> None:
    name = timing_caches.keep(store, PLACE, b"whole")
    assert name is not None
    path = tmp_path / "store" / name
    path.chmod(0o644)
    path.write_bytes(b"hole")
    assert timing_caches.fetch(store, PLACE) is None


def test_a_store_that_cannot_be_used_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    for uri in (str(tmp_path / "file"), "ftp://nowhere"):
        broken = StoreConfig(uri=uri)
        assert timing_caches.fetch(broken, PLACE) is None
        assert timing_caches.keep(broken, PLACE, b"x") is None
    assert "timing cache" in caplog.text


def test_other_backends_leave_the_store_alone(tmp_path: Path, store: StoreConfig) -> None:
    assert engine.timing_place("onnxruntime") is None
    assert timing_caches.fetch(store, None) is None
    assert timing_caches.keep(store, None, b"x") is None
    assert not (tmp_path / "store").exists()


def test_a_build_offers_the_cache_of_the_build_before(
    tmp_path: Path, store: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run, another workspace, the same GPU. The exporter is an imitation: there is no TensorRT here."""
    offered: list[bytes | None] = []

    def build(onnx: bytes, settings: Any, *, timing_cache: bytes | None = None) -> BuiltEngine:
        offered.append(timing_cache)
        return BuiltEngine(b"plan", {"backend": "onnxruntime"}, b"cache after " + (timing_cache or b"none"))

    class Loaded:
        info = engine.EngineInfo("tensorrt", "fp16", "Imitation", 8, 3, 16, {})

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(engine, "choose_backend", lambda settings: "tensorrt")
    monkeypatch.setattr(engine, "timing_place", lambda backend: PLACE)
    monkeypatch.setattr(engine, "build", build)
    monkeypatch.setattr(engine, "load", lambda *_, **__: Loaded())
    config = ReleaseConfig(store=store)
    for name in ("first", "second"):
        workspace = DirectoryWorkspace(tmp_path / name)

        def export(tracker: Tracker) -> ExportResult:
            tracker.write("policy.onnx", b"graph")
            return ExportResult(tracker.workspace.uri, tracker.outputs["policy.onnx"], 0.0, 1)

        run_stage(workspace, config, "export", ExportResult, export)
        stages.build(workspace, config)
    assert offered == [None, b"cache after none"]
    assert timing_caches.fetch(store, PLACE) == b"cache after cache after none"
