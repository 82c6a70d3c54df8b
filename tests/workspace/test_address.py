"""Where a run's workspace lies: always under the root, never another run's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gate5.errors import StoreError
from gate5.workspace.address import find_run_workspace, run_workspace_uri
from gate5.workspace.artifacts import open_workspace

names = st.text(min_size=1, max_size=250).filter(lambda text: "\0" not in text)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE5_WORKSPACES", str(tmp_path))
    return tmp_path


@given(dag_id=names, run_id=names)
@example(dag_id="policy_release", run_id="..")
@example(dag_id="..", run_id=".")
@example(dag_id="a/b", run_id="../../etc")
@example(dag_id="policy_release", run_id="x" * 250)
def test_no_name_leads_out_of_the_root(dag_id: str, run_id: str) -> None:
    root = Path(run_workspace_uri("d", "r")).parents[1]
    path = Path(run_workspace_uri(dag_id, run_id))
    assert path.parents[1] == root
    assert Path(str(path)).resolve().parents[1] == root.resolve()
    assert all(len(part.encode()) <= 255 for part in path.parts), "a file system takes no longer name"


@given(one=st.tuples(names, names), other=st.tuples(names, names))
@example(one=("a", "b/c"), other=("a/b", "c"))
@example(one=("a", "x" * 200 + "1"), other=("a", "x" * 200 + "2"))
@example(one=("a", ".x"), other=("a", "%2Ex"))
def test_different_runs_have_different_workspaces(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (run_workspace_uri(*one) == run_workspace_uri(*other)) == (one == other)


def test_looking_for_a_workspace_makes_none(root: Path) -> None:
    """A page that is asked for a run that does not exist must not fill the disk with folders."""
    assert find_run_workspace("policy_release", "never") is None
    assert list(root.iterdir()) == []


def test_a_workspace_without_a_finished_stage_is_not_there_yet(root: Path) -> None:
    workspace = open_workspace(run_workspace_uri("policy_release", "run"))
    workspace.write("checkpoint/policy.zip", b"half")
    assert find_run_workspace("policy_release", "run") is None
    workspace.write_json("records/resolve.json", {})
    found = find_run_workspace("policy_release", "run")
    assert found is not None
    assert found.uri == workspace.uri


def test_a_relative_root_starts_at_gate5s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheduler, workers and API server are started in different folders."""
    monkeypatch.setenv("GATE5_WORKSPACES", "var/workspaces")
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    assert run_workspace_uri("d", "r") == str(tmp_path / "var/workspaces/d/r")


def test_an_s3_root_that_does_not_answer_is_an_error_and_not_an_empty_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_WORKSPACES", "s3://bucket/runs/")
    assert run_workspace_uri("d", "r") == "s3://bucket/runs/d/r"
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match="s3://bucket/runs/d/r"):
        find_run_workspace("d", "r")
