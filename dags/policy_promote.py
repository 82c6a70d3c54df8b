"""
### Promotes a release from one channel to another

The same signed release: nothing is built and nothing is measured again. `check` holds its evidence to what the other
channel demands (rules, SLA, scenarios, episodes, backend, freeze, holds), before anybody is asked. Where that channel
asks for a person, `approval` asks its approvers; then the release is **promoted**, or **rejected**: a failed run.

A person starts it. With `two_person` on the other channel that person cannot approve it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowFailException

from gate5_dag.approval import ChannelApproval
from gate5_dag.failed import on_failure
from gate5_dag.moved import EMITS
from gate5_dag.settings import RETRY, channel_param, config_param

PARAMS = {
    "release_id": Param(
        None,
        type=["null", "string"],
        title="Release",
        description="Its id (see `gate5 history`); empty: the current release of the channel that it comes from.",
    ),
    "from_channel": channel_param("From channel"),
    "to_channel": Param(type="string", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", title="To channel"),
    "comment": Param(
        None,
        type=["null", "string"],
        maxLength=2000,
        title="Comment",
        description="Kept in the log where nobody is asked.",
    ),
    "config": config_param(),
}


@task.branch(**RETRY, execution_timeout=timedelta(minutes=15))
def check() -> str:
    """Find the release, hold it to what the channel demands, and say whether a person is asked."""
    from gate5_dag.between import check_release

    return "approval" if check_release() else "promote"


@task(
    trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    **EMITS,
    **RETRY,
    execution_timeout=timedelta(minutes=15),
)
def promote() -> dict[str, Any]:
    """Append the promotion to the channel's log. Doing it again finds the entry that is there."""
    from gate5_dag.between import promote_release

    return promote_release()


@task(retries=0, execution_timeout=timedelta(minutes=5))
def reject() -> None:
    """A refusal is never a green run."""
    from gate5_dag.between import refusal_between

    raise AirflowFailException(refusal_between())


@dag(
    dag_id="policy_promote",
    schedule=None,
    params=PARAMS,
    catchup=False,
    max_active_runs=4,
    doc_md=__doc__,
    description="Promote a release from one channel to another",
    tags=["gate5"],
    default_args={"owner": "gate5", "on_failure_callback": on_failure},
)
def policy_promote() -> None:
    """Wire the tasks."""
    ask = ChannelApproval(
        task_id="approval", promote="promote", reject="reject", retries=0, doc_md=ChannelApproval.__doc__
    )
    decision, promoted, rejected = check(), promote(), reject()
    decision >> [ask, promoted]
    ask >> [promoted, rejected]


policy_promote()
