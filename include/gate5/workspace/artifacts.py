"""A run's artifacts: a directory or an S3 prefix that the stages of one release share.

An artifact appears whole or not at all: in a directory it is written beside, synced and renamed; in S3 it is one PUT.
What a stage wrote is listed with its SHA-256 in the stage's record (``records/STAGE.json``), written last: a stage is
done exactly when its record is there; ``read`` gives an artifact's bytes and its hash.
"""

from __future__ import annotations

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gate5.errors import StoreError, WorkspaceError
from gate5.io import canonical
from gate5.io.files import make_directory, sha256, sync_directory, write_atomically
from gate5.io.names import is_plain_path
from gate5.io.paths import resolve_path
from gate5.io.s3 import checksum, error_code, list_objects, make_client, persistently, read_object, s3_errors

__all__ = [
    "DirectoryWorkspace",
    "S3Workspace",
    "Workspace",
    "checked",
    "open_workspace",
    "sha256",
    "sync_directory",
    "write_atomically",
]

_NAME_TAKEN = {errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST}


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
        return self.write(name, canonical.dumps(value))

    def read_json(self, name: str) -> Any:
        """Read a JSON artifact.

        Raises:
            WorkspaceError: it is missing or is not JSON.
        """
        try:
            return canonical.loads(self.read(name))
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
            make_directory(path)
        except OSError as error:
            raise WorkspaceError(
                f"The workspace {path} cannot be made ({error.strerror}); choose another folder."
            ) from None

    def write(self, name: str, data: bytes) -> str:
        target = self.path / checked(name)
        with self._errors(name):
            make_directory(target.parent)
            write_atomically(target, data)
        return sha256(data)

    def find(self, name: str) -> bytes | None:
        with self._errors(name):
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

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _NAME_TAKEN:
                raise WorkspaceError(
                    f"{name!r} cannot be an artifact of the workspace {self.uri} ({error.strerror}); use another name."
                ) from None
            raise StoreError(
                f"The workspace {self.uri} cannot be used for {name} ({error.strerror}); check its permissions and the "
                "disk's free space."
            ) from error


class S3Workspace(Workspace):
    """Artifacts as objects under a prefix; ``client`` is a boto3 S3 client."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix.strip("/")
        self.uri = f"s3://{bucket}/{self.prefix}"
        self._what = f"The workspace {self.uri}"

    def write(self, name: str, data: bytes) -> str:
        key = self._key(name)
        with s3_errors(self._what, self.client):
            persistently(lambda: self.client.put_object(Bucket=self.bucket, Key=key, Body=data, **checksum(data)))
        return sha256(data)

    def find(self, name: str) -> bytes | None:
        from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

        key = self._key(name)
        with s3_errors(self._what, self.client):
            try:
                return b"".join(read_object(self.client, self.bucket, key))
            except ClientError as error:
                if error_code(error)[0] == "NoSuchKey":
                    return None
                raise

    def remove(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        with s3_errors(self._what, self.client):
            persistently(lambda: self.client.delete_object(Bucket=self.bucket, Key=self._key(name)))

    def list(self, prefix: str = "") -> list[str]:
        start = f"{self.prefix}/" if self.prefix else ""
        with s3_errors(self._what, self.client):
            return sorted(item["Key"][len(start) :] for item in list_objects(self.client, self.bucket, start + prefix))

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{checked(name)}" if self.prefix else checked(name)


def open_workspace(uri: str | os.PathLike[str], client: Any = None) -> Workspace:
    """Open (and make, if need be) the workspace at a directory or ``s3://BUCKET/PREFIX``.

    Args:
        uri: where; a relative directory starts at ``$GATE5_HOME``, else at the current folder.
        client: a boto3 S3 client; ``None``: made from the environment (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, …).
    """
    text = os.fspath(uri)
    if "://" not in text:
        return DirectoryWorkspace(resolve_path(text))
    parts = urlsplit(text)
    if parts.scheme != "s3" or not parts.netloc:
        raise WorkspaceError(f"The workspace {text!r} is neither a directory nor s3://BUCKET/PREFIX.")
    return S3Workspace(make_client() if client is None else client, parts.netloc, parts.path)


def checked(name: str) -> str:
    """``name`` if it is one file's name inside the workspace, the same in a directory and in S3.

    Raises:
        WorkspaceError: it is not; see ``is_plain_path``.
    """
    if not is_plain_path(name):
        raise WorkspaceError(
            f"{name!r} is not an artifact's name: use a relative path such as engine/policy.engine, no part of which "
            "begins with a dot or is longer than 255 bytes."
        )
    return name
