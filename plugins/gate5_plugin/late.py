"""Tells people of a release that takes longer than `schedule.deadline_minutes`; Airflow's deadline alert calls it.

It lies among the plugins, because a worker and a triggerer import those whatever bundle the DAG comes from.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from airflow.sdk.bases.notifier import BaseNotifier

ENDED = ("success", "failed")
FAILED = "The notifier %s could not tell that a run is late"
_log = logging.getLogger("gate5.plugin")


class LateNotifier(BaseNotifier):
    """Calls each of ``notifiers`` with a value ``gate5`` for its templates, unless the run has ended by now.

    Airflow takes back the deadline of a run that succeeded, and not that of one that failed in time.

    Args:
        notifiers: class path and arguments of each.
        minutes: how long a release may take.
        context: of the deadline, where Airflow awaits this (in the triggerer).
    """

    def __init__(self, notifiers: Sequence[Sequence[Any]], minutes: float, context: Any = None) -> None:
        super().__init__(context=context)
        self.notifiers, self.minutes = notifiers, minutes

    def notify(self, context: Any) -> None:
        """Call them, one after the other; one that fails keeps no other from being called."""
        about = self._about(context)
        for name, arguments in self.notifiers if about else ():
            try:
                _made(name, arguments)(about)
            except Exception:  # noqa: BLE001 - any class may be named in the configuration
                _log.exception(FAILED, name)

    async def async_notify(self, context: Any) -> None:
        """The same in the triggerer; a notifier that only knows the other way is called in a thread."""
        about = self._about(context)
        for name, arguments in self.notifiers if about else ():
            try:
                try:
                    notifier = _made(name, arguments)
                    notifier.context = about
                    await notifier
                except NotImplementedError:  # a new one: the first has its templates filled in, and never twice
                    await asyncio.to_thread(_made(name, arguments), about)
            except Exception:  # noqa: BLE001 - any class may be named in the configuration
                _log.exception(FAILED, name)

    def _about(self, context: Mapping[str, Any]) -> dict[str, Any] | None:
        run = context["dag_run"]
        return None if run["state"] in ENDED else {**context, "gate5": said(run, self.minutes)}


def _made(name: str, arguments: Mapping[str, Any]) -> Any:
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(module), kind)(**arguments)


def said(run: Mapping[str, Any], minutes: float) -> dict[str, str]:
    """What a notifier's templates get, as of every other event."""
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback=None) or "").rstrip("/")
    dag_id, run_id = str(run["dag_id"]), str(run["dag_run_id"])
    url = f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}" if base else ""
    sentence = f"It has not ended {minutes:g} minutes after it was queued."
    lines = (sentence, f"run {run_id} of {dag_id}", url)
    return {
        "event": "late",
        "title": f"gate5: {dag_id} takes too long",
        "text": "\n".join(line for line in lines if line),
        "sentence": sentence,
        "verdict": "",
        "url": url,
        "run_id": run_id,
        "dag_id": dag_id,
    }
