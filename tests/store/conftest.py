"""Fixtures of the store's tests: keys, stores in a directory and on an HTTP S3 server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.store import ArtifactStore, keygen, open_store
from tests.support.s3_server import S3Server

MakeStore = Callable[[], Callable[[], ArtifactStore]]

_numbers = itertools.count()
_parent = os.getpid()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for all tests; each takes a bucket of its own."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_clients(s3_server: S3Server) -> dict[bool, Any]:
    """A client for this process, and one that it never uses, so that a forked process inherits no open connection."""
    return {True: s3_server.client(), False: s3_server.client()}


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Ed25519 private key with its public key beside it."""
    path = tmp_path_factory.mktemp("keys") / "release.pem"
    keygen(path)
    return path


@pytest.fixture
def config(tmp_path: Path, signing_key: Path) -> StoreConfig:
    """A store in a directory."""
    return StoreConfig(uri=str(tmp_path / "store"), signing_key=str(signing_key))


@pytest.fixture
def store(config: StoreConfig) -> ArtifactStore:
    return open_store(config)


@pytest.fixture(params=["directory", "s3"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path, signing_key: Path) -> MakeStore:
    """Make a new, empty store; returns a function that opens it, in this process or in a forked one."""
    key = str(signing_key)

    def in_directory() -> Callable[[], ArtifactStore]:
        config = StoreConfig(uri=str(tmp_path / f"store{next(_numbers)}"), signing_key=key)
        return lambda: open_store(config)

    def on_s3() -> Callable[[], ArtifactStore]:
        server: S3Server = request.getfixturevalue("s3_server")
        config = StoreConfig(uri=f"s3://{_bucket(server)}/prefix{next(_numbers)}", signing_key=key)
        clients = request.getfixturevalue("s3_clients")
        return lambda: open_store(config, client=clients[os.getpid() == _parent])

    return in_directory if request.param == "directory" else on_s3


@cache
def _bucket(server: S3Server) -> str:
    return server.bucket("releases")


@pytest.fixture
def opened(make_store: MakeStore) -> ArtifactStore:
    """A store that counts as probed already, to save the time; the probe has tests of its own."""
    store = make_store()()
    store.backend.create(f"probe/{store.backend.identity}.json", b"{}")
    return store


@pytest.fixture(scope="session")
def provenance() -> Callable[..., dict[str, Any]]:
    def make(**more: Any) -> dict[str, Any]:
        return {
            "plant": "sco2",
            "engine": {"backend": "onnxruntime"},
            "gate": {"verdict": "pass"},
            "approved_by": "A. Person",
            **more,
        }

    return make


@pytest.fixture(scope="session")
def files() -> Callable[[object], dict[str, bytes]]:
    """The files of a candidate; another ``mark``, another candidate, with one file in common."""

    def make(mark: object) -> dict[str, bytes]:
        return {
            "engine/policy.engine": f"engine {mark}".encode() * 50,
            "engine/engine.json": b'{"backend": "onnxruntime"}',
            "report.html": f"<p>{mark}</p>".encode(),
        }

    return make
