"""The race that a store has to survive, on servers that are right and on servers that are wrong as real ones are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.errors import StoreError
from gate5.store import ArtifactStore, list_releases, open_store, publish
from gate5.store.directory import DirectoryBackend
from gate5.store.probe import ensure_safe
from tests.support.s3_server import S3Server

Files = Callable[[object], dict[str, bytes]]
HERE = str(Path(__file__).parent)


def test_a_good_store_is_probed_once(make_store: Callable[[], Callable[[], ArtifactStore]]) -> None:
    store = make_store()()
    store.ensure_safe()
    marker = f"probe/{store.backend.identity}.json"
    assert store.backend.list("") == [marker], "the marker stays, the race's objects do not"

    class NoMoreWrites(DirectoryBackend):
        def __init__(self) -> None:
            self.uri, self.identity = store.uri, store.backend.identity

        def read(self, name: str) -> bytes | None:
            return store.backend.read(name)

        def create(self, name: str, data: bytes) -> bool:
            raise AssertionError("probed again")

        def unsafe(self) -> None:
            return None

    ensure_safe(NoMoreWrites())


def test_reading_needs_no_probe(make_store: Callable[[], Callable[[], ArtifactStore]]) -> None:
    """A plant's read-only credentials must do for history and pull."""
    store = make_store()()
    assert list_releases(store) == []
    assert store.backend.list("") == []


def test_a_copied_marker_counts_for_its_own_place_only(tmp_path: Path) -> None:
    a, b = DirectoryBackend(tmp_path / "a"), DirectoryBackend(tmp_path / "b")
    ensure_safe(a)
    assert a.identity != b.identity


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("ignores_the_condition", "it overwrote an object"),
        ("looks_then_writes", "two writers at once both created one object"),
        ("has_no_conditions", "has no conditional writes"),
    ],
)
def test_a_bad_server_is_refused(
    kind: str, sentence: str, signing_key: Path, files: Files, provenance: Callable[[], dict[str, Any]]
) -> None:
    with S3Server(middleware=f"bad_servers:{kind}", path=HERE) as server:
        config = StoreConfig(uri=f"s3://{server.bucket('bucket')}", signing_key=str(signing_key))
        for _ in range(2):  # a refusal is not remembered as a pass
            store = open_store(config, client=server.client())
            with pytest.raises(StoreError, match=sentence):
                publish(store, files("a"), provenance())
        assert store.backend.list("releases/") == []
        assert store.backend.list("blobs/") == []


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_a_versioned_bucket_is_refused(
    status: str, s3_server: S3Server, signing_key: Path, files: Files, provenance: Callable[[], dict[str, Any]]
) -> None:
    """Also where the bucket was made versioned after it had been probed."""
    name = s3_server.bucket(f"versioned-later-{status.lower()}")
    config = StoreConfig(uri=f"s3://{name}", signing_key=str(signing_key))
    publish(open_store(config, client=s3_server.client()), files("a"), provenance())
    s3_server.client().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
    with pytest.raises(StoreError, match="use a bucket that never had versioning"):
        publish(open_store(config, client=s3_server.client()), files("b"), provenance())
