"""A release built for another machine: what is not measured, what drives in the engine's place, what is said of it.

The engine cannot run where it was built, so nothing that it would have to show is measured or claimed: the rules about
it await the proof of its device (``gate5 prove``). The exported graph drives the plant in its place, which says
something of the policy and nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from gate5 import engine
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import GOLDEN, record_golden
from gate5.engine.base import Float32
from gate5.engine.rows import signature_of_graph
from gate5.gate.report import GateReport
from gate5.workspace.records import Tracker

#: Says why a run's engine awaits its proof; written by ``verify``, part of the release.
FILE = "awaiting.json"
#: Metrics that only the engine's own device can give.
MEASURED = ("parity.engine.", "latency.")
EPISODES = ".rl.engine_episodes"
#: Metrics that the exported graph gave in the engine's place.
DRIVEN = ("evaluation.", "worst_case.", "stress.")


class Files(Protocol):
    """A run's or a release's files."""

    def find(self, name: str) -> bytes | None: ...
    def read_json(self, name: str) -> Any: ...


def elsewhere(tracker: Tracker) -> str | None:
    """Why the engine that ``build`` made cannot run here; ``None``: it can."""
    return engine.elsewhere(tracker.read_json("engine/engine.json"))


def reason(tracker: Tracker) -> str | None:
    """Why this run's engine awaits its proof; ``None``: it was measured."""
    return None if tracker.find(FILE) is None else str(tracker.read_json(FILE)["reason"])


def write(tracker: Tracker, config: ReleaseConfig, why: str, observations: Float32) -> None:
    """What ``verify`` leaves: why it measured nothing, and golden inputs with the graph's answers."""
    metadata = tracker.read_json("engine/engine.json")
    with stand_in(tracker, config) as graph:
        signature = signature_of_graph(tracker.read("policy.onnx"))
        tracker.write(GOLDEN, record_golden(graph, observations, signature))
    driver = "the exported graph"
    found = {"reason": why, "backend": metadata["backend"], "device": metadata["device"], "driver": driver}
    tracker.write_json(FILE, found)


def rule_notes(files: Files) -> Callable[[str], str | None] | None:
    """What a rule is told whose metric only the engine's device can give; ``None``: nothing awaits."""
    if files.find(FILE) is None:
        return None
    note = f"has to be measured where the engine runs ({files.read_json(FILE)['device']}) by `gate5 prove`"

    def awaits(metric: str) -> str | None:
        return note if metric.startswith(MEASURED) or metric.endswith(EPISODES) else None

    return awaits


def without_episodes(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """The metrics, where no engine drove an episode: how many it drove is not known rather than none."""
    return {name: None if value == 0 and name.endswith(EPISODES) else value for name, value in metrics.items()}


def noted(report: GateReport) -> GateReport:
    """The report, with a note on every rule that the graph met in the engine's place."""
    note = "driven by the exported graph, not by the engine"
    rules = tuple(
        replace(rule, note="; ".join(part for part in (rule.note, note) if part))
        if rule.metric.startswith(DRIVEN) and rule.measured is not None
        else rule
        for rule in report.rules
    )
    return replace(report, rules=rules)


def stand_in(tracker: Tracker, config: ReleaseConfig) -> engine.Engine:
    """The exported graph, run by ONNX Runtime; it says of itself that it is no built engine."""
    settings = config.engine.model_copy(update={"backend": "onnxruntime"})
    built = engine.build(tracker.read("policy.onnx"), settings)
    loaded: Any = engine.load(built.blob, built.metadata, threads=config.engine.threads)
    loaded.stands_in = True
    return loaded  # type: ignore[no-any-return]
