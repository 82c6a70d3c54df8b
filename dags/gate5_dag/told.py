"""Tells people what becomes of a run, through Airflow's notifiers. Whether that works changes nothing else."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from gate5.config.site import site_config
from gate5_dag.metrics import became
from gate5_dag.origin import run_url
from gate5_dag.tasks import load_config, log, run_workspace

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.config.notify import Event, NotifyConfig

TITLES: Mapping[str, str] = {
    "waiting": "waits for an approval",
    "promoted": "promoted",
    "refused": "refused",
    "rolled_back": "rolled back",
    "broken": "broken",
    "late": "takes too long",
}
#: Apprise's kind of message for each event.
KINDS: Mapping[str, str] = {"promoted": "success", "refused": "failure", "broken": "failure"}
#: Called by Airflow when a deadline has passed.
LATE = "gate5_plugin.late.LateNotifier"
#: How long one notifier may take [s].
PATIENCE_S = 30


def tell(event: Event, sentence: str, *, verdict: str | None = None, config: ReleaseConfig | None = None) -> None:
    """Tell everybody whom the configuration names, and count it.

    Args:
        event: what happened.
        sentence: the first reason, or what was done.
        verdict: Gate 5's, where there is one.
        config: of the run; ``None``: what the run began with, else what its form says.
    """
    try:
        context: Any = get_current_context()
        became(event)
        settings = (config or config_of_run(context)).notify
        tell_about(context, settings, message(event, sentence, context["dag_run"], verdict))
    except Exception:  # noqa: BLE001 - the outcome stands whoever could be told
        log.exception("Nobody was told that this run is %s", TITLES[event])


def message(event: Event, sentence: str, run: Any, verdict: str | None) -> dict[str, str]:
    """What is told, for a notifier's fields."""
    url = run_url(run.dag_id, run.run_id) or ""
    lines = [sentence, *([f"Gate 5: {verdict}"] if verdict else []), f"run {run.run_id} of {run.dag_id}", url]
    return {
        "event": event,
        "title": f"gate5: {run.dag_id} {TITLES[event]}",
        "text": "\n".join(line for line in lines if line),
        "sentence": sentence,
        "verdict": verdict or "",
        "url": url,
        "run_id": run.run_id,
        "dag_id": run.dag_id,
    }


def tell_about(context: Mapping[str, Any], settings: NotifyConfig, said: Mapping[str, str]) -> None:
    """Call each notifier of the configuration; one that fails does not keep the others from being called."""
    if said["event"] not in settings.events:
        return
    for name, arguments in notifiers(settings, said["event"]):
        try:
            module, _, kind = name.rpartition(".")
            notifier = getattr(importlib.import_module(module), kind)(**arguments)
            with _at_most(PATIENCE_S):
                notifier({**context, "gate5": dict(said)})
        except Exception:  # noqa: BLE001 - any class may be named in the configuration
            log.exception("The notifier %s could not tell that this run is %s", name, TITLES[said["event"]])


def config_of_run(context: Mapping[str, Any]) -> ReleaseConfig:
    """What a run began with; before it has, what its form says."""
    from gate5.pipeline.stages import load_run_config

    workspace = run_workspace()
    return load_run_config(workspace) if workspace.exists("config.json") else load_config(context["params"])


def notifiers(settings: NotifyConfig, event: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Class path and arguments of each notifier that a configuration names."""
    if settings.connection is not None:
        # What is said goes in as a value of the template, never as a template.
        arguments = {"apprise_conn_id": settings.connection, "title": "{{ gate5.title }}", "body": "{{ gate5.text }}"}
        kind = {"notify_type": KINDS.get(event, "info")}
        yield "airflow.providers.apprise.notifications.apprise.AppriseNotifier", {**arguments, **kind}
    for each in settings.notifiers:
        yield each.notifier, dict(each.arguments)


def deadline() -> list[DeadlineAlert] | None:
    """The deadline of the site's configuration, where people are told of it; Airflow calls it once for a run.

    An executor that runs no callbacks (Celery's) leaves it to the triggerer.
    """
    site = site_config().config
    minutes, told = site.schedule.deadline_minutes, [list(each) for each in notifiers(site.notify, "late")]
    if minutes is None or not told or "late" not in site.notify.events:
        return None
    kind = SyncCallback if "LocalExecutor" in conf.get("core", "executor") else AsyncCallback
    call = kind(LATE, {"notifiers": told, "minutes": minutes})
    return [DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(minutes=minutes), call)]


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """End what takes longer, with an ordinary error."""
    from airflow.sdk.exceptions import AirflowTaskTimeout
    from airflow.sdk.execution_time.timeout import timeout

    try:
        with timeout(seconds):  # type: ignore[no-untyped-call]
            yield
    except AirflowTaskTimeout:
        raise TimeoutError(f"it took longer than {seconds} s") from None
