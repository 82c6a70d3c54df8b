"""The workspace, in a directory and on an S3 server: whole artifacts or none, names that stay inside."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate5.errors import StoreError, StoreInputError, WorkspaceError
from gate5.io.files import sha256
from gate5.workspace.artifacts import DirectoryWorkspace, Workspace, checked, open_workspace
from tests.support.kill import run_killed
from tests.support.s3_server import S3Server

Open = Callable[[], Workspace]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as found:
        found.bucket("runs")
        yield found


@pytest.fixture(params=["directory", "s3"])
def open_it(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens one new workspace, in this process or in a forked one."""
    number = next(_numbers)
    if request.param == "directory":
        return lambda: open_workspace(tmp_path / f"run{number}")
    server = request.getfixturevalue("server")
    return lambda: open_workspace(f"s3://runs/some/run{number}", server.client())


@pytest.fixture
def workspace(open_it: Open) -> Workspace:
    return open_it()


def test_write_find_read_list(workspace: Workspace) -> None:
    assert workspace.find("a") is None
    assert not workspace.exists("a")
    assert workspace.list() == []
    assert workspace.write("engine/policy.engine", b"123") == sha256(b"123")
    workspace.write("engine/engine.json", b"{}")
    workspace.write("policy.onnx", b"")
    assert workspace.find("engine/policy.engine") == b"123"
    assert workspace.find("engine") is None
    assert workspace.find("policy.onnx/x") is None
    assert workspace.read("policy.onnx") == b""
    assert workspace.exists("policy.onnx")
    assert not workspace.exists("engine")
    assert workspace.list() == ["engine/engine.json", "engine/policy.engine", "policy.onnx"]
    assert workspace.list("engine/") == ["engine/engine.json", "engine/policy.engine"]
    assert workspace.list("engine/policy") == ["engine/policy.engine"]
    assert workspace.list("x") == []


def test_a_stage_run_again_replaces_its_artifact(workspace: Workspace) -> None:
    workspace.write("a", b"first, and longer")
    workspace.write("a", b"second")
    assert workspace.read("a") == b"second"
    assert workspace.list() == ["a"]


def test_what_a_stage_wrote_another_machine_reads(open_it: Open) -> None:
    open_it().write_json("gate.json", {"verdict": "pass", "p99": 0.25, "why": "größer"})
    assert open_it().read_json("gate.json") == {"verdict": "pass", "p99": 0.25, "why": "größer"}


def test_missing_and_damaged_artifacts_are_named(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match=r"has no export\.json: run the stage that writes it first"):
        workspace.read("export.json")
    for damaged in (b'{"a": ', b'{"a": NaN}', b"\xff\xfe"):
        workspace.write("export.json", damaged)
        with pytest.raises(WorkspaceError, match=r"export\.json in the workspace .* is not JSON"):
            workspace.read_json("export.json")
    with pytest.raises(ValueError, match="JSON compliant"):
        workspace.write_json("b.json", {"a": float("nan")})
    assert not workspace.exists("b.json")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a//b",
        "a/",
        "./a",
        ".hidden",
        "a/.b",
        "a\\b",
        "a\x00b",
        "a\nb",
        "\ud800",
        "n" * 300,
    ],
)
def test_names_that_climb_out_hide_or_are_not_text(workspace: Workspace, name: str) -> None:
    for call in (
        lambda: workspace.write(name, b""),
        lambda: workspace.find(name),
        lambda: workspace.read(name),
        lambda: workspace.exists(name),
    ):
        with pytest.raises(WorkspaceError, match="is not an artifact's name"):
            call()
    assert workspace.list() == []


@given(st.text(max_size=40))
def test_a_name_that_is_taken_stays_inside(name: str) -> None:
    try:
        checked(name)
    except WorkspaceError:
        return
    root = "/root/of/run"
    path = os.path.normpath(os.path.join(root, name))
    assert path.startswith(root + "/")
    assert os.path.relpath(path, root) == name, "one artifact has one name"


PARTS = st.from_regex(r"[A-Za-z0-9_ äß-][A-Za-z0-9_. äß-]{0,12}", fullmatch=True)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, data=st.binary(max_size=5000))
def test_bytes_come_back_under_any_proper_name(workspace: Workspace, name: str, data: bytes) -> None:
    name = f"{next(_numbers)}/{name}"  # a file cannot lie where a folder does
    assert workspace.write(name, data) == sha256(data)
    assert workspace.read(name) == data
    assert workspace.list(name) == [name]


