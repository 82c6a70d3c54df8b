"""The line of stages: it is a line, and a stage that does something else than is said of it is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.models import ReleaseConfig
from gate5.errors import WorkspaceError
from gate5.pipeline.results import ExportResult
from gate5.workspace import contents
from gate5.workspace.artifacts import DirectoryWorkspace
from gate5.workspace.records import Tracker, run_stage


def test_every_file_that_is_read_has_been_written_before() -> None:
    written: set[str] = set()
    for stage in contents.STAGES:
        assert set(stage.reads) <= written, stage.name
        written |= {file.name for file in stage.writes}


def test_no_two_stages_write_the_same_file_or_share_a_name() -> None:
    names = [file.name for file in contents.files()]
    assert len(set(names)) == len(names)
    assert len({stage.name for stage in contents.STAGES}) == len(contents.STAGES)


def test_a_stage_for_each_scenario_says_so_in_its_files() -> None:
    for stage in contents.STAGES:
        for file in stage.writes:
            assert (contents.SCENARIO in file.name) == stage.per_scenario, file.name


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("policy.onnx", "export"),
        ("engine/policy.engine", "build"),
        ("evaluation/cold_startup.json", "evaluate-cold_startup"),
        ("evaluation/cold_startup.npz", "evaluate-cold_startup"),
        ("evaluation/a-b.c.json", "evaluate-a-b.c"),
    ],
)
def test_who_wrote_a_file(name: str, record: str) -> None:
    assert contents.writer(name) == record


@pytest.mark.parametrize("name", ["evaluation/.json", "evaluation/a/b.json", "policy.onnx2", "", "evaluation/x.txt"])
def test_nobody_wrote_it(name: str) -> None:
    with pytest.raises(WorkspaceError, match="No stage writes"):
        contents.writer(name)


def test_a_stage_that_writes_more_than_is_said_of_it_leaves_no_record(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path)

    def body(tracker: Tracker) -> ExportResult:
        tracker.write("another.bin", b"x")
        return ExportResult(workspace.uri, "", 0.0, 1)

    with pytest.raises(WorkspaceError, match=r"export wrote another\.bin, which workspace/contents\.py does not say"):
        run_stage(workspace, ReleaseConfig(), "export", ExportResult, body)
    assert not workspace.exists("records/export.json")


def test_what_is_released_and_what_makes_a_candidate_the_same() -> None:
    released = {file.name for file in contents.files() if file.released}
    identity = {file.name for file in contents.files() if file.identity}
    assert identity == {"config.json", "policy.onnx", "engine/policy.engine"}
    assert identity <= released
    assert {"gate.json", "parity.json", "latency.json", "comparison.json", "report.html"} <= released


def test_a_records_name_can_be_taken_apart_again() -> None:
    assert not any("-" in stage.name for stage in contents.STAGES)


def test_promotion_takes_released_files_by_name() -> None:
    """So none of them may stand for many, and none that makes a candidate the same may be left out."""
    assert not any(contents.SCENARIO in file.name for file in contents.files() if file.released)
    assert not any(file.optional for file in contents.files() if file.identity)


@given(scenario=st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True))
def test_the_writer_is_found_whatever_the_scenario_is_called(scenario: str) -> None:
    for stage in contents.STAGES:
        for file in stage.writes:
            assert contents.writer(file.name.replace(contents.SCENARIO, scenario)) == stage.record(scenario)


@pytest.mark.parametrize(
    ("record", "inputs", "outputs", "text"),
    [
        ("build", ["export.json"], [], "build read export.json"),
        ("build", ["policy.onnx"], ["policy.onnx"], "build wrote policy.onnx"),
        ("evaluate-a", ["policy.onnx"], ["evaluation/a.csv"], "evaluate-a wrote evaluation/a.csv"),
    ],
)
def test_a_stage_that_reads_or_writes_something_else_is_refused(
    record: str, inputs: list[str], outputs: list[str], text: str
) -> None:
    with pytest.raises(WorkspaceError, match=text):
        contents.check(record, inputs, outputs)
