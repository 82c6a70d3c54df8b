"""``open_store`` and ``ArtifactStore``: a backend that has been probed, blobs by hash, and the key that signs."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gate5.config.channel import StoreConfig
from gate5.errors import IntegrityError, StoreInputError
from gate5.io.files import sha256
from gate5.io.paths import resolve_path
from gate5.store.backend import Backend
from gate5.store.directory import DirectoryBackend
from gate5.store.probe import ensure_safe
from gate5.store.s3 import S3Backend
from gate5.store.signing import PublicKey, Signer, load_public_keys, load_signer

_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")


class ArtifactStore:
    """Releases and channels under one address.

    Attributes:
        uri: the address, without secrets.
        backend: the three verbs.
        signing_key: the private key's path; read when something is first signed.
    """

    def __init__(self, backend: Backend, signing_key: Path | None = None) -> None:
        self.backend = backend
        self.uri = backend.uri
        self.signing_key = signing_key
        self._safe = False
        self._signer: Signer | None = None
        self._remembered: dict[str, bytes] = {}

    @property
    def signer(self) -> Signer:
        """The signer of ``signing_key``.

        Raises:
            StoreInputError: there is no such key, or it is not an Ed25519 private key.
        """
        if self._signer is None:
            if self.signing_key is None:
                raise StoreInputError(
                    f"The artifact store {self.uri} was opened without a signing key; set store.signing_key and make "
                    "one with `gate5 keygen`."
                )
            self._signer = load_signer(self.signing_key)
        return self._signer

    @property
    def trusted_keys(self) -> list[PublicKey]:
        """The public keys (``*.pub``) in the signing key's folder: keep a retired key's there too."""
        if self.signing_key is None or not any(self.signing_key.parent.glob("*.pub")):
            return []
        return load_public_keys([self.signing_key.parent])

    def ensure_safe(self) -> None:
        """Probe the store before the first write; see ``gate5.store.probe``."""
        if not self._safe:
            ensure_safe(self.backend)
            self._safe = True

    def remembered(self, name: str) -> bytes | None:
        """An object's bytes, read once: nothing is ever overwritten."""
        if name not in self._remembered:
            data = self.backend.read(name)
            if data is None:
                return None
            self._remembered[name] = data
        return self._remembered[name]

    def put_blob(self, data: bytes, digest: str | None = None) -> str:
        """Keep bytes under their SHA-256, which is returned.

        Args:
            digest: the same, where the caller knows it.

        Raises:
            IntegrityError: other bytes lie under this hash.
        """
        self.ensure_safe()
        digest = digest or sha256(data)
        if not self.backend.create(blob_name(digest), data):
            self.check_blob(digest)
        return digest

    def blob(self, digest: str) -> bytes:
        """The bytes with this SHA-256.

        Raises:
            IntegrityError: they are missing or are not what they were.
        """
        return b"".join(self.stream_blob(digest))

    def stream_blob(self, digest: str, allowance: Allowance | None = None, size: int | None = None) -> Iterator[bytes]:
        """The same in pieces; only when the last one has come are they known to be right.

        Args:
            allowance: bytes that this and other reads may take together.
            size: what the blob has, where that is known; no more is read.

        Raises:
            IntegrityError: the blob is missing, is not what it was, or is larger than it may be.
        """
        pieces = self.backend.stream(blob_name(digest))
        if pieces is None:
            raise IntegrityError(f"The artifact store {self.uri} has lost the blob {digest}; restore it from a backup.")
        seen, read = hashlib.sha256(), 0
        for piece in pieces:
            read += len(piece)
            if allowance is not None and not allowance.take(len(piece)):
                raise IntegrityError(
                    f"The files of the release in the artifact store {self.uri} have more than {allowance.limit} "
                    "bytes, more than this machine takes (max_bytes of the limits)."
                )
            if size is not None and read > size:
                raise IntegrityError(
                    f"The blob {digest} in the artifact store {self.uri} has been damaged: it has more than the {size} "
                    "bytes that were signed; restore it from a backup."
                )
            seen.update(piece)
            yield piece
        if seen.hexdigest() != digest:
            raise IntegrityError(
                f"The blob {digest} in the artifact store {self.uri} has been damaged: its bytes now have the sha256 "
                f"{seen.hexdigest()}; restore it from a backup."
            )

    def check_blob(self, digest: str, size: int | None = None) -> None:
        """Read a blob piece by piece and compare its hash.

        Raises:
            IntegrityError: it is missing or is not what it was.
        """
        for _ in self.stream_blob(digest, size=size):
            pass


class Allowance:
    """Bytes that some reads, at once or one after the other, may take together.

    Attributes:
        limit: how many.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._left, self._lock = limit, limit, threading.Lock()

    def take(self, size: int) -> bool:
        """Whether so many more fit; they are taken."""
        with self._lock:
            self._left -= size
            return self._left >= 0


def blob_name(digest: str) -> str:
    """Where the bytes with this SHA-256 lie."""
    return f"blobs/sha256/{digest}"


def is_blob_name(name: str) -> bool:
    """Whether a name in the store is where such bytes lie."""
    return _BLOB.fullmatch(name) is not None


def open_store(config: StoreConfig, *, client: Any = None) -> ArtifactStore:
    """Open the store of a configuration; nothing is written, and no server asked, before it is used.

    Args:
        client: a boto3 S3 client for an ``s3://`` address; ``None``: made from the configuration's endpoint and region
            and the environment's credentials.

    Raises:
        StoreInputError: the address is neither a directory nor ``s3://BUCKET/PREFIX``.
    """
    return ArtifactStore(_open_backend(config, client), resolve_path(config.signing_key))


def _open_backend(config: StoreConfig, client: Any) -> Backend:
    if "://" not in config.uri:
        if not config.uri.strip():
            raise StoreInputError("store.uri is empty; give a directory or s3://BUCKET/PREFIX.")
        return DirectoryBackend(resolve_path(config.uri))
    parts = urlsplit(config.uri)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        shown = f"{parts.scheme}://…" if "@" in parts.netloc else config.uri
        raise StoreInputError(f"The artifact store {shown!r} is neither a directory nor s3://BUCKET/PREFIX.")
    return S3Backend(parts.netloc, parts.path, client, config.endpoint, config.region)