def test_a_name_that_the_directory_cannot_have(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    workspace.write("a", b"")
    for name in ("a/b", "/".join(["n" * 250] * 20)):
        with pytest.raises(WorkspaceError, match="use another name"):
            workspace.write(name, b"")
    workspace.write("folder/b", b"")
    with pytest.raises(WorkspaceError, match="use another name"):
        workspace.write("folder", b"")
    assert workspace.list() == ["a", "folder/b"]


def test_a_workspace_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(WorkspaceError, match="cannot be made"):
            open_workspace(path)


@pytest.mark.parametrize("uri", ["http://x/y", "s3://", "s3:///x", "gs://a/b"])
def test_an_address_that_is_none(uri: str) -> None:
    with pytest.raises(WorkspaceError, match=r"neither a directory nor s3://BUCKET/PREFIX"):
        open_workspace(uri)


def test_relative_directories_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    open_workspace("var/run").write("a", b"1")
    assert (tmp_path / "var" / "run" / "a").read_bytes() == b"1"


def test_the_client_comes_from_the_environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    open_workspace("s3://runs/from-environment").write("a", b"1")
    assert open_workspace("s3://runs/from-environment", server.client()).read("a") == b"1"


def test_the_whole_bucket_as_a_workspace(server: S3Server) -> None:
    workspace = open_workspace(f"s3://{server.bucket('whole')}", server.client())
    workspace.write("a/b", b"1")
    assert workspace.list() == ["a/b"]
    assert workspace.read("a/b") == b"1"


def test_a_listing_of_several_pages(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server gives pages of at most 1000 names; here of seven."""
    client = server.client()
    workspace = open_workspace("s3://runs/pages", client)
    for number in range(23):
        workspace.write(f"{number:02}", b"")
    asked, listed = list[dict[str, Any]](), client.list_objects_v2

    def seven(**given: Any) -> Any:
        asked.append(given)
        return listed(**{**given, "MaxKeys": 7})

    monkeypatch.setattr(client, "list_objects_v2", seven)
    assert workspace.list() == [f"{number:02}" for number in range(23)]
    assert len(asked) == 4


def test_a_bucket_that_is_not_there_and_a_server_that_is_gone() -> None:
    with S3Server() as server:
        client = server.client()
        workspace = open_workspace("s3://no-such-bucket/run", client)
        missing = r"The workspace s3://no-such-bucket/run .* the bucket does not exist"
        for call in (partial(workspace.find, "a"), partial(workspace.write, "a", b""), workspace.list):
            with pytest.raises(StoreInputError, match=missing):
                call()
    with pytest.raises(StoreError, match=r"The workspace s3://no-such-bucket/run cannot be reached at http://127"):
        workspace.find("a")


@pytest.mark.parametrize("before", [None, b"old" * 1000], ids=["new", "replaced"])
def test_kill_at_every_step_of_a_write(open_it: Open, before: bytes | None) -> None:
    """kill -9 before each change of a file, or each piece that is sent: the old bytes or the new, never a part."""
    workspace, opened = open_it(), open_it()
    new = os.urandom(300_000)
    for step in itertools.count():
        name = f"deep/{step}/artifact"
        if before is not None:
            workspace.write(name, before)
        was_killed = run_killed(partial(opened.write, name, new), step)
        assert workspace.find(name) in (before, new)
        assert set(workspace.list()) <= {f"deep/{n}/artifact" for n in range(step + 1)}
        workspace.write(name, new)
        assert workspace.read(name) == new
        if not was_killed:
            break
    assert step >= 2


def test_kill_at_any_time_in_a_large_write(open_it: Open) -> None:
    """The same from outside, at whatever moment it hits, with a reader that looks all the time."""
    workspace, writer = open_it(), open_it()
    versions = [bytes([mark]) * 2_000_000 for mark in range(4)]
    for number, delay in enumerate((0.0, 0.003, 0.01, 0.03)):
        name, seen = f"large{number}", set[bytes | None]()
        child = os.fork()
        if child == 0:
            try:
                for version in itertools.cycle(versions):
                    writer.write(name, version)
            finally:
                os._exit(1)
        while seen <= {None}:
            seen.add(workspace.find(name))
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the writer writes until it is killed"
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline:
            seen.add(workspace.find(name))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.add(workspace.find(name))
        assert seen - {None}, "the reader saw something"
        assert seen <= {None, *versions}
        assert workspace.list() == [f"large{n}" for n in range(number + 1)]


def test_leftovers_of_a_kill_are_not_artifacts(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path / "run")
    workspace.write("records/gate.json", b"{}")
    (tmp_path / "run" / "records" / ".gate.json.x1y2").write_bytes(b"{")
    assert workspace.list() == ["records/gate.json"]
