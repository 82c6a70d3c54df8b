"""
### Puts an earlier release of a channel back

A person starts it and says why; name and reason are kept in the channel's log, which is only ever appended to. Nothing
is deleted: the release that was current stays in the store and can be put back the same way. Without a release id, the
release before the current one is taken. The run is done when the channel has moved; plants that follow the channel take
it with their next `gate5 pull`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from gate5_dag.failed import on_failure
from gate5_dag.moved import EMITS
from gate5_dag.settings import RETRY, config_param

PARAMS = {
    "reason": Param(
        type="string",
        minLength=3,
        title="Reason",
        description="Why; it is kept in the channel's log for good.",
    ),
    "release_id": Param(
        None,
        type=["null", "string"],
        title="Release",
        description="The release to put back (the page Releases lists them). Empty: the one before the current.",
    ),
    "channel": Param(
        None,
        type=["null", "string"],
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        title="Channel",
        description="Empty: what the configuration says.",
    ),
    "config": config_param(),
}


@task(**EMITS, **RETRY, execution_timeout=timedelta(minutes=15))
def rollback() -> dict[str, Any]:
    """Append the rollback to the channel's log. Tried again, it finds its own entry and adds none."""
    from gate5 import store
    from gate5_dag.by_hand import person
    from gate5_dag.credentials import store_credentials
    from gate5_dag.moved import tell_moved
    from gate5_dag.tasks import load_config, log, stage_errors

    context = get_current_context()
    params, run = context["params"], context["dag_run"]
    by = person()
    with stage_errors():
        config = load_config(params)
        with store_credentials(config):
            done = store.rollback(
                store.open_store(config.store),
                config.release.channel,
                params["release_id"],
                by=by,
                reason=params["reason"],
                request=run.run_id,
            )
    log.info("%s", done.sentence)
    tell_moved(done.to_dict(), config)
    return done.to_dict()


@dag(
    dag_id="policy_rollback",
    schedule=None,
    params=PARAMS,
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    description="Put an earlier release of a channel back",
    tags=["gate5"],
    default_args={"owner": "gate5", "on_failure_callback": on_failure},
)
def policy_rollback() -> None:
    """One task."""
    rollback()


policy_rollback()
