"""
### Lifts a hold: a policy that was rolled back, rejected or held may come to a channel again

A person starts it and says why; name and reason are kept in the channel's log. Lifting promotes nothing: the next run
of the policy, or `policy_promote`, does that if the channel's rules say yes. `gate5 hold` lists what is held.
Where the channel names approvers, one of them has to start it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from gate5_dag.failed import on_failure
from gate5_dag.settings import RETRY, by_hand_params


@task(**RETRY, execution_timeout=timedelta(minutes=15))
def lift() -> dict[str, Any]:
    """Append the lift to the channel's log."""
    from gate5.pipeline.lift import lift
    from gate5_dag.by_hand import change

    return change(
        lambda config, params, person: lift(
            config, config.release.channel, params["release_id"], by=person, reason=params["reason"]
        )
    )


@dag(
    dag_id="policy_lift",
    schedule=None,
    params=by_hand_params("The id of a held release, or the first digits of a held identity (see `gate5 hold`)."),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    description="Let a held policy in again",
    tags=["gate5"],
    default_args={"owner": "gate5", "on_failure_callback": on_failure},
)
def policy_lift() -> None:
    """One task."""
    lift()


policy_lift()
