"""What a person does to a channel through a form: the name is Airflow's login, and cannot be typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from gate5_dag.credentials import store_credentials
from gate5_dag.tasks import load_config, log, stage_errors

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig


def person() -> str:
    """Who started the run.

    Raises:
        AirflowFailException: nobody did.
    """
    run = get_current_context()["dag_run"]
    if not run.triggering_user_name:
        raise AirflowFailException(
            f"{run.dag_id} is started by a person: trigger it from the UI or the API, with a login."
        )
    return str(run.triggering_user_name)


def change(what: Callable[[ReleaseConfig, Mapping[str, Any], str], Any]) -> dict[str, Any]:
    """Change the channel of the form; ``what`` gets the configuration for it, the form and the person."""
    params = dict(get_current_context()["params"])
    by = person()
    with stage_errors():
        config = load_config(params)
        with store_credentials(config):
            done = what(config, params, by)
    log.info("%s", done.sentence)
    return dict(done.to_dict())
