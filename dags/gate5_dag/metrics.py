"""Numbers for whoever watches many runs, through the metrics that Airflow is set to send (OpenTelemetry, StatsD).

* ``gate5.stage.NAME``, a timing: what a stage took, without Airflow's own start of the task.
* ``gate5.verdict.VERDICT``, a counter: ``pass``, ``awaiting_proof``, ``fail``, ``error``.
* ``gate5.margin.RULE``, a gauge: how far a rule's measurement is on the good side, in its metric's unit.
* ``gate5.run.EVENT``, a counter: ``waiting``, ``promoted``, ``refused``, ``rolled_back``, ``broken``.

Each has the tag ``dag_id`` and, where there is one, ``channel`` and ``scenario``. A rule has a margin in each scenario;
the narrowest is sent last, so that it is the one that stays where tags are dropped (plain StatsD).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.observability.stats import Stats, normalize_name_for_stats

if TYPE_CHECKING:
    from gate5.gate.report import GateReport


@contextmanager
def timed_stage(name: str, channel: str, scenario: str | None = None) -> Iterator[None]:
    """Send what the block took, however it ends."""
    began = time.monotonic()
    try:
        yield
    finally:
        Stats.timing(_name("stage", name), 1000 * (time.monotonic() - began), tags=_tags(channel, scenario))


def judged(report: GateReport, channel: str) -> None:
    """Send a verdict and its rules' margins."""
    Stats.incr(_name("verdict", report.verdict), tags=_tags(channel))
    known = [(rule.margin, rule) for rule in report.rules if rule.margin is not None]
    for margin, rule in sorted(known, key=lambda each: -each[0]):
        Stats.gauge(_name("margin", rule.name), margin, tags=_tags(channel, rule.scenario))


def became(event: str) -> None:
    """Count what became of the current run."""
    Stats.incr(_name("run", event), tags=_tags())


def _name(kind: str, of: str) -> str:
    return f"gate5.{kind}.{normalize_name_for_stats(of, log_warning=False).replace('.', '_')}"


def _tags(channel: str | None = None, scenario: str | None = None) -> dict[str, Any]:
    dag_id = get_current_context()["dag_run"].dag_id
    tags = {"dag_id": dag_id, "channel": channel, "scenario": scenario}
    return {name: value for name, value in tags.items() if value is not None}
