"""Ceph's gateway as the compose file's S3 service: who gets it, what it is told, and that it keeps what it is given."""

from __future__ import annotations

import configparser
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

from gate5.errors import OperationError
from gate5.io.s3 import make_client
from gate5.store.probe import ensure_safe
from gate5.store.s3 import S3Backend
from local_airflow.patience import wait_for
from local_cluster import backing, ceph, faults, packages
from local_cluster.boxes import Box, Ports
from local_cluster.cluster import Cluster
from local_cluster.compose import read_env, read_services
from local_cluster.packages import DEBIAN, MissingError, program
from local_cluster.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Ceph, and a user who may not install it."""
    monkeypatch.setattr(packages, "program", lambda name: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)


@pytest.mark.parametrize(
    ("asked", "short", "server"),
    [(None, False, "ceph"), (None, True, "tests"), ("ceph", True, "ceph"), ("tests", False, "tests")],
)
def test_the_long_form_has_ceph_and_the_short_one_the_tests_server(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, short: bool, server: str
) -> None:
    monkeypatch.setattr(packages, "program", lambda name: f"/usr/bin/{name}")
    assert ceph.chosen(asked, short) == server


@pytest.mark.usefixtures("bare")
def test_without_ceph_it_is_the_tests_server_and_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert ceph.chosen(None, short=False) == "tests"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "run `apt-get install ceph-common ceph-mon ceph-osd radosgw` as root" in said
    assert ceph.chosen("tests", short=False) == ceph.chosen(None, short=True) == "tests"
    assert capsys.readouterr().err == "", "who does not want it need not hear of it"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("short", [True, False])
def test_ceph_that_is_asked_for_and_cannot_be_had_is_refused_in_one_sentence(short: bool) -> None:
    with pytest.raises(MissingError, match="run `apt-get install ceph-common ceph-mon ceph-osd radosgw` as root") as it:
        ceph.chosen("ceph", short)
    assert "\n" not in str(it.value)
    assert set(ceph.PROGRAMS) <= set(DEBIAN)


def test_everything_that_ceph_writes_lies_in_its_box_and_nobody_outside_reaches_it(tmp_path: Path) -> None:
    monitor = "[v2:127.0.0.1:20009]"
    written = configparser.ConfigParser()
    written.read_string(ceph.configuration(tmp_path, "an-id", monitor))
    said = written["global"]
    paths = [said[name] for name in ("keyring", "run_dir", "mon_data", "osd_data", "rgw_data")]
    assert all(Path(path).is_relative_to(tmp_path) for path in paths)
    assert [said[name] for name in ("log_file", "admin_socket", "mon_cluster_log_file")] == ["", "", ""]
    assert {said["public_addr"], said["cluster_addr"]} == {"127.0.0.1"}
    assert (said["fsid"], said["mon_host"], said["osd_pool_default_size"]) == ("an-id", monitor, "1")
    assert not [name for name in said if name.startswith("auth_")], (
        "Ceph's own keys are asked for, as it does by itself"
    )


def test_the_tests_server_is_named_with_its_version() -> None:
    assert ceph.name_and_version("tests").startswith("the tests' S3 server (moto ")


class Recorder:
    """A cluster that notes what is done to its S3 server."""

    def __init__(self, s3: str) -> None:
        self.s3, self.done, self.processes = s3, list[str](), self

    def outage(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda service, **more: self.done.append(f"{name} {service} {more or ''}".strip())


@pytest.mark.parametrize(
    ("server", "done"),
    [("ceph", ["kill s3 {'stays': False}", "again s3"]), ("tests", ["freeze s3", "thaw s3"])],
)
def test_ceph_is_killed_and_the_tests_server_paused(
    monkeypatch: pytest.MonkeyPatch, server: str, done: list[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    cluster = Recorder(server)
    faults.outage("s3", "promote").do(cast(Cluster, cluster))
    assert (cluster.done, waited) == (done, [20.0])


@pytest.mark.skipif(
    any(program(name) is None for name in ceph.PROGRAMS),
    reason="no Ceph here: apt-get install ceph-common ceph-mon ceph-osd radosgw",
)
def test_a_real_gateway_lets_one_writer_win_and_keeps_it_over_a_kill(tmp_path: Path) -> None:
    """As gate5 itself asks a store: a race of conditional writes; and with the keys of the compose file alone."""
    ports = Ports.free()
    box = Box(read_services(ROOT / "docker-compose.yaml", VARIABLES)["s3"], tmp_path / "s3", ports)
    box.folder.mkdir()

    def client(secret: str = VARIABLES["AWS_SECRET_ACCESS_KEY"]) -> Any:
        key = VARIABLES["AWS_ACCESS_KEY_ID"]
        return make_client(f"http://127.0.0.1:{ports.s3}", "us-east-1", access_key=key, secret_key=secret)

    try:
        with Processes() as processes:
            ceph.start_ceph(box, processes)
            client().create_bucket(Bucket="gate5-releases")
            with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
                client("another").list_buckets()
            backend = S3Backend("gate5-releases", "here", client())
            ensure_safe(backend)
            assert backend.create("a.json", b"first")
            assert processes.kill("s3", stays=False) == 1
            assert not ceph.answers(ports.s3)
            processes.again("s3")
            wait_for("radosgw has not come again", lambda: ceph.answers(ports.s3) or None, every_s=0.1)
            assert not backend.create("a.json", b"second")
            assert backend.read("a.json") == b"first"
    finally:
        shutil.rmtree(box.folder)


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `radosgw-admin` does where no OSD answers."""
    monkeypatch.setattr(backing, "STILL_S", 0.2)
    with pytest.raises(OperationError, match=r"`sleep 60` has not ended after 0\.2 s\."):
        backing.run(["sleep", "60"], {"PATH": "/usr/bin:/bin"}, tmp_path)
