"""A run's artifacts: a directory or an S3 prefix that the stages of one release share.

An artifact appears whole or not at all: in a directory it is written beside, synced and renamed; in S3 it is one PUT.
What a stage wrote is listed with its SHA-256 in the stage's record (``records/STAGE.json``), written last: a stage is
done exactly when its record is there; ``read`` gives an artifact's bytes and its hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gate5 import _json
from gate5.config import resolve_path
from gate5.errors import StoreError, WorkspaceError


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


class Workspace(ABC):
    """Named artifacts (``engine/policy.engine``) under one URI."""

    uri: str

    @abstractmethod
    def write(self, name: str, data: bytes) -> str:
        """Write an artifact, whole or not at all; returns its SHA-256."""

    @abstractmethod
    def find(self, name: str) -> bytes | None:
        """An artifact's bytes, or ``None`` where there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> list[str]:
        """The names of all artifacts under a prefix, sorted."""

    def read(self, name: str) -> bytes:
        """An artifact's bytes.

        Raises:
            WorkspaceError: there is none of this name.
        """
        data = self.find(name)
        if data is None:
            raise WorkspaceError(f"The workspace {self.uri} has no {name}: run the stage that writes it first.")
        return data

    def exists(self, name: str) -> bool:
        """Whether an artifact of this name is there."""
        return self.find(name) is not None

    def write_json(self, name: str, value: Any) -> str:
        """Write plain JSON types canonically; returns the SHA-256."""
        return self.write(name, _json.dumps(value))

    def read_json(self, name: str) -> Any:
        """Read a JSON artifact.

        Raises:
            WorkspaceError: it is missing or is not JSON.
        """
        try:
            return _json.loads(self.read(name))
        except ValueError as error:
            raise WorkspaceError(
                f"{name} in the workspace {self.uri} is not JSON ({error}); run the stage that writes it again."
            ) from None


class DirectoryWorkspace(Workspace):
    """Artifacts as files of a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = str(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                f"The workspace {path} cannot be made ({error.strerror}); choose another folder."
            ) from None

    def write(self, name: str, data: bytes) -> str:
        target = self.path / checked(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
        return sha256(data)

    def find(self, name: str) -> bytes | None:
        try:
            return (self.path / checked(name)).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def exists(self, name: str) -> bool:
        return (self.path / checked(name)).is_file()

    def list(self, prefix: str = "") -> list[str]:
        found = (p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file())
        return sorted(
            name for name in found if name.startswith(prefix) and not PurePosixPath(name).name.startswith(".")
        )


class S3Workspace(Workspace):
    """Artifacts as objects under a prefix; ``client`` is a boto3 S3 client."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix.strip("/")
        self.uri = f"s3://{bucket}/{self.prefix}"

    def write(self, name: str, data: bytes) -> str:
        with _s3_errors(self.uri):
            self.client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data)
        return sha256(data)

    def find(self, name: str) -> bytes | None:
        with _s3_errors(self.uri):
            try:
                return bytes(self.client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"].read())
            except self.client.exceptions.NoSuchKey:
                return None

    def list(self, prefix: str = "") -> list[str]:
        start = f"{self.prefix}/" if self.prefix else ""
        with _s3_errors(self.uri):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start + prefix)
            return sorted(item["Key"][len(start) :] for page in pages for item in page.get("Contents", []))

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{checked(name)}" if self.prefix else checked(name)


def open_workspace(uri: str | os.PathLike[str], client: Any = None) -> Workspace:
    """Open (and make, if need be) the workspace at a directory or ``s3://BUCKET/PREFIX``.

    Args:
        uri: where; a relative directory starts at ``$GATE5_HOME``, else at the current folder.
        client: a boto3 S3 client; ``None``: made from the environment (``AWS_*``).
    """
    text = os.fspath(uri)
    if "://" not in text:
        return DirectoryWorkspace(resolve_path(text))
    parts = urlsplit(text)
    if parts.scheme != "s3" or not parts.netloc:
        raise WorkspaceError(f"The workspace {text!r} is neither a directory nor s3://BUCKET/PREFIX.")
    if client is None:
        import boto3  # type: ignore[import-untyped,unused-ignore]

        client = boto3.client("s3")
    return S3Workspace(client, parts.netloc, parts.path)


def checked(name: str) -> str:
    """``name`` if it stays inside the workspace.

    Raises:
        WorkspaceError: it is empty, absolute or climbs out with ``..``.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise WorkspaceError(f"{name!r} is not an artifact's name: use a relative path without '..'.")
    return name


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any instant, sees the old bytes or the new ones, never a part."""
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Make a rename or link in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped,unused-ignore]

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreError(
            f"The workspace {uri} cannot be used ({error}); check the address, the network and the credentials."
        ) from error
