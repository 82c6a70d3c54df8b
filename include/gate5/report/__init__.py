"""The HTML report of a run: verdict, rules, candidate, engine, parity, latency, policy against PID, provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gate5.workspace.artifacts import Workspace

__all__ = ["render"]


def render(workspace: Workspace) -> str:
    """One self-contained HTML page of whatever the workspace holds so far."""
    from gate5.report.page import render as draw

    return draw(workspace)
