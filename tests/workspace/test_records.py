"""Stage records: done means done, and a changed input, output or configuration means again."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate5 import provenance
from gate5.config.models import ReleaseConfig
from gate5.errors import WorkspaceError
from gate5.workspace.artifacts import DirectoryWorkspace
from gate5.workspace.records import Tracker, read_record, run_stage

CONFIG = ReleaseConfig()


@pytest.fixture
def workspace(tmp_path: Path) -> DirectoryWorkspace:
    return DirectoryWorkspace(tmp_path / "run")


@dataclass(frozen=True)
class Found:
    """A stage's result."""

    value: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Found:
        return cls(**data)


class Stage:
    """Writes ``double`` from what ``source`` wrote, and counts how often it really ran."""

    def __init__(self) -> None:
        self.runs = 0

    def source(self, tracker: Tracker) -> Found:
        tracker.write("number", b"21")
        return Found()

    def double(self, tracker: Tracker) -> Found:
        self.runs += 1
        value = 2 * int(tracker.read("number", by="source"))
        tracker.write_json("double", value)
        return Found(value)


def test_second_run_returns_the_recorded_result(workspace: DirectoryWorkspace) -> None:
    stage = Stage()
    run_stage(workspace, CONFIG, "source", Found, stage.source)
    assert run_stage(workspace, CONFIG, "double", Found, stage.double) == Found(42)
    assert run_stage(workspace, CONFIG, "double", Found, stage.double) == Found(42)
    assert stage.runs == 1


@pytest.mark.parametrize("lost", ["number", "double"])
def test_runs_again_when_an_artifact_changed(workspace: DirectoryWorkspace, lost: str) -> None:
    stage = Stage()
    run_stage(workspace, CONFIG, "source", Found, stage.source)
    run_stage(workspace, CONFIG, "double", Found, stage.double)
    workspace.write(lost, b"7")
    if lost == "number":
        with pytest.raises(WorkspaceError, match=r"number in the workspace .* has been changed since the stage source"):
            run_stage(workspace, CONFIG, "double", Found, stage.double)
        return
    assert run_stage(workspace, CONFIG, "double", Found, stage.double) == Found(42)
    assert workspace.read_json("double") == 42


@pytest.mark.parametrize("change", ["configuration", "given"])
def test_runs_again_when_what_it_depends_on_changed(workspace: DirectoryWorkspace, change: str) -> None:
    stage = Stage()
    run_stage(workspace, CONFIG, "source", Found, stage.source)
    run_stage(workspace, CONFIG, "double", Found, stage.double, given="a")
    config = ReleaseConfig.load(None, {"parity.seed": 6}) if change == "configuration" else CONFIG
    run_stage(workspace, config, "source", Found, stage.source)
    run_stage(workspace, config, "double", Found, stage.double, given="b" if change == "given" else "a")
    assert stage.runs == 2


def test_stale_upstream_is_found_through_the_chain(workspace: DirectoryWorkspace) -> None:
    """An engine of an earlier graph must not be released with the new graph."""
    stage = Stage()
    run_stage(workspace, CONFIG, "source", Found, stage.source)
    run_stage(workspace, CONFIG, "double", Found, stage.double)

    def other(tracker: Tracker) -> Found:
        tracker.write("number", b"22")
        return Found()

    run_stage(workspace, CONFIG, "source", Found, other, given="another")
    with pytest.raises(WorkspaceError, match=r"double .* used an older number than the stage source has written"):
        Tracker(workspace, CONFIG.sha256).read("double", by="double")
    assert run_stage(workspace, CONFIG, "double", Found, stage.double) == Found(44)
    assert Tracker(workspace, CONFIG.sha256).read_json("double", by="double") == 44


def test_stages_of_two_configurations_do_not_mix(workspace: DirectoryWorkspace) -> None:
    """One episode evaluated with --set must not stand for the fifty of the run's configuration."""
    run_stage(workspace, CONFIG, "source", Found, Stage().source)
    lax = ReleaseConfig.load(None, {"evaluation.episodes": 1})
    with pytest.raises(WorkspaceError, match=r"source .* ran under another configuration"):
        run_stage(workspace, lax, "double", Found, Stage().double)


def test_stage_that_breaks_leaves_no_record(workspace: DirectoryWorkspace) -> None:
    def breaks(tracker: Tracker) -> Found:
        tracker.write("half", b"1")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run_stage(workspace, CONFIG, "breaks", Found, breaks)
    assert read_record(workspace, "breaks") is None


def test_missing_stage_is_named_with_the_command(workspace: DirectoryWorkspace) -> None:
    with pytest.raises(WorkspaceError, match=r"has no number yet: run `gate5 source --workspace"):
        run_stage(workspace, CONFIG, "double", Found, Stage().double)


def test_artifact_that_the_stage_did_not_write_does_not_count(workspace: DirectoryWorkspace) -> None:
    """A leftover file of an earlier candidate must not be taken for this one's."""
    run_stage(workspace, CONFIG, "source", Found, lambda tracker: Found())
    workspace.write("number", b"5")
    with pytest.raises(WorkspaceError, match="wrote no number"):
        run_stage(workspace, CONFIG, "double", Found, Stage().double)


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"result": {}}'])
def test_damaged_record_is_refused(workspace: DirectoryWorkspace, damage: bytes) -> None:
    workspace.write("records/source.json", damage)
    with pytest.raises(WorkspaceError, match=r"records/source.json .* is damaged"):
        read_record(workspace, "source")


@pytest.mark.parametrize("result", [{"values": 1}, [1], None])
def test_a_record_whose_result_is_another_is_refused(workspace: DirectoryWorkspace, result: Any) -> None:
    """With the way out: to run the stage again would only read the same record again."""
    run_stage(workspace, CONFIG, "source", Found, Stage().source)
    record = read_record(workspace, "source")
    assert record is not None
    workspace.write_json("records/source.json", {**record, "result": result})
    with pytest.raises(WorkspaceError, match=r"records/source.json .* is damaged .*; delete it and run"):
        run_stage(workspace, CONFIG, "source", Found, Stage().source)


def test_a_record_says_where_and_with_what_its_stage_ran(workspace: DirectoryWorkspace) -> None:
    run_stage(workspace, CONFIG, "source", Found, Stage().source)
    record = read_record(workspace, "source")
    assert record is not None
    assert record["ran"]["host"] == platform.node()
    assert record["ran"]["with"] == provenance.describe()
