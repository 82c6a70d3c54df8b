"""Where a run comes from, ``run.json``: who started it, its name in Airflow, and the address of its page there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gate5.errors import DocumentError, WorkspaceError
from gate5.io.plain import from_plain, to_plain
from gate5.workspace.artifacts import Workspace

FILE = "run.json"


@dataclass(frozen=True)
class Origin:
    """A run of an orchestrator.

    Attributes:
        started_by: the person who started it; ``None``: a schedule or an event did.
        started_on: when, UTC, ISO 8601.
        url: its page, for a person; ``None`` where the orchestrator has none.
    """

    dag_id: str
    run_id: str
    started_by: str | None = None
    started_on: str | None = None
    url: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))


def write(workspace: Workspace, origin: Origin) -> None:
    """Note where the run comes from."""
    workspace.write_json(FILE, origin.to_dict())


def read(workspace: Workspace) -> Origin | None:
    """What was noted; ``None`` where the run comes from no orchestrator, an older version, or the note is damaged."""
    try:
        data = workspace.read_json(FILE) if workspace.exists(FILE) else None
        return None if data is None else from_plain(Origin, data, newer=True)
    except (DocumentError, WorkspaceError):
        return None
