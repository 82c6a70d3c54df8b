"""What a user reads when an S3 store cannot be used: one sentence, soon, without secrets."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.errors import Gate5Error, StoreError, StoreInputError
from gate5.io.s3 import make_client, public_url
from gate5.store import history, open_store
from gate5.workspace.artifacts import open_workspace
from tests.support.s3_server import S3Server

SECRET = "hunter2-hunter2-hunter2"
KEY = "AKIAHUNTERHUNTER2222"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in the environment, and none from this machine's own files."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def failure(endpoint: str, bucket: str = "bucket", **more: Any) -> Gate5Error:
    config = StoreConfig(uri=f"s3://{bucket}/prefix", endpoint=endpoint, **more)
    with pytest.raises(Gate5Error) as caught:
        history(open_store(config), "production")
    text = str(caught.value)
    assert SECRET not in text
    assert KEY not in text
    assert "\n" not in text
    return caught.value


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_nobody_listens() -> None:
    port = free_port()
    error = failure(f"http://127.0.0.1:{port}")
    assert isinstance(error, StoreError)
    assert f"cannot be reached at http://127.0.0.1:{port}" in str(error)
    assert "check that the server runs" in str(error)


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gate5.io.s3.READ_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = failure(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert isinstance(error, StoreError)
    assert "ReadTimeoutError" in str(error)


def test_the_waits_are_short() -> None:
    """botocore's own defaults wait for minutes."""
    config = make_client("http://127.0.0.1:1").meta.config
    assert config.connect_timeout <= 5
    assert config.read_timeout <= 30
    assert config.retries["total_max_attempts"] <= 3


def test_an_endpoint_with_a_password_in_it() -> None:
    error = failure(f"http://{KEY}:{SECRET}@127.0.0.1:{free_port()}/?token={SECRET}")
    assert "http://127.0.0.1:" in str(error)


def test_no_such_bucket(s3_server: S3Server) -> None:
    error = failure(s3_server.url, "no-such-bucket")
    assert isinstance(error, StoreInputError)
    assert "s3://no-such-bucket/prefix cannot be used: the bucket does not exist" in str(error)


def test_credentials_that_the_server_refuses() -> None:
    """moto with its access control on: it knows no key."""
    with S3Server(authenticate=True) as server:
        error = failure(server.url)
        assert isinstance(error, StoreInputError)
        assert "refused the credentials (InvalidAccessKeyId)" in str(error)
        with pytest.raises(StoreInputError, match=r"The workspace s3://bucket/run refused the credentials"):
            open_workspace("s3://bucket/run", make_client(server.url)).read("a")


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch, s3_server: S3Server) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failure(s3_server.url)
    assert isinstance(error, StoreInputError)
    assert "set AWS_ACCESS_KEY_ID" in str(error)


def test_something_else_listens_there() -> None:
    """A web server, which answers 404 with a page of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")

    worker = threading.Thread(target=serve, daemon=True)
    worker.start()
    error = failure(f"http://127.0.0.1:{listener.getsockname()[1]}")
    listener.close()
    assert isinstance(error, StoreInputError)
    assert "is not an S3 server" in str(error)


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("RequestTimeTooSkewed", 403, "refused the time of this machine's clock"),
        ("QuotaExceeded", 403, "is full (QuotaExceeded): free some space"),
        ("InsufficientStorage", 507, "is full (InsufficientStorage): free some space"),
    ],
)
def test_what_is_no_matter_of_rights(code: str, status: int, said: str) -> None:
    """A clock that jumped and a full disk answer 403 too; no right in the world would help."""
    body = f"<Error><Code>{code}</Code></Error>".encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        error = failure(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert isinstance(error, StoreError), "something broke, and the input was right"
    assert said in str(error)


@pytest.mark.parametrize("endpoint", ["notaurl", "http://", "http://host:99999999"])
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(StoreInputError, match="No S3 client can be made for the endpoint"):
        history(open_store(StoreConfig(uri="s3://bucket", endpoint=endpoint)), "production")


def test_a_bucket_name_that_is_none(s3_server: S3Server) -> None:
    assert isinstance(failure(s3_server.url, "No_Such.Bucket!"), StoreInputError)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://key:secret@host:9000/path?sig=x#y", "https://host:9000/path"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        (None, ""),
        ("http://host:x", "(not a URL)"),
    ],
)
def test_public_url(url: str | None, shown: str) -> None:
    assert public_url(url) == shown
