"""Files that appear whole or not at all, and that survive a power cut."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from gate5.errors import StoreError, StoreInputError
from gate5.io.together import together


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any instant, sees the old bytes or the new ones, never a part."""
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    sync_directory(target.parent)


def write_pieces(target: Path, pieces: Iterable[bytes]) -> None:
    """Write a file piece by piece and sync it, but not its name (``sync_folders``); it is complete only afterwards."""
    with target.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def create_exclusively(target: Path, data: bytes, beside: Path, mode: int = 0o644) -> bool:
    """Create a file with these bytes if no file of this name exists; returns whether this call created it.

    The bytes are written and synced under another name in ``beside`` (same file system) and then linked: ``link(2)`` is
    the one call that makes a complete file visible and fails where the name is taken, in one step.

    Raises:
        OSError: the file system refused; it has no hard links, for one.
    """
    handle, name = tempfile.mkstemp(dir=beside)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, target)
            created = True
        except FileExistsError:
            # Over NFS a link whose answer was lost is sent again and then finds its own work: two links say so.
            created = os.stat(name).st_nlink > 1
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    sync_directory(target.parent)
    return created


def make_directory(path: Path) -> None:
    """Make a directory and its parents, each one synced into its parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                raise
        sync_directory(folder.parent)


def sync_directory(path: Path) -> None:
    """Make a rename or link in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(folder: Path, top: Path) -> None:
    """Make all names below a folder survive a power cut, and the folder's own, in every folder up to ``top``."""
    above = folder.parents[: folder.parents.index(top) + 1]
    below = (Path(place) for place, _, _ in os.walk(folder))
    together([partial(sync_directory, place) for place in (*above, *below)])


def replace_link(link: Path, target: str) -> None:
    """Point a symbolic link somewhere else in one step."""
    beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    beside.symlink_to(target)
    beside.replace(link)
    sync_directory(link.parent)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[Path]:
    """Make a folder and hold it against another process that does the same.

    Raises:
        StoreInputError: it cannot be made or written.
        StoreError: another process holds it, or the file system failed meanwhile.
    """
    import fcntl  # POSIX alone has it; the module is imported elsewhere too

    try:
        make_directory(root)
        handle = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreInputError(f"{root} cannot be used ({error.strerror}); give a folder that can be written.") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"Another process is at work in {root}; wait for its end.") from None
        yield root
    except OSError as error:
        raise StoreError(f"{root} cannot be used ({error}); check the disk's free space and permissions.") from error
    finally:
        os.close(handle)
