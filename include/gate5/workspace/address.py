"""Where the workspace of an orchestrated run lies, so that every task, the UI and a person find the same one.

The address follows from the DAG's and the run's name alone; nothing has to be handed from task to task.
``$GATE5_WORKSPACES`` (a directory or ``s3://BUCKET/PREFIX``, default ``var/workspaces``) must be the same on every
worker.
"""

from __future__ import annotations

import os

from gate5.io.names import path_segment
from gate5.io.paths import resolve_path
from gate5.io.s3 import make_client
from gate5.workspace.artifacts import Workspace, open_workspace


def workspaces_root() -> str:
    """The directory or S3 prefix under which the workspaces of all runs lie."""
    root = os.environ.get("GATE5_WORKSPACES") or "var/workspaces"
    return root.rstrip("/") if "://" in root else str(resolve_path(root))


def run_workspace_uri(dag_id: str, run_id: str) -> str:
    """The workspace of one run; different runs have different ones, whatever characters their names have."""
    return f"{workspaces_root()}/{path_segment(dag_id)}/{path_segment(run_id)}"


def find_run_workspace(dag_id: str, run_id: str) -> Workspace | None:
    """The workspace of a run, or ``None`` where nothing has been written to it yet (and none is made).

    For people who wait for what it holds: an S3 server that does not answer is given up within ten seconds.
    """
    uri = run_workspace_uri(dag_id, run_id)
    if "://" not in uri and not os.path.isdir(uri):
        return None
    workspace = open_workspace(uri, make_client(hurry=True) if "://" in uri else None)
    return workspace if workspace.list("records/") else None
