"""The edge pull: a real ONNX Runtime engine, a real store, and everything that can be wrong with a release."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gate5 import _json
from gate5.config import EngineConfig
from gate5.edge import PullResult, fall_back, pack_golden, pull
from gate5.engine import build, load
from gate5.engine.tensorrt.runtime import check_hardware
from gate5.errors import EngineError, IntegrityError, StoreError, StoreInputError
from gate5.store import ArtifactStore, Release, keygen, load_public_keys, promote, publish, rollback
from gate5.store.channel import entry_name
from gate5.store.directory import DirectoryBackend
from gate5.testing.kill import run_killed

OBS, ACT = 5, 2


def graph(mark: int) -> bytes:
    """action = tanh(obs @ W), with another W for another mark."""
    weights = np.random.default_rng(mark).normal(size=(OBS, ACT)).astype(np.float32)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "W"], ["h"]), helper.make_node("Tanh", ["h"], ["action"])],
        "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", OBS])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", ACT])],
        [numpy_helper.from_array(weights, "W")],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(onnx.ModelProto.SerializeToString(model))


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
            "engine/engine.json": _json.dumps(built.metadata),
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
            "golden": {"tolerance": 1e-5},
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
        from gate5._files import sha256
        from gate5.store.manifest import read_manifest

        release = read_manifest((current / "manifest.json").read_bytes(), entry["release"], self.keys)
        for name, digest in release.files.items():
            assert sha256((current / "files" / name).read_bytes()) == digest
        return release.id


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


def test_install_replace_and_nothing_to_do(factory: Factory) -> None:
    first = factory.release(1)
    done = factory.pull()
    assert (done.outcome, done.release, done.replaced, done.compared) == ("installed", first.id, None, 16)
    assert done.max_abs_error == 0.0
    assert PullResult.from_dict(json.loads(json.dumps(done.to_dict()))) == done
    assert factory.running() == first.id
    assert factory.pull().outcome == "already_current"
    second = factory.release(2)
    done = factory.pull()
    assert (done.outcome, done.release, done.replaced) == ("installed", second.id, first.id)
    third = factory.release(3)
    factory.pull()
    kept = {path.name.rpartition(".")[0] for path in (factory.dest / "releases").iterdir()}
    assert kept == {second.id, third.id}, "what runs and what ran before"
    rollback(factory.store, "production", by="me", reason="trips")
    assert factory.pull().release == second.id == factory.running()


def test_the_installed_engine_is_the_released_policy(factory: Factory) -> None:
    factory.release(4)
    path = Path(factory.pull().path)
    metadata = json.loads((path / "files/engine/engine.json").read_bytes())
    obs = np.linspace(-1, 1, OBS, dtype=np.float32)[None]
    with load((path / "files/engine/policy.engine").read_bytes(), metadata) as engine:
        weights = np.random.default_rng(4).normal(size=(OBS, ACT)).astype(np.float32)
        np.testing.assert_allclose(engine.infer(obs), np.tanh(obs @ weights), atol=1e-6)


def refuse(factory: Factory, kind: type[Exception], sentence: str, **more: Any) -> None:
    """A pull that is refused leaves what runs as it was, and no rubbish."""
    before, folders = factory.running(), sorted((factory.dest / "releases").glob("*"))
    with pytest.raises(kind, match=sentence):
        factory.pull(**more)
    assert factory.running() == before
    assert before is not None
    assert sorted((factory.dest / "releases").glob("*")) == folders


def never(blob: bytes, metadata: dict[str, Any]) -> Any:
    raise AssertionError("an engine was deserialised that had not been verified")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_a_flipped_byte_is_never_deserialised(factory: Factory) -> None:
    factory.release(1)
    factory.pull()
    release = factory.release(2)
    flip(factory.root / "blobs" / "sha256" / release.files["engine/policy.engine"])
    refuse(factory, IntegrityError, "has been damaged", load_engine=never)


def test_a_manifest_or_an_entry_that_was_changed(factory: Factory) -> None:
    factory.release(1)
    factory.pull()
    release = factory.release(2)
    manifest = factory.root / "releases" / release.id / "manifest.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b'"payloadType"', b'"payloadType" '))
    refuse(factory, IntegrityError, "not the one that was promoted", load_engine=never)
    manifest.unlink()
    refuse(factory, IntegrityError, "not in", load_engine=never)
    manifest.write_bytes(good)
    flip(factory.root / entry_name("production", 2))
    refuse(factory, IntegrityError, "is damaged|not signed by a trusted key", load_engine=never)


def test_a_key_that_is_not_trusted(factory: Factory, tmp_path: Path) -> None:
    factory.release(1)
    factory.pull()
    factory.release(2)
    keygen(tmp_path / "other.pem")
    other = load_public_keys([tmp_path / "other.pub"])
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        pull(factory.store, "production", factory.dest, other, load_engine=never)
    with pytest.raises(StoreInputError, match="at least one trusted key"):
        pull(factory.store, "production", factory.dest, [], load_engine=never)
    with pytest.raises(StoreInputError, match="Nothing was ever promoted"):
        pull(factory.store, "elsewhere", factory.dest, factory.keys, load_engine=never)


def test_an_engine_for_another_machine(factory: Factory) -> None:
    """The comparison is the TensorRT engine's own; the GPU is a description, for there may be none here."""
    factory.release(1)
    factory.pull()
    factory.release(2)
    refuse(factory, EngineError, "this machine takes tensorrt", backends=["tensorrt"], load_engine=never)

    def open_on_another_gpu(blob: bytes, metadata: dict[str, Any]) -> Any:
        check_hardware({**metadata, "hardware": {"gpu": "Orin"}}, {"gpu": "Thor"}, "10.3")

    refuse(factory, EngineError, "The engine was built for .*Orin, here Thor", load_engine=open_on_another_gpu)

    def crash(blob: bytes, metadata: dict[str, Any]) -> Any:
        raise RuntimeError("driver version is insufficient")

    refuse(factory, EngineError, "does not run on this machine: driver version", load_engine=crash)


