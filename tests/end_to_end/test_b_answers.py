"""The person between Gate 5 and the channel, on a real scheduler: yes, no, and no answer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gate5.cli.store import history
from gate5.config.models import ReleaseConfig
from gate5.store import open_store, verify_release

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: An answer within about a second of `awaiting_input` can find the task still queued in the scheduler and fail it.
RACE_S = 3.0


def answer(site: Any, run_id: str, option: str) -> None:
    site.wait_for_task(run_id, "approval", "awaiting_input")
    time.sleep(RACE_S)
    site.api.answer("policy_release", run_id, "approval", option)


def production(site: Any) -> list[dict[str, Any]]:
    return list(history(ReleaseConfig.load(site.folder / "announced.yaml")).to_dict()["entries"])


def test_rejected_by_a_person_is_a_failed_run_with_the_name(site: Any, runs: Any) -> None:
    answer(site, runs.refuse, "Reject")
    assert site.wait_for_run(runs.refuse) == "failed"
    states = site.states(runs.refuse)
    assert (states["approval"], states["promote"], states["reject"]) == ("success", "skipped", "failed")
    outcome = site.outcome(runs.refuse)
    assert outcome.code == 1
    assert any("ada answered Reject" in line for line in outcome.lines)
    assert production(site) == []


def test_silence_is_a_rejection(site: Any, runs: Any) -> None:
    assert site.wait_for_run(runs.silent) == "failed"
    assert site.states(runs.silent)["promote"] == "skipped"
    outcome = site.outcome(runs.silent)
    assert outcome.code == 1
    assert any("nobody answered" in line for line in outcome.lines)
    assert production(site) == []


def test_promoted_by_a_person_with_the_name_in_the_signed_manifest(site: Any, runs: Any) -> None:
    answer(site, runs.promote, "Promote")
    assert site.wait_for_run(runs.promote) == "success"
    assert site.states(runs.promote)["reject"] == "skipped"
    entries = production(site)
    assert [entry["by"] for entry in entries] == ["ada"]
    config = ReleaseConfig.load(site.folder / "announced.yaml")
    store = open_store(config.store)
    release = verify_release(store, entries[0]["release"], store.signer.public_key)
    assert release.provenance["approved_by"] == "ada"
    outcome = site.outcome(runs.promote)
    assert outcome.code == 0
    assert any(entries[0]["release"] in line for line in outcome.lines)
    assert any(line.startswith("report ") for line in outcome.lines)
