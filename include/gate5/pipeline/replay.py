"""``gate5 replay``: a worst case, driven again by a run's engine on the run's plant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate5 import engine
from gate5.errors import WorkspaceError
from gate5.pipeline import controllers, robustness
from gate5.pipeline.stages import load_run_config
from gate5.plant.judged import judged_plant
from gate5.robustness.cases import Case, read_case
from gate5.workspace.artifacts import open_workspace
from gate5.workspace.records import Tracker

#: What counts as the same margin, as a share of it: other hardware rounds another way.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Replay:
    """What a case was said to be and what it came to now.

    Attributes:
        same: whether both agree; a case that was found for another candidate has nothing to agree with.
    """

    said: Case
    now: Case
    candidate: str
    same: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"case": self.said.to_dict(), "now": self.now.to_dict(), "candidate": self.candidate, "same": self.same}

    def line(self) -> str:
        """For a person."""
        head = f"{self.now.scenario}, seed {self.now.seed}, {len(self.now.numbers)} disturbances"
        lines = [head, f"  found:  {self.said.sentence()}", f"  now:    {self.now.sentence()}"]
        if self.said.candidate != self.candidate:
            lines.append(f"  found for another candidate ({self.said.candidate[:12]}), driven by {self.candidate[:12]}")
        elif not self.same:
            lines.append("  These are not the same: the engine, the plant or gate5 is another one.")
        return "\n".join(lines)


def replay(path: Path, workspace: str | None = None) -> Replay:
    """Drive a case again.

    Args:
        path: the case's file.
        workspace: whose engine, plant and configuration; ``None``: the workspace in whose ``cases`` the file lies.

    Raises:
        WorkspaceError: the file is missing or is no case, or the workspace has no engine.
        PlantError: the plant does not declare the case's numbers.
    """
    try:
        case = read_case(path.read_bytes(), str(path))
    except OSError as error:
        raise WorkspaceError(f"The case {path} cannot be read ({error.strerror}): give a file of `cases/`.") from None
    if workspace is None and not (path.parent.parent / "config.json").exists():
        raise WorkspaceError(f"The case {path} lies in no workspace: say whose engine drives, --workspace DIR.")
    space = open_workspace(workspace or str(path.parent.parent))
    config = load_run_config(space)
    config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"sensors": case.sensors})})
    plant = judged_plant(config)
    if plant.name != case.plant:
        raise WorkspaceError(f"The case is of the plant {case.plant}, but {space.uri} is of {plant.name}.")
    tracker = Tracker(space)
    with controllers.driving_engine(tracker, config) as built:
        now, _ = robustness.replayed(plant, engine.EngineController(built), case)
    candidate = robustness.candidate_hash(tracker)
    return Replay(case, now, candidate, case.candidate != candidate or _agree(case, now))


def _agree(said: Case, now: Case) -> bool:
    if (said.constraint, said.violates) != (now.constraint, now.violates):
        return False
    if said.value_margin is None or now.value_margin is None:
        return said.value_margin is now.value_margin
    return abs(said.value_margin - now.value_margin) <= TOLERANCE * max(abs(said.value_margin), 0.1)
