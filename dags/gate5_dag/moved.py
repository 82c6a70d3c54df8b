"""A channel has moved: people are told, and DAGs that follow the asset ``gate5_release`` start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from gate5_dag.settings import RELEASE, RELEASES
from gate5_dag.told import tell

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig


def tell_moved(done: Mapping[str, Any], config: ReleaseConfig, verdict: str | None = None) -> None:
    """Say what was done; where nothing was, nobody is told and no event is emitted.

    The task has ``outlets=[RELEASES]``. The event's extra has ``release``, ``channel``, ``entry`` (its number in the
    log) and ``kind`` (``promote`` or ``rollback``).

    Args:
        done: ``outcome``, ``channel``, ``sequence``, ``sentence``, and ``release`` or ``release_id``.
    """
    kinds = {"promoted": "promote", "rolled_back": "rollback"}
    if done["outcome"] not in kinds:
        return
    context: Any = get_current_context()
    release = done.get("release_id") or done.get("release")
    extra = {"release": release, "channel": done["channel"], "entry": done["sequence"], "kind": kinds[done["outcome"]]}
    context["outlet_events"][RELEASES].add(RELEASE, extra=extra)
    tell(
        "promoted" if done["outcome"] == "promoted" else "rolled_back", done["sentence"], verdict=verdict, config=config
    )
