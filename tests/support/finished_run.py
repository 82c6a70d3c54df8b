"""What a finished run leaves behind, for tests that take some of it away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gate5.workspace.artifacts import DirectoryWorkspace, Workspace


@dataclass
class Run:
    """A finished run, as names and bytes, so that a test can leave some out or change one."""

    artifacts: dict[str, bytes]

    def at(self, path: Path, *, without: Sequence[str] = (), changes: dict[str, bytes] | None = None) -> Workspace:
        """A workspace at ``path`` that holds the artifacts except those that start with one of ``without``."""
        workspace = DirectoryWorkspace(path)
        for name, data in (self.artifacts | (changes or {})).items():
            if not any(name.startswith(start) for start in without):
                workspace.write(name, data)
        return workspace
