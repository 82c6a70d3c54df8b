"""What is larger than it may be is not read to its end: neither into memory nor, at a plant, onto the disk."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.errors import IntegrityError
from gate5.io import canonical
from gate5.store import (
    ArtifactStore,
    Release,
    backend,
    claims,
    find_release,
    open_store,
    promote,
    publish,
    verify_release,
)
from gate5.store.artifact_store import Allowance, blob_name
from gate5.store.backend import LARGEST
from gate5.store.channel import Log, entry_name
from gate5.store.keyring import version_name
from gate5.store.manifest import manifest_name, read_manifest
from gate5.store.signing import sign
from tests.support.s3_server import S3Server

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]
GIB = 2**30


def sparse(path: Path, size: int) -> None:
    """A file of zeros that takes no place."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        os.truncate(file.fileno(), size)


@pytest.fixture
def release(store: ArtifactStore, files: Files, provenance: Provenance) -> Release:
    made = publish(store, files("a"), provenance())
    promote(store, "production", made, approved_by="me")
    return made


def test_the_manifest_says_each_files_size(store: ArtifactStore, release: Release, files: Files) -> None:
    assert dict(release.sizes) == {name: len(data) for name, data in files("a").items()}
    assert find_release(store, release.id, store.trusted_keys) == release
    assert Release.from_dict(release.to_dict()) == release


@pytest.mark.parametrize("annotations", [None, {}])
def test_a_manifest_from_before_there_were_sizes_is_read(
    store: ArtifactStore, release: Release, annotations: dict[str, int] | None
) -> None:
    old = changed(store, release, annotations)
    assert old.files == release.files
    assert old.sizes == {}


@pytest.mark.parametrize("size", [-1, True, "12", 1.5])
def test_a_size_that_is_none(store: ArtifactStore, release: Release, size: object) -> None:
    with pytest.raises(IntegrityError, match="the size of"):
        changed(store, release, {"bytes": size})


def changed(store: ArtifactStore, release: Release, annotations: dict[str, Any] | None) -> Release:
    """The release's manifest with other annotations, signed by the right key."""
    data = canonical.loads(store.backend.read(manifest_name(release.id)) or b"")
    statement = canonical.loads(base64.b64decode(data["payload"]))
    for subject in statement["subject"]:
        del subject["annotations"]
        subject |= {} if annotations is None else {"annotations": annotations}
    signed = sign(canonical.dumps(statement), data["payloadType"], store.signer)
    return read_manifest(signed, release.id, store.trusted_keys)


def test_a_blob_that_grew_is_read_no_further_than_what_was_signed(store: ArtifactStore, release: Release) -> None:
    name, digest = next(iter(release.files.items()))
    path = Path(store.uri) / blob_name(digest)
    sparse(path, 200 * GIB)  # to read it would take minutes
    with pytest.raises(IntegrityError, match=f"more than the {release.sizes[name]} bytes that were signed"):
        verify_release(store, release.id, store.trusted_keys)


def test_reads_at_once_share_what_they_may_take(store: ArtifactStore) -> None:
    digest = store.put_blob(bytes(1000))
    allowance = Allowance(2500)
    for _ in range(2):
        assert b"".join(store.stream_blob(digest, allowance)) == bytes(1000)
    with pytest.raises(IntegrityError, match="more than 2500 bytes, more than this machine takes"):
        b"".join(store.stream_blob(digest, allowance))


NAMES: dict[str, Callable[[Release], str]] = {
    "entry": lambda release: entry_name("production", 2),
    "manifest": lambda release: manifest_name(release.id),
    "claim": lambda release: f"claims/production/{release.id}",
    "keyring": lambda release: version_name(1),
}


@pytest.mark.parametrize("kind", NAMES)
def test_no_document_is_read_into_memory_whatever_its_size(store: ArtifactStore, release: Release, kind: str) -> None:
    """A file of a TiB, more than any memory, in the place of each kind of document."""
    path = Path(store.uri) / NAMES[kind](release)
    path.parent.mkdir(exist_ok=True)
    sparse(path, 1024 * GIB)
    log = None if kind == "keyring" else Log(store, "production", store.trusted_keys)
    reads: dict[str, Callable[[], object]] = {
        "entry": lambda: log and log.newest(),
        "manifest": lambda: verify_release(store, release.id, store.trusted_keys),
        "claim": lambda: log and claims.claimed(log, release.id),
        "keyring": lambda: Log(store, "production", store.trusted_keys),
    }
    with pytest.raises(IntegrityError, match=f"{path.name} has more than {LARGEST} bytes"):
        reads[kind]()


def test_nor_is_one_in_a_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, signing_key: Path) -> None:
    monkeypatch.setattr(backend, "LARGEST", 10_000)
    name = s3_server.bucket("large-documents")
    found = open_store(StoreConfig(uri=f"s3://{name}", signing_key=str(signing_key)), client=s3_server.client())
    found.backend.create("a.json", bytes(10_000))
    assert found.backend.read("a.json") == bytes(10_000)
    found.backend.create("b.json", bytes(10_001))
    with pytest.raises(IntegrityError, match=r"b\.json has more than 10000 bytes"):
        found.backend.read("b.json")
