"""A run as the tab shows it, in plain types: no Airflow in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gate5.report.outcome import Outcome

ENDED = {"success", "failed"}
#: States of a task that will not run any more, and did not.
NOT_TO_RUN = {"skipped", "removed", "upstream_failed"}
#: The tasks after the verdict: which of them run is what is decided there.
DECISION = ("decide", "approval", "promote", "reject")


@dataclass(frozen=True)
class Stage:
    """One task of the run; ``state`` is Airflow's, ``waiting`` where it has none yet.

    Attributes:
        task: the task's id.
        name: the same for a reader, with the scenario.
        text: what it measured, or the sentence with which it failed.
    """

    task: str
    name: str
    state: str
    text: str = ""


@dataclass(frozen=True)
class RunStatus:
    """A run as the tab shows it.

    Attributes:
        state: the run's state in Airflow.
        release: whether it is a gate5 release at all.
        stages: its tasks in the order in which they run; what will not run is left out.
        has_report: whether there is a report by now.
        outcome: what became of it; ``None`` while that is open.
        started_by: the person who started it.
        links: names and addresses within Airflow.
    """

    state: str
    release: bool
    stages: tuple[Stage, ...]
    has_report: bool
    outcome: Outcome | None = None
    started_by: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        """Whether it waits for a person."""
        return not self.final and any(stage.state == "awaiting_input" for stage in self.stages)

    @property
    def missing(self) -> list[str]:
        """What is still to come; nothing where the run has ended, and one word for what is decided after the gate."""
        if self.final:
            return []
        open_ = [stage for stage in self.stages if stage.state not in ("success", "failed")]
        names = [stage.name for stage in open_ if stage.task not in DECISION]
        rest = [stage.task for stage in open_ if stage.task in DECISION]
        if "promote" in rest and "reject" in rest:
            return [*names, "the decision"]
        return [*names, *rest]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the page's script."""
        return {
            "state": self.state,
            "final": self.final,
            "waits": self.waits,
            "has_report": self.has_report,
            "stages": [asdict(stage) for stage in self.stages],
            "missing": self.missing,
            "links": dict(self.links),
            "outcome": None if self.outcome is None else _shown(self.outcome),
        }


def _shown(found: Outcome) -> dict[str, Any]:
    return {**asdict(found), "word": found.word, "colour": found.colour}
