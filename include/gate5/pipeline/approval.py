"""The record of a person's yes: who started the run, who approved, of which verdict, and what they said.

It is evidence in the run's workspace (``approval.json``), and what ``promote`` goes by: that a task was marked as done
by hand approves nothing. Names are as good as the login that they come from; a command line's are what was typed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gate5.errors import InputError, WorkspaceError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.provenance import now
from gate5.workspace import origin
from gate5.workspace.artifacts import Workspace

FILE = "approval.json"
#: Which verdict a person was asked about.
ASKED = "asked.json"


@dataclass(frozen=True)
class Approval:
    """One person's yes.

    Attributes:
        approved_by: who said it.
        at: when, UTC, ISO 8601.
        gate_sha256: of the verdict (``gate.json``) that they had before them.
        started_by: who started the run; ``None``: nobody did by hand, a schedule or an announcement did.
        comment: what they said, or ``None``.
    """

    approved_by: str
    at: str
    gate_sha256: str
    started_by: str | None
    comment: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def ask(workspace: Workspace) -> None:
    """Note which verdict a person is asked about: an answer may come a day later, and is of no other one.

    Raises:
        WorkspaceError: there is no verdict yet.
    """
    workspace.write_json(ASKED, {"gate_sha256": _verdict(workspace)})


def record(
    workspace: Workspace,
    *,
    approved_by: str,
    started_by: str | None,
    comment: str | None = None,
    asked: bool = False,
) -> Approval:
    """Write down that a person approved the verdict that is in the workspace now.

    Args:
        started_by: who started the run by hand; ``None``: nobody did. Where the run itself noted who did
            (``run.json``), that counts: whoever promotes at a prompt what Airflow ran has not started it.
        asked: it is the answer to a question (``ask``).

    Raises:
        InputError: no name is given, or the verdict is not the one that the question was about.
        WorkspaceError: there is no verdict yet.
    """
    if not approved_by.strip():
        raise InputError("An approval needs a name: give --approved-by NAME.")
    question = workspace.find(ASKED) if asked else None
    if question is not None and canonical.loads(question)["gate_sha256"] != _verdict(workspace):
        raise InputError(
            f"{approved_by} was asked about another verdict than the one that is there now: clear the task `approval`, "
            "so that the question is put again."
        )
    begun = origin.read(workspace)
    starter = started_by if begun is None else begun.started_by
    said = Approval(approved_by.strip(), now(), _verdict(workspace), starter, comment or None)
    workspace.write_json(FILE, said.to_dict())
    return said


def read(workspace: Workspace) -> Approval | None:
    """The approval of the verdict that is in the workspace now; ``None`` where nobody approved this one.

    Raises:
        WorkspaceError: the record is damaged, or there is no verdict.
    """
    data = workspace.find(FILE)
    if data is None:
        return None
    try:
        said = Approval(**canonical.loads(data))
    except (ValueError, TypeError):
        raise WorkspaceError(
            f"{FILE} in the workspace {workspace.uri} is damaged: delete it and have the run approved again."
        ) from None
    return said if said.gate_sha256 == _verdict(workspace) else None


def of(workspace: Workspace, approved_by: str | None) -> Approval | None:
    """The record of this person's approval; of anybody's, where ``approved_by`` is ``None``."""
    said = read(workspace) if workspace.find(FILE) is not None else None
    return said if said is None or approved_by in (None, said.approved_by) else None


def _verdict(workspace: Workspace) -> str:
    data = workspace.find("gate.json")
    if data is None:
        raise WorkspaceError(f"The workspace {workspace.uri} has no verdict to approve yet: run `gate5 gate` first.")
    return sha256(data)
