"""Publication, the manifest, and what verification finds."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store import (
    ArtifactStore,
    Release,
    find_release,
    keygen,
    list_releases,
    load_public_keys,
    load_signer,
    publish,
    verify_release,
)
from gate5.store.directory import DirectoryBackend
from gate5.store.manifest import manifest_name

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]


def statement(store: ArtifactStore, release: Release) -> Any:
    data = store.backend.read(manifest_name(release.id))
    assert data
    return json.loads(base64.b64decode(json.loads(data)["payload"]))


def test_publish_and_verify(opened: ArtifactStore, files: Files, provenance: Provenance) -> None:
    release = publish(opened, files("a"), provenance())
    assert release.id.startswith("sco2-")
    assert dict(release.files) == {name: sha256(data) for name, data in files("a").items()}
    assert release.backend == "onnxruntime"
    assert release.verdict == "pass"
    assert verify_release(opened, release.id, opened.trusted_keys) == release
    assert verify_release(opened, release.id, opened.signer.public_key) == release
    assert Release.from_dict(json.loads(json.dumps(release.to_dict()))) == release
    for name, data in files("a").items():
        assert opened.blob(release.files[name]) == data
    assert list_releases(opened) == [release.id]


def test_the_same_again_is_the_same_release(opened: ArtifactStore, files: Files, provenance: Provenance) -> None:
    """Also with another approver and time: the manifest that is there stands."""
    first = publish(opened, files("a"), provenance())
    before = opened.backend.list("")
    second = publish(opened, files("a"), provenance(approved_by="another", run={"id": "2"}))
    assert second == first
    assert second.provenance["approved_by"] == "A. Person"
    assert opened.backend.list("") == before
    assert publish(opened, files("b"), provenance()).id != first.id


def test_two_candidates_with_one_id(
    store: ArtifactStore, files: Files, provenance: Provenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 bits cannot be made to collide here, so the hash is replaced by a constant."""
    monkeypatch.setattr("gate5.store.manifest.canonical.digest", lambda value: "0" * 64)
    release = publish(store, files("a"), provenance())
    assert publish(store, files("a"), provenance()) == release
    with pytest.raises(IntegrityError, match="belongs to another candidate already"):
        publish(store, files("b"), provenance())
    assert list_releases(store) == [release.id]


def test_identity_says_which_candidates_are_the_same(
    opened: ArtifactStore, files: Files, provenance: Provenance
) -> None:
    """The same policy measured again has other reports and is nevertheless the same candidate."""
    identity = ["engine/policy.engine", "engine/engine.json"]
    first = publish(opened, files("a"), provenance(), identity=identity)
    measured_again = publish(opened, {**files("a"), "report.html": b"other"}, provenance(), identity=identity)
    assert measured_again == first
    other = publish(opened, {**files("a"), "engine/policy.engine": b"other"}, provenance(), identity=identity)
    assert other.id != first.id
    assert verify_release(opened, first.id, opened.trusted_keys).identity == tuple(sorted(identity))
    for wrong in (["nothing"], []):
        with pytest.raises(StoreInputError, match="identity names"):
            publish(opened, files("a"), provenance(), identity=wrong)


def test_the_manifest_is_an_in_toto_statement_with_slsa_provenance(
    store: ArtifactStore, files: Files, provenance: Provenance
) -> None:
    given = provenance(
        checkpoint={"uri": "s3://runs/7", "policy_sha256": "a" * 64, "vecnormalize_sha256": "b" * 64},
        config={"gate": {"sla_p99_ms": 1.0}},
        built_with={"gate5": "0.1.0", "python": "3.11.2", "commit": "abc", "libraries": {"torch": "2.13.0"}},
        run={"id": "dag-run-1", "started_on": "2026-01-01T00:00:00+00:00", "finished_on": None},
        golden={"file": "golden.npz", "tolerance": 1e-5},
    )
    release = publish(store, files("a"), given)
    found = statement(store, release)
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {s["name"]: s["digest"]["sha256"] for s in found["subject"]} == dict(release.files)
    definition, run = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    assert definition["externalParameters"] == {"checkpoint": "s3://runs/7", "config": given["config"]}
    assert [d["digest"] for d in definition["resolvedDependencies"]] == [
        {"sha256": "a" * 64},
        {"sha256": "b" * 64},
        {"gitCommit": "abc"},
    ]
    assert run["builder"]["version"] == {"gate5": "0.1.0", "python": "3.11.2", "torch": "2.13.0"}
    assert run["metadata"]["invocationId"] == "dag-run-1"
    assert {**release.provenance} == given


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"plant": ""}, "does not name the plant"),
        ({"engine": {}}, r"engine\.backend"),
        ({"gate": {}}, r"gate\.verdict"),
        ({"gate": None}, r"gate\.verdict"),
        ({"gate": {"verdict": "fail"}}, "'fail': only a candidate that passes is released"),
        ({"gate": {"verdict": "error"}}, "'error': only a candidate that passes is released"),
        ({"gate": {"verdict": True}}, r"gate\.verdict"),
        ({"p99": float("nan")}, "something that JSON does not have"),
        ({"path": Path("x")}, "something that JSON does not have"),
        ({"identity": []}, "must not have the key"),
    ],
)
def test_a_candidate_that_is_not_released(
    store: ArtifactStore, files: Files, provenance: Provenance, change: dict[str, Any], sentence: str
) -> None:
    """A failed, missing or odd verdict puts nothing at all into the store."""
    with pytest.raises(StoreInputError, match=sentence):
        publish(store, files("a"), provenance(**change))
    assert store.backend.list("") == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "C:x", "a\0", ".", "./a", "a//b"])