class Drifted:
    """A real engine whose actions are shifted, as on hardware with another arithmetic."""

    def __init__(self, blob: bytes, metadata: dict[str, Any], shift: float) -> None:
        self.engine, self.shift, self.closed = load(blob, metadata), np.float32(shift), False

    def infer(self, obs: Any) -> Any:
        return self.engine.infer(obs) + self.shift

    def close(self) -> None:
        self.closed = True
        self.engine.close()


@pytest.mark.parametrize("shift", [1e-3, np.nan, np.inf])
def test_golden_inputs_that_disagree(factory: Factory, shift: float) -> None:
    factory.release(1)
    factory.pull()
    factory.release(2)
    engines: list[Drifted] = []

    def open_drifted(blob: bytes, metadata: dict[str, Any]) -> Drifted:
        engines.append(Drifted(blob, metadata, shift))
        return engines[-1]

    refuse(factory, IntegrityError, "golden actions differ", load_engine=open_drifted)
    assert engines[0].closed


EMPTY = pack_golden(np.zeros((0, OBS), np.float32), np.zeros((0, ACT), np.float32))
NOT_FINITE = pack_golden(np.zeros((1, OBS), np.float32), np.full((1, ACT), np.nan, np.float32))


@pytest.mark.parametrize(
    ("golden", "provenance", "sentence"),
    [
        (None, {}, "has no golden.npz"),
        (b"", {}, "cannot be read"),
        (b"PK\x03\x04 truncated", {}, "cannot be read"),
        (EMPTY, {}, "prove nothing"),
        (NOT_FINITE, {}, "prove nothing"),
        (..., {"golden": None}, "cannot be read"),
        (..., {"golden": {"tolerance": -1}}, "prove nothing"),
    ],
    ids=["missing", "no bytes", "truncated", "empty", "not finite", "no tolerance", "negative tolerance"],
)
def test_golden_inputs_that_prove_nothing(
    factory: Factory, golden: Any, provenance: dict[str, Any], sentence: str
) -> None:
    factory.release(1)
    factory.pull()
    files = factory.files(2) if golden is ... else factory.files(2, golden_dot_npz=golden)
    factory.release(2, files, **provenance)
    refuse(factory, IntegrityError, sentence, load_engine=never)


