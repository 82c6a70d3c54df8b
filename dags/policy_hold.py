"""
### Keeps a policy off a channel until a person lifts it

A person starts it and says why; name and reason are kept in the channel's log. What is held is what the policy
computes, with plant, target and precision: another build of the same policy is held too. A release that is current
cannot be held: roll it back, which holds it. `policy_lift` lets it in again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from gate5_dag.failed import on_failure
from gate5_dag.settings import RETRY, by_hand_params


@task(**RETRY, execution_timeout=timedelta(minutes=15))
def hold() -> dict[str, Any]:
    """Append the hold to the channel's log. Tried again, it finds its own entry and adds none."""
    from gate5 import store
    from gate5_dag.by_hand import change

    return change(
        lambda config, params, person: store.hold(
            store.open_store(config.store),
            config.release.channel,
            params["release_id"],
            by=person,
            reason=params["reason"],
        )
    )


@dag(
    dag_id="policy_hold",
    schedule=None,
    params=by_hand_params(
        "The id of the release to hold (see `gate5 history`), or an identity of 64 hexadecimal digits."
    ),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    description="Keep a policy off a channel",
    tags=["gate5"],
    default_args={"owner": "gate5", "on_failure_callback": on_failure},
)
def policy_hold() -> None:
    """One task."""
    hold()


policy_hold()
