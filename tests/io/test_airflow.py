"""The client of Airflow's API: what it must never do, and every way in which the other side can go wrong.

The server is a stand-in: a real Airflow does not redirect or answer nonsense. tests/end_to_end drives a real one.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from gate5.io.airflow import AddressError, Api, ApiError, NoAnswerError


class Server(BaseHTTPRequestHandler):
    """Gives out numbered tokens and takes only the newest."""

    issued: ClassVar[int] = 0
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        type(self).seen.append((self.path, token))
        if self.path == "/api/v2/elsewhere":
            self.reply(302, "", Location="http://localhost:9/stolen")
        elif self.path == "/api/v2/nonsense":
            self.reply(200, "<html>")
        elif self.path == "/api/v2/nothing":
            self.reply(204, "")
        elif token == f"Bearer {type(self).issued}":
            self.reply(200, json.dumps({"token": token}))
        else:
            self.reply(401, json.dumps({"detail": "expired"}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).issued += 1
        self.reply(201, json.dumps({"access_token": str(type(self).issued)}))

    def reply(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on standard error."""


@pytest.fixture
def address() -> Iterator[str]:
    Server.issued, Server.seen = 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_token_that_expired_is_renewed_once(address: str) -> None:
    airflow = Api(address, "ada", "secret")
    assert airflow.get("version") == {"token": "Bearer 1"}
    Server.issued = 7  # what was given out before counts no more
    assert airflow.get("version") == {"token": "Bearer 8"}
    Server.issued = 20
    with pytest.raises(ApiError, match=r"answered 401 to GET /api/v2/version\?limit=1: expired") as refused:
        Api(address, token="old").get("version", limit=1)
    assert (refused.value.status, refused.value.detail, Server.issued) == (401, "expired", 20)


def test_a_redirect_is_told_and_the_token_is_not_sent_after_it(address: str) -> None:
    with pytest.raises(ApiError, match=r"answered 302 .* redirects to http://localhost:9/stolen; give that"):
        Api(address, token="hush").get("elsewhere")
    assert [path for path, _ in Server.seen] == ["/api/v2/elsewhere"]


def test_what_is_not_json(address: str) -> None:
    airflow = Api(address, token="t")
    assert airflow.get("nothing") is None
    with pytest.raises(NoAnswerError, match="not Airflow's API"):
        airflow.get("nonsense")


def test_what_does_not_speak_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(NoAnswerError, match="not Airflow's API"):
            Api(f"http://127.0.0.1:{listening.getsockname()[1]}", token="t").get("version")


def test_no_proxy_lies_between_this_machine_and_itself(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Api(address, "ada", "secret").get("version") == {"token": "Bearer 1"}
    with pytest.raises(NoAnswerError, match="does not answer"):  # elsewhere goes through the proxy, which is not there
        Api("http://airflow.example.org", token="t").get("version")


@pytest.mark.parametrize(
    "address",
    ["", "host:8080", "ftp://host", "file:///etc/passwd", "http://", "http://host:port", "http://host:99999",
     "http://user:secret@host", "http://host/?x=1", "http://host/#x", "http://ho st", "http://host\n"],
)  # fmt: skip
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(AddressError, match="is not http://HOST:PORT or https://HOST") as error:
        Api(address, token="t")
    assert "secret" not in str(error.value)


def test_every_part_of_a_run_s_path_is_quoted(address: str) -> None:
    airflow = Api(f"{address}/", token="t")
    assert airflow.address == address
    assert airflow.run_path("a/b", "manual__2026-01-01T00:00:00+00:00") == (
        "dags/a%2Fb/dagRuns/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    )
