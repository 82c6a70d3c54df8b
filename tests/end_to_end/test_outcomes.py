"""What became of a run, as its tab says it: promoted, rejected, unanswered, broken, rolled back since."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.workspace.address import run_workspace_uri
from tests.support.site import Runs, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def status(site: Site, run_id: str, dag_id: str = "policy_release") -> dict[str, Any]:
    return dict(site.page(f"run/{dag_id}/{run_id}/status", "viewer").json())


def test_a_rejected_run_is_no_green_pass(site: Site, refused: str) -> None:
    found = status(site, refused)
    assert (found["outcome"]["kind"], found["word"]) == ("rejected", "REJECTED BY ada")
    assert found["missing"] == []
    report = site.page(f"run/policy_release/{refused}/report", "viewer").text
    assert 'class="banner fail"' in report
    assert "REJECTED BY ada" in report


def test_a_run_that_nobody_answered_says_so(site: Site, runs: Runs) -> None:
    site.wait_for_run(runs.silent)
    assert status(site, runs.silent)["word"] == "NOBODY ANSWERED"
    assert "NOBODY ANSWERED" in site.page(f"run/policy_release/{runs.silent}/report", "viewer").text


def test_person_run_and_link_are_in_log_and_manifest(site: Site, promoted: str) -> None:
    entry = site.channel("announced")[-1]
    details = entry["details"]
    assert (entry["by"], details["run_id"]) == ("ada", promoted)
    assert details["url"].startswith(f"{site.airflow.address}/dags/policy_release/runs/")
    config = ReleaseConfig.load(site.folder / "announced.yaml")
    opened = store.open_store(config.store)
    release = store.verify_release(opened, entry["release"], opened.signer.public_key)
    assert release.provenance["origin"].items() <= details.items()


def test_a_promoted_run_says_what_the_channel_says_now(site: Site, promoted: str) -> None:
    """Then another release is put in its place by the store's own means, and then it comes back."""
    config = ReleaseConfig.load(site.folder / "announced.yaml")
    opened = store.open_store(config.store)
    assert status(site, promoted)["outcome"]["kind"] == "promoted"
    provenance = {"plant": "sco2", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    other = store.publish(opened, {"policy.onnx": b"another one"}, provenance)
    store.promote(opened, "announced", other, approved_by="bob")
    try:
        found = status(site, promoted)
        assert found["word"] == "SUPERSEDED"
        assert f"bob released {other.id}" in found["headline"]
        assert found["shown"][0]["name"] == "Release"
    finally:
        store.rollback(opened, "announced", by="bob", reason="the test is over")
    assert status(site, promoted)["outcome"]["kind"] == "promoted"


def test_the_report_of_a_run_whose_workspace_is_gone_comes_from_the_store(
    site: Site, promoted: str, tmp_path: Path
) -> None:
    workspace = run_workspace_uri("policy_release", promoted)
    shutil.move(workspace, tmp_path / "elsewhere")
    try:
        found = status(site, promoted)
        assert found["has_report"]
        assert found["outcome"]["kind"] == "promoted"
        report = site.page(f"run/policy_release/{promoted}/report", "viewer")
        assert report.status_code == 200
        assert "<svg" in report.text
    finally:
        shutil.move(tmp_path / "elsewhere", workspace)


def test_a_broken_run_says_the_sentence_of_its_task_and_what_was_measured(site: Site) -> None:
    path = Path(site.config("broken"))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "engine": {"backend": "tensorrt"}}))
    checkpoint = Path(__file__).resolve().parents[2] / "examples" / "checkpoints" / "good"
    site.start("broken", checkpoint=str(checkpoint), config=str(path))
    assert site.wait_for_run("broken") == "failed"
    found = status(site, "broken")
    assert found["word"] in ("BROKEN", "BAD INPUT")
    failed = [stage for stage in found["stages"] if stage["state"] == "failed"]
    assert failed[0]["task"] in ("look_up", "build"), "the first that asks for the back end"
    assert "TensorRT" in failed[0]["text"]
    assert failed[0]["text"] in found["headline"]
    assert "upstream_failed" not in {stage["state"] for stage in found["stages"]}, "what will not run is not missing"
    report = site.page("run/policy_release/broken/report", "viewer")
    assert report.status_code == 200, "what was measured until then"
    assert "ONNX against the policy" in report.text


def test_the_list_of_runs_says_what_became_of_each(site: Site, promoted: str, refused: str) -> None:
    def note(run_id: str) -> str:
        return str(site.api.get(site.api.run_path("policy_release", run_id))["note"])

    assert note(promoted).startswith("PROMOTED: ")
    assert "released to announced" in note(promoted)
    assert note(refused).startswith("REJECTED BY ada: ")
    assert "Candidate " in note(refused)


def test_the_tasks_link_to_report_and_release(site: Site, promoted: str) -> None:
    def links(task: str) -> dict[str, str]:
        path = f"{site.api.run_path('policy_release', promoted)}/taskInstances/{task}/links"
        return dict(site.api.get(path)["extra_links"])

    release = site.channel("announced")[-1]["release"]
    for task in ("gate", "report", "promote"):
        assert links(task)["Report of Gate 5"].endswith("/plugin/gate5")
    assert links("promote")["Release"].endswith(f"/plugin/releases/gate5/releases/announced/{release}")


def test_the_tab_of_a_rollback_says_what_it_did(site: Site) -> None:
    site.start("no-such-release", dag_id="policy_rollback", reason="for the tab", channel="empty")
    site.wait_for_run("no-such-release", "policy_rollback")
    found = status(site, "no-such-release", "policy_rollback")
    assert "nothing to go back to" in found["stages"][0]["text"]
