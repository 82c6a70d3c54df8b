"""The pages "Releases" on what people and older versions left: markup in every name, documents of another shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gate5.io import canonical
from gate5.store import hold, open_store, promote, publish
from tests.support import releases_site as site

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def pages(client: TestClient, release: str) -> dict[str, str]:
    paths = ("releases", "releases/production", f"releases/production/{release}")
    found = {path: client.get(f"/gate5/{path}") for path in paths}
    assert {path: answer.status_code for path, answer in found.items()} == dict.fromkeys(paths, 200)
    return {path: answer.text for path, answer in found.items()}


def test_markup_in_candidate_reason_person_comment_and_run_stays_text(tmp_path: Path) -> None:
    from gate5_plugin.releases.candidates import Candidate

    settings = site.config(tmp_path)
    store = open_store(settings.store)
    evil = {**site.PROVENANCE, "approved_by": EVIL, "checkpoint": {"uri": EVIL}, "origin": {"started_by": EVIL},
            "engine": {"backend": EVIL, "device": EVIL}}  # fmt: skip
    release = publish(store, site.documents(0), evil)
    details = {"dag_id": EVIL, "run_id": EVIL}
    promote(store, "production", release, approved_by=EVIL, reason=EVIL, details=details, approval={"comment": EVIL})
    hold(store, "production", publish(store, site.documents(1), site.PROVENANCE).id, by=EVIL, reason=EVIL)
    last = Candidate(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, "fail", EVIL)
    with TestClient(site.application(settings, {"rollback": True}, [last])) as client:
        found = pages(client, release.id)
    for path, text in found.items():
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert "&lt;script&gt;alert(1)" in text, path
    assert found["releases"].count("&lt;script&gt;alert(1)") >= 7
    assert "Comment: <b>&lt;/script&gt;" in found["releases/production"]


OTHER: dict[str, bytes] = {
    "gate.json": canonical.dumps({"verdict": "pass", "rules": [{"id": "r1"}, "text"], "reasons": None}),
    "latency.json": canonical.dumps({"p99_ms": 0.4, "back_to_back": [1, 2]}),
    "comparison.json": canonical.dumps({"scenarios": [{"scenario": "hold", "rl": None}]}),
}


@pytest.mark.parametrize("changes", [*({name: data} for name, data in OTHER.items()), {"gate.json": b"{"}, OTHER])
def test_a_release_of_another_version_has_its_page_and_the_others_their_numbers(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = site.config(tmp_path)
    store = open_store(settings.store)
    ids = site.fill(store, "production", 2)
    release = publish(store, {**site.documents(9), **changes}, site.PROVENANCE)
    promote(store, "production", release, approved_by="ada")
    with TestClient(site.application(settings)) as client:
        found = pages(client, release.id)
        older = pages(client, ids[1])
    assert "IN CHARGE" in found[f"releases/production/{release.id}"]
    assert "manifest.json" in found[f"releases/production/{release.id}"]
    assert "0.031 ms" in older[f"releases/production/{ids[1]}"]
    assert found["releases/production"].count("<svg") >= 3, "the trends of those that have numbers"