def test_file_names_that_an_edge_box_must_not_write(store: ArtifactStore, provenance: Provenance, name: str) -> None:
    with pytest.raises(StoreInputError, match="not a release file's name"):
        publish(store, {name: b""}, provenance())
    with pytest.raises(StoreInputError, match="without files"):
        publish(store, {}, provenance())


def test_without_a_key_nothing_is_published(
    tmp_path: Path, files: Files, provenance: Provenance, store: ArtifactStore
) -> None:
    keyless = ArtifactStore(store.backend, tmp_path / "none.pem")
    with pytest.raises(StoreInputError, match="gate5 keygen"):
        publish(keyless, files("a"), provenance())
    with pytest.raises(StoreInputError, match="gate5 keygen"):
        publish(ArtifactStore(store.backend), files("a"), provenance())
    assert store.backend.list("") == []


@pytest.mark.parametrize("plant", ["gymnasium:Pendulum-v1", "my_plant:make", "Ü", "x" * 200, "-"])
def test_any_plant_gives_a_usable_id(store: ArtifactStore, files: Files, provenance: Provenance, plant: str) -> None:
    release = publish(store, files("a"), provenance(plant=plant))
    assert verify_release(store, release.id, store.trusted_keys) == release


@pytest.fixture
def published(store: ArtifactStore, files: Files, provenance: Provenance) -> tuple[ArtifactStore, Release, Path]:
    assert isinstance(store.backend, DirectoryBackend)
    return store, publish(store, files("a"), provenance()), store.backend.path


def test_a_flipped_byte_and_a_lost_file(published: tuple[ArtifactStore, Release, Path]) -> None:
    store, release, root = published
    blob = root / "blobs" / "sha256" / release.files["engine/policy.engine"]
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + b"!")
    with pytest.raises(IntegrityError, match="has been damaged"):
        verify_release(store, release.id, store.trusted_keys)
    blob.unlink()
    with pytest.raises(IntegrityError, match="has lost the blob"):
        verify_release(store, release.id, store.trusted_keys)


def test_publishing_over_a_damaged_blob_is_noticed(
    published: tuple[ArtifactStore, Release, Path], files: Files, provenance: Provenance
) -> None:
    """A release whose new manifest would point at a blob that was damaged earlier must not come to be."""
    store, release, root = published
    (root / "blobs" / "sha256" / release.files["engine/engine.json"]).write_bytes(b"damaged")
    with pytest.raises(IntegrityError, match="has been damaged"):
        publish(store, files("b"), provenance())
    assert list_releases(store) == [release.id]


def test_a_manifest_that_was_edited_moved_or_signed_by_another(
    published: tuple[ArtifactStore, Release, Path], files: Files, provenance: Provenance, tmp_path: Path
) -> None:
    store, release, root = published
    path = root / manifest_name(release.id)
    good = path.read_bytes()
    edited = json.loads(good)
    edited["payload"] = base64.b64encode(
        base64.b64decode(edited["payload"]).replace(b"A. Person", b"B. Person")
    ).decode()
    path.write_bytes(canonical.dumps(edited))
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        verify_release(store, release.id, store.trusted_keys)
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        publish(store, files("a"), provenance())
    path.write_bytes(good)

    other = root / manifest_name("sco2-0123456789ab")
    other.parent.mkdir()
    other.write_bytes(good)
    with pytest.raises(IntegrityError, match="belongs to another release"):
        verify_release(store, "sco2-0123456789ab", store.trusted_keys)
    assert find_release(store, release.id, store.trusted_keys) == release

    keygen(tmp_path / "other.pem")
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        verify_release(store, release.id, load_public_keys([tmp_path / "other.pub"]))
    theirs = publish(store, files("a"), provenance(), load_signer(tmp_path / "other.pem"))
    assert theirs.id != release.id


def test_imports_without_boto3_and_securesystemslib() -> None:
    """A worker without S3 and signatures can import the store; using them says what to install."""
    code = """
import sys
for name in ("boto3", "botocore", "securesystemslib", "cryptography", "torch", "onnx"):
    sys.modules[name] = None
import gate5.store, gate5.workspace.artifacts, gate5.edge.pull
from gate5.config.channel import StoreConfig
from gate5.errors import StoreInputError
for call in (lambda: gate5.store.open_store(StoreConfig(uri="s3://b")), lambda: gate5.store.keygen("/tmp/never.pem"),
             lambda: gate5.workspace.artifacts.open_workspace("s3://b")):
    try:
        call()
    except StoreInputError as error:
        assert "pip install" in str(error), error
    else:
        raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
