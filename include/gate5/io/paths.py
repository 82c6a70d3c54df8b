"""Where relative paths of a configuration start."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder that relative paths in a configuration start from: ``$GATE5_HOME``, else the current folder."""
    return Path(os.environ.get("GATE5_HOME") or ".").absolute()


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """An absolute path; a relative one starts at ``home()``."""
    return (home() / Path(path).expanduser()).absolute()
