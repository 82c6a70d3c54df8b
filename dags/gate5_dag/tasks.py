"""How a task runs a stage: the run's workspace, one log line, and errors that retry only where a retry can help."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from gate5.errors import EngineError, Gate5Error, StoreError

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.gate.report import GateReport
    from gate5.pipeline.results import StageResult
    from gate5.workspace.artifacts import Workspace

log = logging.getLogger("gate5.dag")

#: What may be better a minute later: a store or network that does not answer, an accelerator that is busy.
TRANSIENT = (StoreError, EngineError)


def run_workspace() -> Workspace:
    """The workspace of the run that the current task belongs to."""
    from gate5.workspace.address import run_workspace_uri
    from gate5.workspace.artifacts import open_workspace

    run = get_current_context()["dag_run"]
    return open_workspace(run_workspace_uri(run.dag_id, run.run_id))


def perform(stage: Callable[..., StageResult], *arguments: Any, **named: Any) -> dict[str, Any]:
    """Run a stage on the run's workspace with the configuration that the run started with.

    Args:
        stage: one of ``gate5.workspace.contents``; the task has its name.
        arguments: the scenario, of a stage that runs once for each.
        named: what else it takes.

    Returns:
        The stage's result as plain JSON types: hashes, counts and the workspace's address, never data.

    Raises:
        AirflowFailException: the input is wrong or the stage cannot succeed on the same input; no retry follows.
        Gate5Error, OSError: something broke that a retry may find working.
    """
    from gate5.pipeline.stages import load_run_config
    from gate5_dag.metrics import timed_stage

    name = get_current_context()["ti"].task_id
    with stage_errors():
        workspace = run_workspace()
        config = load_run_config(workspace)
        with timed_stage(name, config.release.channel, *map(str, arguments)):
            result = stage(workspace, config, *arguments, **named)
    log.info("%s", result.line())
    return result.to_dict()


@contextmanager
def stage_errors() -> Iterator[None]:
    """Note the error as a sentence for whoever watches the run, and decide whether Airflow may try again."""
    try:
        yield
    except (AirflowFailException, AirflowSkipException):
        raise
    except TRANSIENT as error:
        note_error(error)
        raise
    except Gate5Error as error:
        note_error(error)
        raise AirflowFailException(str(error)) from None
    except Exception as error:
        note_error(error)
        raise


def tried_before() -> bool:
    """Whether a try went before this one since the run began or the task was cleared: nobody knows how far it came."""
    ti: Any = get_current_context()["ti"]
    return int(ti.try_number) > int(ti.max_tries) - int(ti.task.retries) + 1


def note_error(error: Exception) -> None:
    """Leave kind, sentence and exit code of an error in the task's XCom ``error``."""
    text = str(error) if isinstance(error, Gate5Error) else f"{type(error).__name__}: {error}"
    code = error.exit_code if isinstance(error, Gate5Error) else 3
    note({"kind": type(error).__name__, "text": text[:4000], "exit_code": code})


def note(error: Mapping[str, Any]) -> None:
    """Leave ``kind``, ``text`` and ``exit_code`` of an error in the task's XCom ``error``."""
    get_current_context()["ti"].xcom_push(key="error", value=dict(error))


def load_config(params: Mapping[str, Any]) -> ReleaseConfig:
    """The configuration file of the trigger form, and what the form tightens in it.

    Where it is not the site's own (``GATE5_CONFIG``) and has the same store, what the site's demands of the channel
    holds as well: whoever chooses another file in the form chooses no laxer channel.
    """
    from gate5.config.models import ReleaseConfig
    from gate5.config.site import binding
    from gate5.io.paths import resolve_path
    from gate5_dag.settings import overrides

    path = resolve_path(params["config"])
    config = ReleaseConfig.load_form(path, overrides(dict(params)))
    site = binding(config, path)
    for demands in () if site is None else site.demands(config.release.channel):
        config = config.demanding(demands)
    return config


def check_freeze(config: ReleaseConfig) -> None:
    """Refuse where the channel was frozen after the run began: the run's own configuration is older than that.

    A file that is gone freezes nothing any more; what the site's file says of a channel of the same store stands.

    Raises:
        RefusedError: it is frozen now.
        ConfigError: the file can no longer be read.
    """
    from gate5.config.site import held_to_site
    from gate5.io.paths import resolve_path
    from gate5.pipeline import promote

    params = get_current_context()["params"]
    path = resolve_path(params["config"])
    now = load_config(params) if path.exists() else held_to_site(config, path)
    promote.check_freeze(now, config.release.channel)


def verdict_of_run() -> str:
    """Gate 5's verdict on the run, as ``judgement_of_run`` has it."""
    return judgement_of_run().verdict


def judgement_of_run() -> GateReport:
    """What the gate said on what is in the workspace now: the evidence, and not what state a task is in.

    Raises:
        WorkspaceError: the gate has not spoken, or something was measured again since.
    """
    from gate5.gate.report import GateReport
    from gate5.pipeline.stages import load_run_config
    from gate5.workspace.records import Tracker

    workspace = run_workspace()
    tracker = Tracker(workspace, load_run_config(workspace).sha256)
    return GateReport.from_dict(tracker.read_json("gate.json"))


def refusal() -> dict[str, Any]:
    """What a person's answer adds to the gate's reasons, and whose it is; nothing where the gate itself said no."""
    from gate5.config.verdicts import RELEASED

    with stage_errors():
        if verdict_of_run() not in RELEASED:
            return {}
    ti: Any = get_current_context()["ti"]
    name, comment = (ti.xcom_pull(task_ids="approval", key=key) for key in ("answered_by", "comment"))
    if name:
        return {"reasons": [f"{name} answered Reject"], "cause": "person", "by": str(name), "comment": comment}
    return {"reasons": ["nobody answered Promote in time"], "cause": "silence"}


def refresh_report() -> None:
    """Write the report again now that the outcome is known; what has been decided stands even where that fails."""
    from gate5.pipeline import stages

    try:
        perform(stages.report)
    except Exception:
        log.exception("The report of this run shows no outcome: it could not be written again")
