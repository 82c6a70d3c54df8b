"""The pages "Releases" on a real store: what is in charge, why, what was before; no GET acts, no name is markup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gate5.store import open_store, promote, publish
from gate5.store.channel import Log, next_entry
from gate5.store.entry import PAYLOAD_TYPE, entry_name
from gate5.store.evidence import Evidence, keep
from gate5.store.signing import sign
from tests.support import releases_site as site


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return site.stocked(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def client(stock: Any) -> Iterator[TestClient]:
    with TestClient(site.application(stock[0], {"rollback": True, "hold": False})) as found:
        yield found


def text(client: TestClient, path: str, code: int = 200) -> str:
    answer = client.get(f"/gate5/{path}")
    assert answer.status_code == code
    assert "script-src 'nonce-" in answer.headers["content-security-policy"]
    return str(answer.text)


def test_the_first_page_says_what_runs_and_why(client: TestClient, stock: Any) -> None:
    page = text(client, "releases")
    section = page.partition(">production</a>")[2].partition("</section>")[0]
    assert stock[1][2] in section, "the one before the last is in charge again"
    assert "put back (rollback) by <b>bob</b>" in section
    assert "oscillates &lt;i&gt;at part load&lt;/i&gt;" in section
    assert "0.032 ms" in section
    assert "3 better, 0 worse" in section
    assert page.index(">production</a>") < page.index(">pilot</a>"), "the configured channel comes first"


def test_names_never_become_markup(client: TestClient) -> None:
    for path in ("releases", "releases/pilot"):
        page = text(client, path)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>: latency" not in text(client, "releases/production")
    assert "<img" not in text(client, "releases/%3Cimg%20src=x%3E", 404)
    assert "<img" not in text(client, "act/rollback?channel=%3Cimg%20src=x%3E&release=%3C/script%3E%3Cimg%3E")


def test_a_channel_shows_history_and_trends(client: TestClient, stock: Any) -> None:
    page = text(client, "releases/production")
    history = page.partition('id="history"')[2].partition("</section>")[0]
    rows = history.count("<tr") - 1
    assert (rows, history.count("rolled back to"), history.count('class="now"')) == (5, 1, 1)
    assert 'href="/dags/policy_release/runs/manual__3"' in history
    assert page.count("<svg") == 5, "p99, parity, differences, margins in two units"
    assert all(name in page for name in site.SCENARIOS)


def test_a_release_that_is_no_longer_in_charge_says_so(client: TestClient, stock: Any) -> None:
    page = text(client, f"releases/production/{stock[1][3]}")
    assert "ROLLED BACK SINCE" in page
    assert "bob rolled back to" in page
    assert "SUPERSEDED" in text(client, f"releases/production/{stock[1][0]}")
    now = text(client, f"releases/production/{stock[1][2]}")
    assert "IN CHARGE" in now
    assert "Difference to the one before" in now
    assert f'Before: <a href="/gate5/releases/production/{stock[1][3]}"' in now


def test_what_plants_report_is_shown(client: TestClient, stock: Any) -> None:
    """Of this channel, with a signature that counts; names that a plant sends are text."""
    store, at = open_store(stock[0].store), "2026-01-01T00:00:00+00:00"
    page = f"releases/production/{stock[1][2]}"
    assert "At plants" not in text(client, page)
    found = Evidence(
        "unit-1", "production", stock[1][2], "control", "opcua", at, at, 5.0, {"policy": 7200, "baseline": 12},
        {"late": 1}, {"late": 12}, 3, 0, {"<b>p_max": 0.25}, {"damper": {"mean": 0.1, "largest": 0.375}},
        {"inlet": {"below": 0.0, "above": 0.015, "low": 0.1, "high": 1.2}},
        ({"outcome": "took_over", "reason": ""}, {"outcome": "put_back", "reason": "lost the plant <i>twice"}),
    )  # fmt: skip
    keep(store, found.sign(store.signer))
    section = text(client, page).partition('id="plants"')[2].partition("</section>")[0]
    for words in ("unit-1", "1 × late", "&lt;b&gt;p max", "0.25", "damper", "0.375", "inlet", "1.5", "1 × took over",
                  "put back on probation", "lost the plant &lt;i&gt;twice"):  # fmt: skip
        assert words in section, words
    assert "<b>p" not in section


def test_what_a_channel_holds_back_is_shown_with_who_and_why(client: TestClient, stock: Any) -> None:
    """A rollback holds what it takes out."""
    held = text(client, "releases/production").partition('id="held"')[2].partition("</section>")[0]
    assert stock[1][3] in held
    assert "bob" in held
    assert "oscillates" in held
    assert "Held: " in text(client, f"releases/production/{stock[1][3]}")
    assert "Held: " not in text(client, f"releases/production/{stock[1][2]}")


def test_a_release_of_another_channel_is_not_claimed_for_this_one(client: TestClient, stock: Any) -> None:
    assert "NOT HERE" in text(client, f"releases/pilot/{stock[1][0]}")


def test_a_files_bytes_come_as_they_were_released_and_are_never_shown(client: TestClient, stock: Any) -> None:
    release = stock[1][3]
    answer = client.get(f"/gate5/releases/production/{release}/files/policy.onnx")
    assert answer.content == b"graph 3"
    assert answer.headers["content-disposition"].startswith("attachment")
    report = client.get(f"/gate5/releases/production/{release}/report")
    assert "sandbox" in report.headers["content-security-policy"]
    assert "allow-same-origin" not in report.headers["content-security-policy"]
    for name in ("nothing.txt", "../../../../key.pem", "%2e%2e/key.pem"):
        assert client.get(f"/gate5/releases/production/{release}/files/{name}").status_code == 404
    manifest = client.get(f"/gate5/releases/production/{release}/manifest")
    assert b"payloadType" in manifest.content


def test_what_is_not_there_is_said(client: TestClient) -> None:
    assert "no release sco2-000000000000" in text(client, "releases/production/sco2-000000000000", 404)
    assert "no channel nowhere" in text(client, "releases/nowhere", 404)
    assert "is not a channel" in text(client, "releases/NO", 404)
    assert "is not a release id" in text(client, "releases/production/x", 404)
    assert text(client, "act/destroy", 404)


def test_buttons_are_for_whoever_may(client: TestClient, stock: Any) -> None:
    page = text(client, "releases/production")
    assert 'href="/gate5/act/rollback?channel=production&amp;release="' in page
    assert "needs the permission to start policy_hold" in page
    assert "Promote to" not in page, "there is no such DAG"
    old = text(client, f"releases/production/{stock[1][0]}")
    assert f'href="/gate5/act/rollback?channel=production&amp;release={stock[1][0]}"' in old


def test_no_address_changes_anything(client: TestClient, stock: Any) -> None:
    """Every route is read, as a browser that follows every link would."""
    store = open_store(stock[0].store)
    before = sorted(store.backend.list(""))
    todo, seen = ["/gate5/releases"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(path)
        for part in answer.text.split('href="')[1:] if "text/html" in answer.headers["content-type"] else ():
            link = part.partition('"')[0].replace("&amp;", "&")
            if link.startswith("/gate5/"):
                todo.append(link)
    assert len(seen) > 30
    assert sorted(store.backend.list("")) == before
    for verb in ("post", "put", "patch", "delete"):
        assert getattr(client, verb)("/gate5/releases/production").status_code == 405


def test_a_log_that_was_tampered_with_is_not_believed(tmp_path: Path) -> None:
    settings, _ = site.stocked(tmp_path)
    path = next((tmp_path / "store" / "channels" / "production").glob("*.json"))
    path.write_bytes(path.read_bytes().replace(b"payload", b"pay1oad", 1))
    client = TestClient(site.application(settings))
    page = client.get("/gate5/releases").text
    assert "damaged" in page
    assert ">pilot</a>" in page, "the other channel stands"
    assert client.get("/gate5/releases/production").status_code == 503


def test_a_store_that_is_down_is_said_and_the_rest_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gate5_plugin.releases.candidates import Candidate

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    down = site.config(tmp_path, uri="s3://bucket/prefix", endpoint="http://127.0.0.1:9", region="us-east-1")
    last = Candidate("policy_release", "the-run", None, "good", "ada", "BROKEN", "error", "no store")
    client = TestClient(site.application(down, candidates=[last]))
    page = client.get("/gate5/releases")
    assert page.status_code == 200
    assert "cannot be reached" in page.text
    assert "the-run" in page.text
    assert client.get("/gate5/releases/production").status_code == 503


def test_a_report_of_50_mb_comes_whole(tmp_path: Path) -> None:
    settings = site.config(tmp_path)
    store = open_store(settings.store)
    data = b"<!DOCTYPE html>" + b"<p>long</p>" * 4_800_000
    release = publish(store, {**site.documents(0), "report.html": data}, site.PROVENANCE)
    promote(store, "production", release, approved_by="ada")
    client = TestClient(site.application(settings))
    assert client.get(f"/gate5/releases/production/{release.id}/report").content == data
    page = client.get(f"/gate5/releases/production/{release.id}").text
    assert len(page) < 200_000, "it is fetched when the reader opens it"
    assert f'data-report="/gate5/releases/production/{release.id}/report"' in page


def test_a_channel_with_5000_entries_is_there_within_a_second(tmp_path: Path) -> None:
    """The entries are written as the store writes them, without its waits for the disk."""
    settings = site.config(tmp_path)
    store = open_store(settings.store)
    ids = site.fill(store, "production", 2)
    log = Log(store, "production", [store.signer.public_key])
    newest = log.newest()
    assert newest is not None
    folder = tmp_path / "store"
    for number in range(newest.sequence + 1, 5001):
        entry = next_entry(log, newest, kind="promote", release=ids[number % 2], by="ada",
                           manifest_sha256=newest.manifest_sha256, request=str(number))  # fmt: skip
        data = sign(entry.payload(), PAYLOAD_TYPE, store.signer)
        (folder / entry_name("production", number)).write_bytes(data)
        newest = entry
    client = TestClient(site.application(settings))
    client.get("/gate5/releases")  # what is imported once is not the page's
    for path in ("releases", "releases/production", "releases/production?before=2500", f"releases/production/{ids[0]}"):
        begun, cpu = time.monotonic(), time.process_time()
        assert client.get(f"/gate5/{path}").status_code == 200
        took = min(time.monotonic() - begun, time.process_time() - cpu)  # a busy machine is not the page's fault
        assert took < 1.0, f"{path}: {took:.2f} s"
    assert ">5000<" in client.get("/gate5/releases/production").text.replace("<td>", ">").replace("</td>", "<")
