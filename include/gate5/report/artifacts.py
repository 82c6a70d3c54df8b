"""What a workspace holds so far, read with the classes that wrote it; what cannot be read becomes a remark."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gate5.config.models import ReleaseConfig
from gate5.errors import Gate5Error
from gate5.evaluation import ConstraintResult, ScenarioComparison
from gate5.export import ExportReport
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.latency.report import LatencyReport
from gate5.parity.engine import ParityReport
from gate5.robustness.report import RobustnessReport
from gate5.workspace import origin
from gate5.workspace.artifacts import Workspace

T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]


@dataclass
class Artifacts:
    """A workspace's artifacts, each ``None`` (or empty) while it is missing.

    Attributes:
        problems: one sentence for each artifact that is there but cannot be read.
    """

    workspace: Workspace
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = self.workspace.list()
        self.config = self._parsed("config.json", lambda data: ReleaseConfig.parse(data, "config.json"))
        self.checkpoint: dict[str, Any] | None = self._parsed("checkpoint.json", dict)
        self.export = self._parsed("export.json", ExportReport.from_dict)
        self.engine: dict[str, Any] | None = self._parsed("engine/engine.json", dict)
        self.parity = self._parsed("parity.json", ParityReport.from_dict)
        self.latency = self._parsed("latency.json", LatencyReport.from_dict)
        self.samples = self._arrays("latency.npz")
        self.awaiting: dict[str, Any] | None = self._parsed("awaiting.json", dict)
        self.current: dict[str, Any] | None = self._parsed("current.json", dict)
        self.gate = self._parsed("gate.json", GateReport.from_dict)
        self.release: dict[str, Any] | None = self._parsed("release.json", dict)
        self.rejection: dict[str, Any] | None = self._parsed("rejection.json", dict)
        self.origin = origin.read(self.workspace)
        self.robustness = self._parsed("robustness.json", RobustnessReport.from_dict)
        found = [self._parsed(name, ScenarioComparison.from_dict) for name in self._below("evaluation/", ".json")]
        self.scenarios = sorted((row for row in found if row is not None), key=lambda row: (row.phase, row.scenario))

    def case_arrays(self, scenario: str) -> Arrays:
        """The arrays of ``cases/<scenario>.npz``, empty while it is missing."""
        return self._arrays(f"cases/{scenario}.npz")

    def constraints(self, scenario: str) -> tuple[ConstraintResult, ...]:
        """The constraints of a scenario with their limits."""
        return next((row.rl.constraints for row in self.scenarios if row.scenario == scenario), ())

    def plant_name(self) -> str:
        """The plant's name, empty before a scenario has been evaluated."""
        return self.scenarios[0].plant if self.scenarios else ""

    def quick(self) -> bool:
        """Whether the run was told to prove less."""
        return self.config is not None and self.config.evaluation.quick

    def trajectories(self, scenario: str) -> Arrays:
        """The arrays of ``evaluation/<scenario>.npz``, empty while it is missing."""
        return self._arrays(f"evaluation/{scenario}.npz")

    def worst_seed(self, scenario: str) -> int | None:
        """The seed of the worst of many episodes, whose curves are ``worst/...``; ``None`` where none were driven."""
        chances = self.robustness.chances if self.robustness else ()
        return next((chance.worst_seed for chance in chances if chance.scenario == scenario), None)

    def hash_and_size(self, name: str) -> tuple[str, int] | None:
        """SHA-256 and size in bytes of an artifact."""
        data = self.workspace.find(name) if name in self.names else None
        return None if data is None else (sha256(data), len(data))

    def done(self) -> list[str]:
        """The stages that have left their record."""
        return [name.rsplit("/", 1)[1] for name in self._below("records/", "")]

    def _below(self, prefix: str, suffix: str) -> list[str]:
        return [name.removesuffix(".json") if not suffix else name for name in self.names
                if name.startswith(prefix) and name.endswith(suffix or ".json")]  # fmt: skip

    def _parsed(self, name: str, parse: Callable[[Any], T]) -> T | None:
        if name not in self.names:
            return None
        try:
            return parse(canonical.loads(self.workspace.read(name)))
        except (Gate5Error, ValueError, TypeError, KeyError, AttributeError) as error:
            self.problems.append(f"{name} is there but cannot be read ({type(error).__name__}: {error}).")
            return None

    def _arrays(self, name: str) -> Arrays:
        if name not in self.names:
            return {}
        try:
            with np.load(io.BytesIO(self.workspace.read(name)), allow_pickle=False) as data:
                return {key: np.asarray(data[key]) for key in data.files}
        except (Gate5Error, ValueError, OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
            self.problems.append(f"{name} is there but cannot be read ({type(error).__name__}: {error}).")
            return {}
