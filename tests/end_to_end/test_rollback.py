"""A person puts an earlier release back through the DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.io.airflow import ApiError
from tests.support.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def released_twice(site: Site, channel: str) -> str:
    """Make a channel with two releases; returns its configuration's path."""
    path = site.config(channel)
    config = ReleaseConfig.load(path)
    opened = store.open_store(config.store)
    provenance = {"plant": "sco2", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    for blob in (b"good", b"worse"):
        files = {"policy.onnx": blob + channel.encode()}
        release = store.publish(opened, files, provenance, identity=("policy.onnx",))
        store.promote(opened, channel, release, approved_by="ada")
    return path


def rolled_back_from_the_page(page: Page, frame: FrameLocator, site: Site, channel: str, before: str) -> str:
    """Fill in the form behind *Roll back* and send it; ``before`` is in charge again then. The run's name."""
    frame.get_by_role("link", name="Roll back").click()
    frame.locator("#send:not([disabled])").wait_for()
    assert frame.locator("[name=channel]").input_value() == channel
    frame.locator("[name=reason]").fill("oscillates at part load")
    frame.locator("#send").click()
    page.wait_for_url("**/dags/policy_rollback/runs/*")
    run_id = str(page.url.rpartition("/runs/")[2].partition("/")[0].replace("%3A", ":").replace("%2B", "+"))
    assert site.wait_for_run(run_id, "policy_rollback") == "success"
    newest = site.channel(channel)[0]
    assert (newest["kind"], newest["by"], newest["reason"]) == ("rollback", "ada", "oscillates at part load")
    assert newest["release"] == before
    return run_id


def test_the_release_before_comes_back_with_name_and_reason(site: Site) -> None:
    path = released_twice(site, "twice")
    before = site.channel("twice")
    assert len(before) == 2
    run_id = site.start("back", dag_id="policy_rollback", reason="oscillates at part load", config=path)
    assert site.wait_for_run(run_id, "policy_rollback") == "success"
    newest = site.channel("twice")[0]
    assert (newest["kind"], newest["release"]) == ("rollback", before[1]["release"])
    assert (newest["by"], newest["reason"]) == ("ada", "oscillates at part load")


def test_a_release_that_never_was_is_refused_with_a_sentence(site: Site) -> None:
    path = released_twice(site, "never")
    before = site.channel("never")
    form = {"reason": "no such release", "release_id": "sco2-000000000000", "config": path}
    run_id = site.start("nowhere", dag_id="policy_rollback", **form)
    assert site.wait_for_run(run_id, "policy_rollback") == "failed"
    error = site.api.xcom("policy_rollback", run_id, "rollback", "error")
    assert error["exit_code"] == 2
    assert "sco2-000000000000" in error["text"]
    assert site.channel("never") == before


def test_a_rollback_without_a_reason_does_not_start(site: Site) -> None:
    with pytest.raises(ApiError) as refused:
        site.start("why", dag_id="policy_rollback")
    assert refused.value.status in (400, 422)
