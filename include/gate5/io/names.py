"""Names that lead nowhere else: of artifacts in a workspace, of files in a release, of objects in a store."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from urllib.parse import quote

_LONGEST_SEGMENT = 180
_LONGEST_PART = 255  # bytes, what file systems take


def is_plain_path(name: str) -> bool:
    """Whether ``name`` is a relative path that stays where it is put, the same in a directory and in S3.

    It is not empty or absolute, is in its shortest form, is text that can be shown on one line, has no backslash, and
    none of its parts begins with a dot (``..`` climbs out, others are hidden) or is too long for a file system.
    """
    path = PurePosixPath(name)
    if not name.isprintable() or "\\" in name or path.is_absolute() or str(path) != name:
        return False
    return bool(path.parts) and all(
        not part.startswith(".") and len(part.encode()) <= _LONGEST_PART for part in path.parts
    )


def path_segment(name: str) -> str:
    """``name`` as one path segment: nothing in it can climb, collide or be too long for a file system."""
    plain = quote(name, safe="")
    if plain.startswith("."):
        plain = "%2E" + plain[1:]
    if len(plain) <= _LONGEST_SEGMENT:
        return plain
    return f"{plain[: _LONGEST_SEGMENT - 65]}~{hashlib.sha256(name.encode()).hexdigest()}"