def test_an_old_log_played_back(factory: Factory, tmp_path: Path) -> None:
    """Whoever can write to the store removes the newest entry, or puts another there: well signed, and refused."""
    first = factory.release(1)
    factory.release(2)
    factory.pull()
    newest = factory.root / entry_name("production", 2)
    newest.unlink()
    refuse(factory, IntegrityError, "went back in time: entry 2 was seen", load_engine=never)
    rollback(factory.store, "production", to=first.id, by="me", reason="x")  # nothing to do: it is current again
    factory.release(3)
    refuse(factory, IntegrityError, "went back in time", load_engine=never)


def test_a_damaged_installation_is_put_right(factory: Factory) -> None:
    factory.release(1)
    factory.pull()
    second = factory.release(2)
    path = Path(factory.pull().path)
    flip(path / "files/engine/policy.engine")
    done = factory.pull()
    assert (done.outcome, done.release) == ("installed", second.id)
    assert factory.running() == second.id
    assert fall_back(factory.dest, "still bad") != second.id, "the damaged copy is not the fall-back"


def test_fall_back_holds_the_bad_release_back(factory: Factory) -> None:
    first = factory.release(1)
    factory.pull()
    with pytest.raises(StoreInputError, match="nothing to fall back to"):
        fall_back(factory.dest, "bad")
    bad = factory.release(2)
    factory.pull()
    with pytest.raises(StoreInputError, match="needs a reason"):
        fall_back(factory.dest, " ")
    assert fall_back(factory.dest, "oscillates") == first.id == factory.running()
    held = factory.pull()
    assert (held.outcome, held.release) == ("held", bad.id)
    assert "oscillates" in held.sentence
    assert factory.running() == first.id
    better = factory.release(3)
    assert factory.pull().outcome == "installed"
    assert factory.running() == better.id


def test_two_pulls_at_once(factory: Factory) -> None:
    factory.release(1)

    def pull_again(blob: bytes, metadata: dict[str, Any]) -> Any:
        with pytest.raises(StoreError, match="Another pull"):
            factory.pull()
        return load(blob, metadata)

    assert factory.pull(load_engine=pull_again).outcome == "installed"


def test_a_destination_that_cannot_be_used(factory: Factory) -> None:
    factory.release(1)
    factory.dest.write_text("a file")
    with pytest.raises(StoreInputError, match="cannot be used"):
        factory.pull()


def test_kill_at_every_step_of_a_pull(factory: Factory) -> None:
    """At no step does ``current`` point to anything but one complete release; the next pull goes on from there."""
    old = factory.release(1)
    factory.pull()
    new = factory.release(2)
    dest = factory.dest
    for step in itertools.count():
        plant = Factory.__new__(Factory)
        plant.__dict__.update(factory.__dict__, dest=dest.with_name(f"plant{step}"))
        pull_old(plant, old)
        was_killed = run_killed(plant.pull, step)
        assert plant.running() in (old.id, new.id)
        assert plant.pull().release == new.id == plant.running()
        names = {path.name.rpartition(".")[0] for path in (plant.dest / "releases").iterdir()}
        assert names <= {old.id, new.id}
        assert len(list((plant.dest / "releases").iterdir())) <= 2
        if not was_killed:
            break
    assert step > 20


def pull_old(plant: Factory, old: Release) -> None:
    """Install the first release at another destination, from a store in which the second was not promoted yet."""
    newest = plant.root / entry_name("production", 2)
    hidden = newest.with_name(".hidden")
    newest.rename(hidden)
    assert plant.pull().release == old.id
    hidden.rename(newest)
