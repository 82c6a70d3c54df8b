"""The record of a person's yes: of one verdict, and of the person who started the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate5.config.channel import refused_person
from gate5.errors import InputError, WorkspaceError
from gate5.pipeline import approval
from gate5.workspace import origin
from gate5.workspace.artifacts import Workspace, open_workspace

TWO = {"two_person": True}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = open_workspace(str(tmp_path))
    made.write_json("gate.json", {"verdict": "pass"})
    return made


def test_who_started_a_run_in_airflow_cannot_approve_it_at_a_prompt(workspace: Workspace) -> None:
    """There the login that types is another one than that of the person who started the run."""
    origin.write(workspace, origin.Origin("policy_release", "r", started_by="ada"))
    for who, refused in (("ada", True), (" Ada ", True), ("ADA", True), ("bob", False)):
        said = approval.record(workspace, approved_by=who, started_by="root")
        assert said.started_by == "ada"
        assert bool(refused_person(TWO, said.approved_by, said.to_dict())) is refused, who


def test_what_nobody_started_anybody_may_approve(workspace: Workspace) -> None:
    origin.write(workspace, origin.Origin("policy_release", "scheduled"))
    said = approval.record(workspace, approved_by="root", started_by="root")
    assert (said.started_by, refused_person(TWO, "root", said.to_dict())) == (None, None)


def test_without_airflow_it_is_the_login(workspace: Workspace) -> None:
    said = approval.record(workspace, approved_by="admin", started_by="Admin")
    assert "'admin' started the run" in str(refused_person(TWO, said.approved_by, said.to_dict()))


def test_another_verdict_is_not_approved_by_it(workspace: Workspace) -> None:
    approval.record(workspace, approved_by="bob", started_by="ada")
    assert approval.of(workspace, "eve") is None, "nor by another person"
    found = approval.of(workspace, None)
    assert found is not None
    assert found.approved_by == "bob"
    workspace.write_json("gate.json", {"verdict": "pass", "rules": []})
    assert approval.read(workspace) is None


def test_an_answer_is_of_the_verdict_that_was_asked_about(workspace: Workspace) -> None:
    """Seen: judged again while the question waited, the yes to the old numbers counted for the new ones."""
    approval.ask(workspace)
    workspace.write_json("gate.json", {"verdict": "pass", "rules": []})
    with pytest.raises(InputError, match="bob was asked about another verdict"):
        approval.record(workspace, approved_by="bob", started_by="ada", asked=True)
    assert approval.of(workspace, None) is None
    approval.record(workspace, approved_by="eve", started_by="eve")  # at a prompt nobody asks
    approval.ask(workspace)
    assert approval.record(workspace, approved_by="bob", started_by="ada", asked=True).approved_by == "bob"


def test_bad_input(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a name"):
        approval.record(workspace, approved_by="  ", started_by=None)
    workspace.write("approval.json", b"{")
    with pytest.raises(WorkspaceError, match="damaged"):
        approval.read(workspace)
    with pytest.raises(WorkspaceError, match="no verdict to approve"):
        approval.record(open_workspace(str(tmp_path / "empty")), approved_by="bob", started_by=None)
