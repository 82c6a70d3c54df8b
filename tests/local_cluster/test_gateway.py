"""Ceph's gateway by itself: it serves until its input closes, and says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ceph_server import ceph_server
from local_airflow.patience import wait_for
from local_cluster import ceph
from local_cluster.packages import program

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(
    any(program(name) is None for name in ceph.PROGRAMS),
    reason="no Ceph here: apt-get install ceph-common ceph-mon ceph-osd radosgw",
)
def test_it_serves_until_its_input_closes() -> None:
    with ceph_server() as server:
        assert server.name.startswith("Ceph's object gateway (radosgw ")
        port = int(server.environment["AWS_ENDPOINT_URL"].rpartition(":")[2])
        server.bucket("store")
        server.client().put_object(Bucket="store", Key="a", Body=b"kept")
        assert server.client().get_object(Bucket="store", Key="a")["Body"].read() == b"kept"
    wait_for("it goes on", lambda: not ceph.answers(port) or None, every_s=0.1)


def test_where_ceph_cannot_be_had_it_says_what_to_install() -> None:
    paths = os.pathsep.join((str(ROOT / "include"), str(ROOT)))
    environment = {**os.environ, "PATH": "/nowhere", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "local_cluster.gateway"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "radosgw" in done.stderr
    assert "run `apt-get install ceph-common ceph-mon ceph-osd radosgw` as root" in done.stderr
