"""
### Trains a candidate and announces it, if it is new and sane

`train` makes a policy on the configuration's plant; killed, it goes on from its last saved state at the next try.
`quick_check` lets it drive a few episodes of every scenario: one that crashes the solver, gives actions that are no
numbers or ends an episode before its time **fails the run**. `announce` is **skipped** where the same policy was
announced or released before; else it emits an event on the asset `gate5_candidate`, with address and hashes, and the
DAG `policy_release` starts on it. Whether the policy is good enough is said there, by Gate 5.

It runs by hand, and on `retrain.cron` of the configuration. Each run has a seed of its own, which follows from the
run's name, unless `retrain.seed` is set. The candidate lies in `retrain.folder`, in a folder of the run's name.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from gate5_dag.failed import on_failure
from gate5_dag.settings import CANDIDATE, RETRY, TRAIN, TRAIN_RETRY, retrain_params, retrain_schedule


@task(**TRAIN, **TRAIN_RETRY, execution_timeout=timedelta(hours=6))
def train() -> dict[str, Any]:
    """Train a policy into the run's folder. A second try goes on where the first was killed or ran out of time."""
    from gate5.train import retrain
    from gate5_dag.tasks import log, stage_errors
    from gate5_dag.training import begin_candidate, training_progress

    run_id = get_current_context()["dag_run"].run_id
    with stage_errors():
        config, uri = begin_candidate()
        result = retrain.train_candidate(config, uri, retrain.seed_of(config, run_id), training_progress())
    log.info("%s", result.line())
    return result.to_dict()


@task(**RETRY, execution_timeout=timedelta(minutes=30))
def quick_check(candidate: dict[str, Any]) -> dict[str, Any]:
    """Read the candidate without running code from it and let it drive a few episodes of every scenario."""
    from gate5.train import retrain
    from gate5_dag.tasks import log, note, stage_errors
    from gate5_dag.training import begin_candidate

    with stage_errors():
        config, _ = begin_candidate()
        checked = retrain.quick_check(config, candidate["uri"])
    log.info("%s", checked.line())
    if checked.reasons:
        get_current_context()["ti"].xcom_push(key="reasons", value=checked.reasons)
        said = "Not announced: " + "; ".join(checked.reasons)
        note({"kind": "NotSane", "text": said, "exit_code": 1})
        raise AirflowFailException(said)
    return checked.to_dict()


@task(**RETRY, execution_timeout=timedelta(minutes=15))
def find_earlier(candidate: dict[str, Any]) -> str | None:
    """Look for the same policy among the releases of the channel."""
    from gate5.train import retrain
    from gate5_dag.credentials import store_credentials
    from gate5_dag.tasks import stage_errors
    from gate5_dag.training import begin_candidate

    with stage_errors():
        config, _ = begin_candidate()
        with store_credentials(config):
            return retrain.released(config, retrain.Trained.from_dict(candidate))


# The event is emitted when the task has succeeded, and then there is no further try.
@task(inlets=[CANDIDATE], outlets=[CANDIDATE], **RETRY, execution_timeout=timedelta(minutes=15))
def announce(
    candidate: dict[str, Any], earlier: str | None, inlet_events: Any = None, outlet_events: Any = None
) -> dict[str, Any]:
    """Emit the asset event that starts the release, unless the same policy was announced or released before."""
    from gate5.train import retrain
    from gate5_dag.tasks import log

    found, context = retrain.Trained.from_dict(candidate), get_current_context()
    recent = inlet_events[CANDIDATE].ascending(False).limit(500)
    earlier = earlier or retrain.known(found, [dict(event.extra or {}) for event in recent])
    if earlier is not None:
        raise AirflowSkipException(f"Not announced: this policy is not new. {earlier}")
    extra = found.announcement(f"{context['dag_run'].dag_id} {context['dag_run'].run_id}")
    outlet_events[CANDIDATE].extra = extra
    log.info("announced %s", found.line())
    return extra


@dag(
    dag_id="policy_retrain",
    schedule=retrain_schedule(),
    params=retrain_params(),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    description="Train a candidate; if it is new and sane, start its release",
    tags=["gate5"],
    default_args={"owner": "gate5", "on_failure_callback": on_failure},
)
def policy_retrain() -> None:
    """Wire the steps."""
    candidate = train()
    checked = quick_check(candidate)  # type: ignore[arg-type]  # an XComArg stands for its value
    earlier = find_earlier(candidate)  # type: ignore[arg-type]
    checked >> earlier
    announce(candidate, earlier)  # type: ignore[arg-type]


policy_retrain()
