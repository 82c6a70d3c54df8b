"""The edge pull: a real engine, a real store, and everything that can be wrong with a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.edge.pull import PullResult, fall_back, pull
from gate5.engine import load
from gate5.engine.tensorrt.runtime import check_hardware
from gate5.errors import EngineError, IntegrityError, StoreError, StoreInputError
from gate5.store import ArtifactStore, keygen, load_public_keys, rollback
from gate5.store.channel import Log, entry_name, next_entry
from gate5.store.entry import PAYLOAD_TYPE
from gate5.store.key_changes import add_key, close_key
from gate5.store.signing import sign

Factory = Any
"""The class of the fixture ``factory``, which a test module cannot import."""


OBS, ACT = 5, 2


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


def test_a_keyring_that_is_gone_is_missed_though_state_json_is_gone_too(factory: Factory, tmp_path: Path) -> None:
    """Without it a key that was revoked, and that the plant was once given, would sign again."""
    keygen(tmp_path / "thief" / "k.pem")
    thief = ArtifactStore(factory.store.backend, tmp_path / "thief" / "k.pem")
    add_key(factory.store, thief.signer.public_key, name="thief", by="me", reason="r")
    first = factory.release(1)
    close_key(factory.store, thief.signer.public_key.keyid, by="me", reason="lost", revoked=True)
    factory.release(2)
    factory.pull()
    newest = Log(factory.store, "production").newest()
    (factory.dest / "state.json").unlink()
    for version in (factory.root / "keys").iterdir():
        version.unlink()
    stated = {"kind": "promote", "by": "thief", "release": first.id, "manifest_sha256": first.manifest_sha256}
    entry = next_entry(Log(factory.store, "production"), newest, **stated)
    name, data = entry_name("production", entry.sequence), sign(entry.payload(), PAYLOAD_TYPE, thief.signer)
    assert factory.store.backend.create(name, data)
    factory.keys.append(thief.signer.public_key)
    refuse(factory, IntegrityError, "keyring of .* went back in time", load_engine=never)


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
        with pytest.raises(StoreError, match="Another process is at work"):
            factory.pull()
        return load(blob, metadata)

    assert factory.pull(load_engine=pull_again).outcome == "installed"


def test_a_destination_that_cannot_be_used(factory: Factory) -> None:
    factory.release(1)
    factory.dest.write_text("a file")
    with pytest.raises(StoreInputError, match="cannot be used"):
        factory.pull()
