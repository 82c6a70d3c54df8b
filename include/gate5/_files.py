"""Files that appear whole or not at all, and that survive a power cut."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


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
