"""An artifact store in a local directory: complete files that ``link(2)`` makes visible."""

from __future__ import annotations

import contextlib
import heapq
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gate5.errors import StoreError, StoreInputError
from gate5.io.files import create_exclusively, make_directory, sha256
from gate5.store.backend import checked_name, checked_removal, whole

_BESIDE = ".incoming"
_PIECE = 2**20
_STALE_SECONDS = 24 * 3600


class DirectoryBackend:
    """Objects as files under ``path``; files that are being written lie in ``.incoming`` there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = str(path)
        self.identity = sha256(f"directory {path.resolve()}".encode())[:16]
        if path.exists() and not path.is_dir():
            raise StoreInputError(f"The artifact store {path} is a file; give a directory or s3://BUCKET/PREFIX.")

    def read(self, name: str) -> bytes | None:
        pieces = self.stream(name)
        return None if pieces is None else whole(pieces, f"{self.path / name}")

    def stream(self, name: str) -> Iterator[bytes] | None:
        with self._errors():
            try:
                file = (self.path / checked_name(name)).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
        return self._pieces(file)

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        with file, self._errors():
            while piece := file.read(_PIECE):
                yield piece

    def list(self, prefix: str, limit: int | None = None) -> list[str]:
        with self._errors():
            names = (name for name in self._below(prefix.rpartition("/")[0]) if name.startswith(prefix))
            return sorted(names) if limit is None else heapq.nsmallest(limit, names)

    def create(self, name: str, data: bytes) -> bool:
        target = self.path / checked_name(name)
        with self._errors():
            beside = self.path / _BESIDE
            make_directory(beside)
            make_directory(target.parent)
            return create_exclusively(target, data, beside)

    def stat(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        for name in self.list(prefix):
            with self._errors(), contextlib.suppress(FileNotFoundError):
                found = (self.path / name).stat()
                yield name, found.st_mtime, found.st_size

    def now(self) -> float:
        # On a server's disk a new file has the time of its clock.
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=self.path, prefix=".") as file:
            return os.fstat(file.fileno()).st_mtime
        return time.time()  # nothing can be written there

    def remove(self, name: str) -> None:
        with self._errors():
            (self.path / checked_removal(name)).unlink(missing_ok=True)

    def unsafe(self) -> str | None:
        # What a kill left half-written is never visible, only in the way: the daily broom is here because this is
        # asked once for every writing command.
        with contextlib.suppress(OSError):
            for leftover in (self.path / _BESIDE).iterdir():
                if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                    leftover.unlink()
        return None

    def discard(self, name: str) -> None:
        if name.startswith("probe/"):
            with contextlib.suppress(OSError):
                target = self.path / checked_name(name)
                target.unlink()
                target.parent.rmdir()

    def _below(self, folder: str) -> Iterator[str]:
        """The names of all objects in a folder of the store: a log has ten thousand, so no more than text is made."""
        try:
            entries = list(os.scandir(os.path.join(self.path, folder)))
        except (FileNotFoundError, NotADirectoryError):
            return
        start = f"{folder}/" if folder else ""
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._below(start + entry.name)
            else:
                yield start + entry.name

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"The artifact store {self.path} cannot be used ({error.strerror or error}: {error.filename}); check "
                "its permissions, the disk's free space, and that the file system has hard links."
            ) from error
