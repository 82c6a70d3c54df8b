"""A candidate that is announced starts the DAG; an announcement that is wrong releases nothing."""

from __future__ import annotations

import pytest

from gate5.pipeline.announce import AnnounceError, AnnounceInputError, announce_candidate
from tests.support.site import Runs, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_an_announced_candidate_starts_the_run(site: Site, runs: Runs, promoted: str) -> None:
    run = site.api.get(site.api.run_path("policy_release", runs.promote))
    assert run["run_type"] == "asset_triggered"
    resolved = site.api.xcom("policy_release", runs.promote, "resolve", "return_value")
    assert resolved["policy_sha256"] == runs.announcement["extra"]["sha256"]
    assert [entry["release"] for entry in site.channel("announced")], "and was released"


def test_another_policy_than_the_announced_one_is_not_released(site: Site, runs: Runs) -> None:
    """Somebody replaced the file between the announcement and the run."""
    before = site.channel("announced")
    source = runs.announcement["extra"]["uri"]
    event = announce_candidate(source, "0" * 64, url=site.airflow.address, token=site.login("ada"))
    run_id = site.triggered_by(event["extra"])
    assert site.wait_for_run(run_id) == "failed"
    error = site.api.xcom("policy_release", run_id, "resolve", "error")
    assert (error["kind"], error["exit_code"]) == ("CheckpointError", 2)
    assert "announced with sha256 000000000000" in error["text"]
    tries = {task["task_id"]: task["try_number"] for task in site.api.task_instances("policy_release", run_id)}
    assert tries["resolve"] == 1, "the same announcement cannot become right by trying again"
    assert site.channel("announced") == before


def test_a_viewer_may_not_announce(site: Site) -> None:
    with pytest.raises(AnnounceInputError, match=r"refuses the login \(403\)"):
        announce_candidate("/x", "0" * 64, url=site.airflow.address, token=site.login("viewer"))


def test_a_wrong_password_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_USER", "ada")
    monkeypatch.setenv("AIRFLOW_PASSWORD", "wrong")
    with pytest.raises(AnnounceInputError, match="AIRFLOW_PASSWORD"):
        announce_candidate("/x", "0" * 64, url=site.airflow.address)


def test_an_address_that_is_not_the_api_is_told(site: Site) -> None:
    """Airflow's own pages answer every path with the UI."""
    with pytest.raises(AnnounceError):
        announce_candidate("/x", "0" * 64, url=f"{site.airflow.address}/dags", token=site.login("ada"))
