"""The person between Gate 5 and the channel, on a real scheduler: yes, no, and no answer."""

from __future__ import annotations

import pytest

from gate5.config.models import ReleaseConfig
from gate5.store import open_store, verify_release
from tests.support.site import Runs, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_rejected_by_a_person_is_a_failed_run_with_the_name(site: Site, refused: str) -> None:
    states = site.states(refused)
    assert (states["approval"], states["promote"], states["reject"]) == ("success", "skipped", "failed")
    outcome = site.outcome(refused)
    assert outcome.code == 1
    assert any("ada answered Reject" in line for line in outcome.lines)
    (entry,) = site.channel(refused)
    assert (entry["kind"], entry["by"], entry["release"]) == ("hold", "ada", ""), "held until a person lifts it"


def test_silence_is_a_rejection(site: Site, runs: Runs) -> None:
    assert site.wait_for_run(runs.silent) == "failed"
    assert site.states(runs.silent)["promote"] == "skipped"
    outcome = site.outcome(runs.silent)
    assert outcome.code == 1
    assert any("nobody answered" in line for line in outcome.lines)
    assert site.channel(runs.silent) == []


def test_promoted_by_a_person_with_the_name_in_the_signed_manifest(site: Site, promoted: str) -> None:
    assert site.states(promoted)["reject"] == "skipped"
    entries = site.channel("announced")
    assert [entry["by"] for entry in entries] == ["ada"]
    config = ReleaseConfig.load(site.folder / "announced.yaml")
    store = open_store(config.store)
    release = verify_release(store, entries[0]["release"], store.signer.public_key)
    assert release.provenance["approved_by"] == "ada"
    outcome = site.outcome(promoted)
    assert outcome.code == 0
    assert any(entries[0]["release"] in line for line in outcome.lines)
    assert any(line.startswith("report ") for line in outcome.lines)
