"""A run as the tab shows it, in plain types: no Airflow in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ENDED = {"success", "failed"}


@dataclass(frozen=True)
class Stage:
    """One task of the run; ``state`` is Airflow's, ``waiting`` where it has none yet."""

    name: str
    state: str


@dataclass(frozen=True)
class RunStatus:
    """A run as the tab shows it.

    Attributes:
        state: the run's state in Airflow.
        release: whether it is a gate5 release at all.
        stages: its tasks in the order in which they run; skipped ones are left out.
        has_report: whether the workspace holds a report by now.
    """

    state: str
    release: bool
    stages: tuple[Stage, ...]
    has_report: bool

    @property
    def final(self) -> bool:
        return self.state in ENDED

    @property
    def missing(self) -> list[str]:
        """The stages that are not done."""
        return [stage.name for stage in self.stages if stage.state != "success"]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the page's script."""
        return {
            "state": self.state,
            "final": self.final,
            "has_report": self.has_report,
            "stages": [{"name": stage.name, "state": stage.state} for stage in self.stages],
            "missing": self.missing,
        }
