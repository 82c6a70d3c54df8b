"""What the tasks of policy_retrain share: the run's candidate, and a training that says where it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

from gate5_dag.tasks import load_config, log

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig

SECONDS = 10.0


def begin_candidate() -> tuple[ReleaseConfig, str]:
    """The configuration that the run began with, and the address of its candidate."""
    from gate5.train import retrain

    context = get_current_context()
    config = load_config(context["params"])
    uri = retrain.candidate_uri(config, context["dag_run"].run_id)
    return retrain.freeze(config, uri), uri


def training_progress() -> Callable[[str, float], None]:
    """A log line where the work changes, and every few seconds."""
    said = ("", 0.0)

    def say(text: str, share: float) -> None:
        nonlocal said
        work, now = text.split(",")[0], time.monotonic()
        if work != said[0] or now - said[1] >= SECONDS:
            said = (work, now)
            log.info("%s (%.0f %%)", text, 100 * share)

    return say
