"""The S3 server that the tests rely on: it has to be right where the store's guarantees are tested on it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from local_airflow.patience import wait_for
from tests.support.kill import run_killed
from tests.support.s3_server import ROOT, S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as found:
        found.bucket("bucket")
        yield found


def test_of_many_conditional_writers_one_wins(server: S3Server) -> None:
    """moto alone lets two win now and then."""
    clients = [server.client() for _ in range(4)]
    for number in range(30):
        barrier, won = threading.Barrier(len(clients)), list[int]()

        def write(mark: int, key: str, barrier: threading.Barrier = barrier, won: list[int] = won) -> None:
            barrier.wait()
            with contextlib.suppress(clients[mark].exceptions.ClientError):
                clients[mark].put_object(Bucket="bucket", Key=key, Body=b"%d" % mark, IfNoneMatch="*")
                won.append(mark)

        threads = [threading.Thread(target=write, args=(mark, f"k{number}")) for mark in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert clients[0].get_object(Bucket="bucket", Key=f"k{number}")["Body"].read() == b"%d" % won[0]


def test_a_body_whose_sender_dies_is_not_kept(server: S3Server) -> None:
    """Nor does a sender that is slow keep the others waiting."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        connection.sendall(
            b"PUT /bucket/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request\r\n\r\n"
            + b"x"
            * 400
        )
        client = server.client()
        client.put_object(Bucket="bucket", Key="whole", Body=b"x")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="bucket")["Contents"]]
    assert "whole" in keys
    assert "half" not in keys


def test_the_command_makes_buckets(server: S3Server) -> None:
    command = [sys.executable, "-m", "tests.support.s3_server", "--port", "0", "--bucket", "one", "--bucket", "two"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        other = S3Server()
        other.url = process.stdout.readline().strip()
        names = [bucket["Name"] for bucket in other.client().list_buckets()["Buckets"]]
        process.terminate()
    assert names == ["one", "two"]


def test_the_server_ends_with_its_context() -> None:
    with S3Server() as server:
        parts = urlsplit(server.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((parts.hostname or "", parts.port or 0)).close()


def test_the_server_ends_with_a_starter_that_is_killed() -> None:
    code = """
import os
from tests.support.s3_server import ROOT, S3Server
server = S3Server().__enter__()
print(server.url, flush=True)
os.kill(os.getpid(), 9)
"""
    url = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT
    ).stdout.strip()
    parts = urlsplit(url)

    def gone() -> bool | None:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0)).close()
        except ConnectionRefusedError:
            return True
        return None

    wait_for("the server is still there", gone)


def test_run_killed_tells_a_kill_from_an_end_and_a_failure(tmp_path: object) -> None:
    def work() -> None:
        for name in "ab":
            with open(f"{tmp_path}/{name}", "w"):
                pass

    assert run_killed(work, 1)
    assert not run_killed(work, 2)
    with pytest.raises(AssertionError, match="the forked process failed"):
        run_killed(lambda: 1 / 0, 0)
