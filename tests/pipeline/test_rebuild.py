"""``gate5 rebuild``: the same bytes anywhere, and no where a single weight is another one."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper

from gate5 import engine, store
from gate5.checkpoint import fetch, read
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.engine.precision import lower_body
from gate5.export import ONNXExporter
from gate5.io import canonical
from gate5.io.files import sha256

GOOD = Path(__file__).parents[2] / "examples/checkpoints/good"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def graph() -> bytes:
    """The good checkpoint's graph."""
    return ONNXExporter(ReleaseConfig().export).trace(read(fetch(GOOD)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/release.yaml").write_text(yaml.safe_dump({"engine": {"backend": "onnxruntime"}}))
    assert main(["keygen"]) == 0
    return tmp_path


def released(home: Path, onnx_graph: bytes, backend: str = "onnxruntime", **changes: Any) -> str:
    """Publish a release of the good checkpoint with this graph; returns its id."""
    config = ReleaseConfig.parse({"engine": {"backend": backend}})
    checkpoint = read(fetch(GOOD))
    built = engine.build(onnx_graph, config.engine)
    metadata = {**built.metadata, **changes}
    files = {
        "policy.onnx": onnx_graph,
        "engine/policy.engine": built.blob,
        "engine/engine.json": canonical.dumps(metadata),
        "config.json": canonical.dumps(config.plain()),
    }
    said = {
        "uri": str(GOOD),
        "policy_sha256": checkpoint.policy_sha256,
        "vecnormalize_sha256": checkpoint.vecnormalize_sha256,
    }
    opened = store.open_store(ReleaseConfig.load(home / "config/release.yaml").store)
    given = {"plant": "sco2", "engine": metadata, "gate": {"verdict": "pass"}, "checkpoint": said}
    release = store.publish(opened, files, given, identity=list(files))
    store.promote(opened, "production", release, approved_by="me")
    return release.id


def held(home: Path, release: str) -> tuple[store.ArtifactStore, dict[str, bytes]]:
    """The store, and what a release holds."""
    opened = store.open_store(ReleaseConfig.load(home / "config/release.yaml").store)
    found = store.find_release(opened, release)
    assert found is not None
    return opened, {name: opened.blob(digest) for name, digest in found.files.items()}


def rebuilt(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Json]:
    capsys.readouterr()
    code = main(["rebuild", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def outcomes(found: Json) -> dict[str, str]:
    return {check["what"]: check["outcome"] for check in found["checks"]}


def one_weight_changed(graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    weight = next(item for item in model.graph.initializer if len(item.dims) == 2 and min(item.dims) > 3)
    values = numpy_helper.to_array(weight).copy()
    values[1, 2] += 1e-3
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return bytes(model.SerializeToString(deterministic=True))


def checkpoint_with_another_weight(folder: Path) -> Path:
    """The good checkpoint, one number of one tensor changed."""
    shutil.copytree(GOOD, folder)
    with zipfile.ZipFile(GOOD / "policy.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    tensors = torch.load(io.BytesIO(parts["policy.pth"]), weights_only=True)
    name = next(name for name, value in tensors.items() if "policy_net" in name and value.ndim == 2)
    tensors[name][3, 4] += 1e-3
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    parts["policy.pth"] = buffer.getvalue()
    (folder / "policy.zip").unlink()
    with zipfile.ZipFile(folder / "policy.zip", "w") as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    return folder


@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt_rtx"])
def test_the_same_in_two_folders_and_processes(
    home: Path, graph: bytes, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    if backend == "tensorrt_rtx":
        pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]'")
    release = released(home, graph, backend)
    code, here = rebuilt(capsys)
    assert (code, here["release"], here["same"]) == (0, release, True)
    assert outcomes(here) == {"checkpoint": "same", "policy.onnx": "same", "engine": "same"}
    assert len(here["signed_by"]) == 1

    elsewhere = home / "another/place"
    elsewhere.mkdir(parents=True)
    shutil.copytree(GOOD, elsewhere / "mine")
    command = [sys.executable, "-m", "gate5.cli.main", "rebuild", release, "--checkpoint", "mine", "--json"]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=True)
    there = json.loads(done.stdout)
    for one, other in zip(here["checks"], there["checks"], strict=True):
        assert one["released"] == other["released"] == one["rebuilt"] == other["rebuilt"]


def test_a_checkpoint_with_one_other_weight_is_not_the_same(
    home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    released(home, graph)
    code, found = rebuilt(capsys, "--checkpoint", str(checkpoint_with_another_weight(home / "changed")))
    assert (code, found["same"]) == (1, False)
    assert outcomes(found) == {"checkpoint": "different", "policy.onnx": "different", "engine": "same"}
    assert "differs in 1 of" in found["text"]
    assert "[3, 4]" in found["text"] or "[4, 3]" in found["text"]


def test_a_release_whose_graph_has_one_other_weight_is_not_its_checkpoints(
    home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signed and consistent in itself, engine and all: only who exports again can see it."""
    released(home, one_weight_changed(graph))
    code, found = rebuilt(capsys)
    assert code == 1
    assert outcomes(found) == {"checkpoint": "same", "policy.onnx": "different", "engine": "same"}
    assert "differs in 1 of" in found["text"]


def test_an_engine_that_is_another_graphs(home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]'")
    other = engine.build(one_weight_changed(graph), ReleaseConfig.parse({"engine": {"backend": "tensorrt_rtx"}}).engine)
    release = released(home, graph, "tensorrt_rtx")
    files = {
        "policy.onnx": graph,
        "engine/policy.engine": other.blob,
        "config.json": canonical.dumps(ReleaseConfig.parse({"engine": {"backend": "tensorrt_rtx"}}).plain()),
    }
    own = engine.build(graph, ReleaseConfig.parse({"engine": {"backend": "tensorrt_rtx"}}).engine).metadata
    files["engine/engine.json"] = canonical.dumps({**own, "blob_sha256": other.metadata["blob_sha256"]})
    opened = store.open_store(ReleaseConfig.load(home / "config/release.yaml").store)
    given = {"plant": "sco2", "engine": own, "gate": {"verdict": "pass"}, "checkpoint": {"uri": str(GOOD)}}
    forged = store.publish(opened, files, given, identity=list(files)).id
    assert forged != release
    code, found = rebuilt(capsys, forged)
    assert (code, outcomes(found)["engine"]) == (1, "different")


def test_without_the_checkpoint_it_says_what_was_not_checked(
    home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, files = held(home, released(home, graph))
    said = {"uri": str(home / "gone"), "policy_sha256": "0" * 64, "vecnormalize_sha256": None}
    given = {"plant": "gone", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}, "checkpoint": said}
    moved = store.publish(opened, files, given, identity=list(files)).id
    code, found = rebuilt(capsys, moved)
    assert code == 0
    assert outcomes(found) == {"checkpoint": "not checked", "policy.onnx": "not checked", "engine": "same"}
    assert "not checked: checkpoint, policy.onnx" in found["text"]
    assert str(home / "gone") in found["text"]


def test_tensorrt_compares_the_graph_and_says_why_not_the_bytes(
    home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """No GPU here: the release's description is TensorRT's, its bytes are a stand-in that nobody opens."""
    opened, files = held(home, released(home, graph))
    for given, code, outcome in ((graph, 0, "same"), (one_weight_changed(graph), 1, "different")):
        build = {"graph_sha256": sha256(lower_body(given, "fp16"))}
        metadata = {**canonical.loads(files["engine/engine.json"]), "backend": "tensorrt", "precision": "fp16"}
        files["engine/engine.json"] = canonical.dumps({**metadata, "build": build})
        said = {"plant": "t", "engine": metadata, "gate": {"verdict": "pass"}, "checkpoint": {"uri": "nowhere"}}
        found = rebuilt(capsys, store.publish(opened, files, said, identity=list(files)).id)
        assert (found[0], outcomes(found[1])["engine graph"]) == (code, outcome)
        assert "quickest when it timed them" in found[1]["text"]


def test_bad_input_is_one_sentence(home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    release = released(home, graph)
    for words, code, text in (
        (["nothing-0123456789ab"], 2, "There is no release"),
        (["not an id"], 2, "is not a release id"),
        (["./nowhere"], 2, "No release lies in"),
        ([release, "--checkpoint", "missing"], 2, "missing"),
        (["--channel", "empty"], 2, "Nothing was ever promoted"),
    ):
        capsys.readouterr()
        assert main(["rebuild", *words]) == code, words
        error = capsys.readouterr().err
        assert text in error
        assert len(error.strip().splitlines()) == 1


def test_a_folder_that_was_changed_is_refused_before_anything_is_made(
    home: Path, graph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    release = released(home, graph)
    opened, files = held(home, release)
    folder = home / "pulled"
    for name, data in files.items():
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_bytes(data)
    (folder / "manifest.json").write_bytes(opened.backend.read(f"releases/{release}/manifest.json") or b"")
    (folder / "entry.json").write_bytes(canonical.dumps({"release": release}))
    assert rebuilt(capsys, "./pulled")[0] == 0
    (folder / "files/policy.onnx").write_bytes(one_weight_changed(graph))
    assert main(["rebuild", "./pulled"]) == 3
    assert "policy.onnx" in capsys.readouterr().err
