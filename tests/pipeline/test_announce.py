"""Announcing a candidate: every way in which it can go wrong is a sentence.

tests/end_to_end announces to a real Airflow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gate5.pipeline.announce import AnnounceError, AnnounceInputError, announce_candidate

HASH = "0123456789abcdef" * 4


class Server(BaseHTTPRequestHandler):
    """Stands in for an Airflow that is not one: a proxy's page, or an Airflow without the DAG."""

    def do_GET(self) -> None:
        text = b"<html>hello</html>" if self.path.startswith("/proxy/") else b'{"assets": [], "total_entries": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on standard error."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AIRFLOW_URL", "AIRFLOW_TOKEN", "AIRFLOW_USER", "AIRFLOW_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    return tmp_path


def test_without_an_address() -> None:
    with pytest.raises(AnnounceInputError, match="set AIRFLOW_URL"):
        announce_candidate("/x", HASH)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    """A file:// address must not be opened."""
    with pytest.raises(AnnounceInputError, match="is not http"):
        announce_candidate("/x", HASH, url=url, token="t")


def test_without_a_login() -> None:
    with pytest.raises(AnnounceInputError, match="AIRFLOW_TOKEN"):
        announce_candidate("/x", HASH, url="http://127.0.0.1:9")


def test_nobody_answers() -> None:
    with pytest.raises(AnnounceError, match="does not answer"):
        announce_candidate("/x", HASH, url="http://127.0.0.1:9", token="t")


def test_something_else_answers(address: str) -> None:
    with pytest.raises(AnnounceError, match="not Airflow's API"):
        announce_candidate("/x", HASH, url=f"{address}/proxy", token="t")


def test_an_airflow_without_the_dag(address: str) -> None:
    with pytest.raises(AnnounceError, match="has no asset 'gate5_candidate'"):
        announce_candidate("/x", HASH, url=address, token="t")


@pytest.mark.parametrize("sha256", ["", "abc", HASH.upper(), HASH + "0", "sha256:" + HASH])
def test_a_hash_that_is_none(sha256: str) -> None:
    """With a wrong one announced, the run would refuse the right policy."""
    with pytest.raises(AnnounceInputError, match="64 lower-case hex digits"):
        announce_candidate("/x", sha256, url="http://127.0.0.1:9", token="t")


def test_no_secret_in_a_message(address: str) -> None:
    with pytest.raises(AnnounceError) as error:
        announce_candidate("/x", HASH, url=address, token="hush-hush")
    assert "hush" not in str(error.value)


def pretend_running(root: Path, what: str) -> None:
    home = root / "var" / "airflow"
    home.mkdir(parents=True)
    running = {"address": "http://127.0.0.1:9", "user": "admin", "what": what, "pid": 1}
    (home / "running.json").write_text(json.dumps(running))
    (home / "passwords.json").write_text(json.dumps({"admin": "x"}))


def test_the_airflow_of_make_release_is_not_announced_to(no_airflow: Path) -> None:
    """It does not listen: the candidate would be lost without a word."""
    pretend_running(no_airflow, "make release")
    with pytest.raises(AnnounceInputError, match="`make ui`"):
        announce_candidate("/x", HASH)


def test_the_airflow_of_make_ui_is_found(no_airflow: Path) -> None:
    """The login is tried there: nobody answers at its address any more."""
    pretend_running(no_airflow, "make ui")
    with pytest.raises(AnnounceError, match=r"http://127\.0\.0\.1:9 does not answer"):
        announce_candidate("/x", HASH)
