"""Stage records: what a stage read, what it wrote and what it found, each with its SHA-256.

``records/STAGE.json`` is written after everything else that a stage writes, so it marks the stage as done. A stage
whose record is there, and whose configuration, inputs and outputs still have the recorded hashes, need not run again.
``ran`` says where and with what it ran: each stage may run on another machine.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gate5 import __version__, provenance
from gate5.config.models import ReleaseConfig
from gate5.errors import WorkspaceError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.workspace import contents
from gate5.workspace.artifacts import Workspace


class Result(Protocol):
    """What a stage returns: plain JSON types and back."""

    def to_dict(self) -> dict[str, Any]: ...

    @classmethod
    def from_dict(cls: type[R], data: dict[str, Any]) -> R: ...


R = TypeVar("R", bound=Result)


@dataclass
class Tracker:
    """What one run of a stage reads and writes; hands artifacts on and remembers their hashes.

    Attributes:
        workspace: of the run.
        config: SHA-256 of the configuration that every stage of the run must have had; ``None``: not compared.
    """

    workspace: Workspace
    config: str | None = None
    inputs: dict[str, dict[str, str | None]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def find(self, name: str, by: str | None = None) -> bytes | None:
        """The bytes of an artifact that stage ``by`` wrote, or ``None`` where that stage wrote none.

        Args:
            name: of the artifact.
            by: the record of the stage that wrote it; ``None``: the one that ``contents`` names.

        Raises:
            WorkspaceError: the stage has not run, ran under another configuration or on older inputs than there are
                now, or the artifact is not what it wrote.
        """
        by = by or contents.writer(name)
        expected = self._current(by, name)["outputs"].get(name)
        self.inputs[name] = {"by": by, "sha256": expected}
        if expected is None:
            return None
        data = self.workspace.find(name)
        if data is None or sha256(data) != expected:
            what = "is gone" if data is None else "has been changed"
            raise WorkspaceError(
                f"{name} in the workspace {self.workspace.uri} {what} since the stage {by} wrote it (sha256 "
                f"{expected[:12]}): {self._again(by)}."
            )
        return data

    def _current(self, by: str, wanted: str) -> dict[str, Any]:
        """The record of a stage that is done and up to date, all the way up to ``resolve``."""
        if by in self._records:
            return self._records[by]
        record = read_record(self.workspace, by)
        if record is None:
            raise WorkspaceError(f"The workspace {self.workspace.uri} has no {wanted} yet: {self._again(by)} first.")
        if self.config is not None and record["config"] != self.config:
            raise WorkspaceError(
                f"The stage {by} in the workspace {self.workspace.uri} ran under another configuration than this one: "
                f"{self._again(by)} with this one, or leave --config and --set out."
            )
        for name, used in record["inputs"].items():
            if self._current(used["by"], name)["outputs"].get(name) != used["sha256"]:
                raise WorkspaceError(
                    f"The stage {by} in the workspace {self.workspace.uri} used an older {name} than the stage "
                    f"{used['by']} has written since: {self._again(by)}."
                )
        self._records[by] = record
        return record

    def _again(self, stage: str) -> str:
        return f"run `gate5 {stage.partition('-')[0]} --workspace {self.workspace.uri}`"

    def read(self, name: str, by: str | None = None) -> bytes:
        """Like ``find``, but an artifact that the stage did not write is an error."""
        data = self.find(name, by)
        if data is None:
            raise WorkspaceError(
                f"The stage {by or contents.writer(name)} wrote no {name} into the workspace {self.workspace.uri}."
            )
        return data

    def read_json(self, name: str, by: str | None = None) -> Any:
        """A JSON artifact of an earlier stage."""
        return canonical.loads(self.read(name, by))

    def write(self, name: str, data: bytes) -> None:
        """Write an artifact and remember its hash."""
        self.outputs[name] = self.workspace.write(name, data)

    def write_json(self, name: str, value: Any) -> None:
        """Write plain JSON types and remember the hash."""
        self.write(name, canonical.dumps(value))


def read_record(workspace: Workspace, stage: str) -> dict[str, Any] | None:
    """The record of a stage, or ``None`` where the stage is not done."""
    data = workspace.find(f"records/{stage}.json")
    if data is None:
        return None
    try:
        record = canonical.loads(data)
        if not isinstance(record, dict) or not {"inputs", "outputs", "result", "key", "config"} <= record.keys():
            raise ValueError("fields are missing")
    except ValueError as error:
        raise WorkspaceError(
            f"records/{stage}.json in the workspace {workspace.uri} is damaged ({error}); "
            "delete it and run the stage again."
        ) from None
    return record


def run_stage(
    workspace: Workspace,
    config: ReleaseConfig,
    stage: str,
    kind: type[R],
    body: Callable[[Tracker], R],
    given: Any = None,
) -> R:
    """The result of ``body``, or the recorded one where the same has been done before.

    Args:
        stage: the record's name (``evaluate-load_rejection``).
        kind: the class of the result.
        body: does the work through the tracker.
        given: anything else that the outcome depends on, as plain JSON types (a scenario, a source's hash).

    Raises:
        WorkspaceError: an input is missing or stale, or the stage read or wrote what ``contents`` does not say of it.
    """
    key = canonical.digest({"config": config.plain(), "gate5": __version__, "given": given})
    record = read_record(workspace, stage)
    if record is not None and record["key"] == key and _unchanged(workspace, record):
        try:
            return kind.from_dict(dict(record["result"]))
        except (TypeError, ValueError) as error:
            why = str(error).partition(": the document")[0]
            raise WorkspaceError(
                f"records/{stage}.json in the workspace {workspace.uri} is damaged ({why}); "
                "delete it and run the stage again."
            ) from None
    tracker = Tracker(workspace, config.sha256)
    result = body(tracker).to_dict()
    contents.check(stage, tracker.inputs, tracker.outputs)
    workspace.write_json(
        f"records/{stage}.json",
        {
            "stage": stage,
            "key": key,
            "config": config.sha256,
            "inputs": tracker.inputs,
            "outputs": tracker.outputs,
            "result": result,
            "ran": {"ended": provenance.now(), "host": platform.node(), "with": provenance.describe()},
        },
    )
    return kind.from_dict(result)


def _unchanged(workspace: Workspace, record: dict[str, Any]) -> bool:
    """Whether everything that the stage read and wrote still has the recorded hash."""
    hashes = {name: used["sha256"] for name, used in record["inputs"].items()} | record["outputs"]
    for name, expected in hashes.items():
        if expected is None:
            continue
        data = workspace.find(name)
        if data is None or sha256(data) != expected:
            return False
    return True
