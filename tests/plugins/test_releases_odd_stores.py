"""The pages "Releases" on stores that refuse, hang or hold what other hands put there, and on odd names."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from gate5.store import open_store, promote, publish
from gate5_plugin import sources
from gate5_plugin.releases.candidates import Candidate
from tests.support import releases_site as site

LAST = Candidate("policy_release", "the-run", None, "good", "ada", "BROKEN", "error", "no store")
TURNED = "eve\u202emoc.liam\u2069"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    sources._FAILED.clear()
    yield
    sources._FAILED.clear()


def client(folder: Path, url: str) -> TestClient:
    settings = site.config(folder, uri="s3://bucket/prefix", endpoint=url, region="us-east-1")
    return TestClient(site.application(settings, candidates=[LAST]))


class Forbids(http.server.BaseHTTPRequestHandler):
    """A server that lets nobody in."""

    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def test_a_store_that_answers_403_is_said_with_what_to_do(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forbids) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pages = client(tmp_path, f"http://127.0.0.1:{server.server_port}")
        page = pages.get("/gate5/releases")
        one = pages.get("/gate5/releases/production")
        server.shutdown()
    assert page.status_code == 200
    assert "AccessDenied" in page.text
    assert "the-run" in page.text, "the rest stands"
    assert one.status_code == 503


def test_a_store_that_hangs_is_given_up_and_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate5.io.s3.HURRIED_READ_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        pages = client(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        page = pages.get("/gate5/releases")
        assert page.status_code == 200
        assert "ReadTimeoutError" in page.text
        assert "the-run" in page.text
        monkeypatch.setattr("gate5.io.s3.HURRIED_READ_SECONDS", 300.0)
        begun = time.monotonic()
        assert "ReadTimeoutError" in pages.get("/gate5/releases").text, "said again, and not asked again"
        assert pages.get("/gate5/releases/production").status_code == 503
        assert time.monotonic() - begun < 60.0


def test_a_page_gives_up_a_silent_server_within_ten_seconds() -> None:
    from gate5.io.s3 import make_client

    config = make_client("http://127.0.0.1:1", "us-east-1", hurry=True).meta.config
    tries = 2  # gate5.io.s3.Patience
    assert tries * config.retries["total_max_attempts"] * max(config.read_timeout, config.connect_timeout) < 10


def test_marks_that_turn_the_text_around_are_written_out_and_long_names_cut(tmp_path: Path) -> None:
    """A name may not make the rest of a line read otherwise, nor fill the page."""
    settings = site.config(tmp_path)
    store = open_store(settings.store)
    release = publish(store, site.documents(0), {**site.PROVENANCE, "approved_by": TURNED})
    promote(store, "production", release, approved_by=TURNED, reason="r" * 10_000)
    last = Candidate("policy_release", "r", None, TURNED, "p" * 10_000, "BROKEN", "error", "w" * 10_000)
    with TestClient(site.application(settings, candidates=[last])) as pages:
        for path in ("releases", "releases/production", f"releases/production/{release.id}"):
            text = pages.get(f"/gate5/{path}").text
            assert "\u202e" not in text, path
            assert "eve\\u202emoc.liam\\u2069" in text, path
            assert len(text) < 120_000, path
        assert "r" * 10_000 in pages.get(f"/gate5/releases/production/{release.id}").text, "whole on its own page"
        assert "r" * 500 not in pages.get("/gate5/releases/production").text


def test_channels_whose_names_begin_alike_are_kept_apart(tmp_path: Path) -> None:
    settings = site.config(tmp_path)
    store = open_store(settings.store)
    ids = {name: site.fill(store, name, 1)[0] for name in ("plant", "plant-2", "plant2")}
    with TestClient(site.application(settings)) as pages:
        for name, release in ids.items():
            page = pages.get(f"/gate5/releases/{name}").text
            assert release in page
            assert not any(other in page for other in ids.values() if other != release), name
        assert "The store has no channel plan." in pages.get("/gate5/releases/plan").text


@pytest.mark.parametrize("missing", ["checkpoint", "built_with", "approved_by"])
def test_a_manifest_without_one_of_its_keys_has_its_page(tmp_path: Path, missing: str) -> None:
    settings = site.config(tmp_path)
    store = open_store(settings.store)
    provenance = {name: value for name, value in site.PROVENANCE.items() if name != missing}
    release = publish(store, site.documents(0), provenance)
    promote(store, "production", release, approved_by="ada")
    with TestClient(site.application(settings)) as pages:
        for path in ("releases", "releases/production", f"releases/production/{release.id}"):
            answer = pages.get(f"/gate5/{path}")
            assert answer.status_code == 200, path
            assert "None" not in answer.text, path


@pytest.mark.parametrize("name", ["a%b", "a/b", "..", "%2e%2e", "a b", "é", "x" * 10_000, "a\u202eb", "a\x00b", "<b>"])
def test_a_name_that_is_none_is_told_and_breaks_nothing(tmp_path: Path, name: str) -> None:
    settings, ids = site.stocked(tmp_path)
    with TestClient(site.application(settings, {"rollback": True})) as pages:
        at = quote(name, safe="")
        for path in (f"releases/{at}", f"releases/production/{at}", f"releases/production/{ids[0]}/files/{at}",
                     f"releases/production/{at}/report", f"releases/production/{at}/manifest"):  # fmt: skip
            answer = pages.get(f"/gate5/{path}")
            assert answer.status_code in (200, 404), (path[:60], answer.status_code)
            assert "Traceback" not in answer.text
            assert "<b>/" not in answer.text
        form = pages.get("/gate5/act/rollback", params={"channel": name, "release": name})
        assert form.status_code == 200
        assert "\u202e" not in form.text
