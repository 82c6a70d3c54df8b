"""A candidate whose channel has moved on since it was compared is judged again, in a run of its own.

Runs go on side by side, so that another candidate may be promoted, or a person roll back, between a run's comparison
with the channel's current release and its promotion. Where nobody started the run, nobody would start it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import get_current_context

from gate5.errors import MovedOnError
from gate5.io import canonical
from gate5_dag.candidate import AFTER, PREFIX, RECEIVED, earlier_runs, unattended

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.pipeline.results import StageResult
    from gate5.workspace.artifacts import Workspace

#: So often one candidate is judged; a channel that has moved on each time is for a person to look at.
MOST = 20


def or_again(promote: Callable[..., StageResult]) -> Callable[..., StageResult]:
    """The stage, which records that another run judges the candidate again where the channel has moved on.

    A person's run, and one of a candidate that was judged ``MOST`` times, end with the stage's ``MovedOnError``.
    """

    def run(workspace: Workspace, config: ReleaseConfig) -> StageResult:
        from gate5.pipeline.promote import reject

        context = get_current_context()
        try:
            return promote(workspace, config)
        except MovedOnError as error:
            name = next_run(context)
            if not unattended(context) or name is None:
                raise
            moved = str(error).partition(": release the candidate again")[0]
            return reject(workspace, config, [f"{moved}: the run {name} judges it again"], cause="again")

    return run


def next_run(context: Mapping[str, Any]) -> str | None:
    """The name of the run that judges this run's candidate again, the same however often it is asked; ``None``: none
    does any more."""
    every = [*earlier_runs(context), str(context["dag_run"].run_id)]
    if len(every) >= MOST:
        return None
    first = every[0] if every[0].startswith(PREFIX) else f"{PREFIX}{canonical.digest(every[0])[:16]}"
    return f"{first}__{len(every) + 1}"


def start_again(reasons: list[str]) -> NoReturn:
    """End `promote` well, and start the run that judges the candidate again; skipped where that run is there."""
    from airflow.sdk.exceptions import DagRunTriggerException

    context: Any = get_current_context()
    received = context["ti"].xcom_pull(task_ids="receive", key=RECEIVED) or {}
    said = {"outcome": "judged_again", "text": reasons[0], "reasons": reasons}
    context["ti"].xcom_push(key="return_value", value=said)
    announced = {"announcement": received["announcement"]} if received.get("announcement") else {}
    conf = {
        **(context["dag_run"].conf or {}),
        "config": context["params"]["config"],
        "checkpoint": received.get("source") or context["params"]["checkpoint"],
        **announced,
        AFTER: [*earlier_runs(context), context["dag_run"].run_id],
    }
    # What Airflow's own TriggerDagRunOperator raises; no logical date, because no two runs of a DAG can have the same.
    raise DagRunTriggerException(
        trigger_dag_id=context["dag_run"].dag_id,
        dag_run_id=next_run(context) or "",
        conf=conf,
        reset_dag_run=False,
        skip_when_already_exists=True,
        wait_for_completion=False,
        allowed_states=[],
        failed_states=[],
        poke_interval=60,
        deferrable=False,
    )
