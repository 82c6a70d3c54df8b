"""A channel has moved: people are told, and DAGs that follow the asset ``gate5_release`` start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from gate5.errors import Gate5Error
from gate5.io import canonical
from gate5_dag.settings import RELEASE
from gate5_dag.tasks import check_freeze, log, run_workspace, tried_before
from gate5_dag.told import tell

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.pipeline.results import StageResult
    from gate5.workspace.artifacts import Workspace

#: In the run's workspace: the entry that people were told of.
TOLD = "moved.json"


def no_event(context: Any) -> None:
    """Airflow emits an event on each outlet of a task that succeeded; this one has none until ``tell_moved``."""
    context["task"].outlets = []


#: Arguments of a task that may move a channel. No alias: of an alias Airflow makes the asset when the first event
#: comes, and where two come at once it marks one of the tasks as failed, for good, although its work is done.
EMITS: dict[str, Any] = {"outlets": [RELEASE], "pre_execute": no_event}


def once(promote: Callable[..., StageResult]) -> Callable[..., StageResult]:
    """The stage, or what an earlier try of this task did before it was killed or its report was lost."""

    def run(workspace: Workspace, config: ReleaseConfig) -> StageResult:
        from gate5.pipeline.promote import promoted_before

        found = promoted_before(workspace, config) if tried_before() else None
        if found is not None:
            return found
        check_freeze(config)
        return promote(workspace, config)

    return run


def tell_moved(done: Mapping[str, Any], config: ReleaseConfig, verdict: str | None = None) -> None:
    """Say what was done; where nothing was, nobody is told and no event is emitted. People are told once of an entry.

    The task has ``EMITS``. The event's extra has ``release``, ``channel``, ``entry`` (its number in the log) and
    ``kind`` (``promote`` or ``rollback``).

    Args:
        done: ``outcome``, ``channel``, ``sequence``, ``sentence``, and ``release`` or ``release_id``.
    """
    kinds = {"promoted": "promote", "rolled_back": "rollback"}
    if done["outcome"] not in kinds:
        return
    context: Any = get_current_context()
    release = done.get("release_id") or done.get("release")
    extra = {"release": release, "channel": done["channel"], "entry": done["sequence"], "kind": kinds[done["outcome"]]}
    context["task"].outlets = [RELEASE]
    context["outlet_events"][RELEASE].extra = extra
    about = {"channel": done["channel"], "entry": done["sequence"]}
    if told_of() == about:  # by a try whose report to Airflow was lost
        return
    tell(
        "promoted" if done["outcome"] == "promoted" else "rolled_back", done["sentence"], verdict=verdict, config=config
    )
    try:
        run_workspace().write_json(TOLD, about)
    except (Gate5Error, OSError):
        log.exception("Another try of this task would tell people again")


def told_of() -> dict[str, Any] | None:
    """``channel`` and ``entry`` that people were told of in this run; ``None``: of none, or it cannot be read."""
    try:
        data = run_workspace().find(TOLD)
        found = None if data is None else canonical.loads(data)
    except (Gate5Error, OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"channel", "entry"} <= set(found) else None
