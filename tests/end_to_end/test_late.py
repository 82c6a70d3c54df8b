"""A release that takes too long, on a real scheduler: Airflow's deadline tells people once, through a real Apprise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from local_airflow.patience import wait_for
from tests.support.receiver import Receiver
from tests.support.site import DAG, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


@contextlib.contextmanager
def deadline(site: Site, minutes: float) -> Iterator[None]:
    """The site's file has a deadline, and the DAG has been parsed with it; afterwards it is as before.

    The connection is in the environment: Airflow 3.3.2 lets a deadline's process read none from its database.
    """
    path = site.folder / "announced.yaml"
    before = path.read_text()
    more = {"schedule": {"deadline_minutes": minutes}, "notify": {"events": ["late"], "connection": "gate5_pager"}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(before), **more}))
    try:
        parse_again(site)
        yield
    finally:
        path.write_text(before)
        parse_again(site)


def parse_again(site: Site) -> None:
    """Twice, because a parse may have been at work when the file changed."""
    for _ in range(2):
        details = site.api.get(f"dags/{DAG}/details")
        before = details["last_parsed_time"]
        site.api.call("PUT", f"parseDagFile/{details['file_token']}", {})

        def parsed(before: str = before) -> bool | None:
            site.airflow.check_alive()
            return site.api.get(f"dags/{DAG}/details")["last_parsed_time"] != before or None

        wait_for(f"{DAG} is not parsed again", parsed)


def test_a_late_release_is_told_once(site: Site, pager: Receiver) -> None:
    def late() -> list[dict[str, Any]]:
        return [each for each in pager.got if each["title"].endswith("takes too long")]

    minutes = 0.02
    with deadline(site, minutes):
        site.start("late", checkpoint=str(site.folder / "nothing"), config=site.config("late"))
    wait_for("nobody is told", lambda: bool(late()) or None, lambda: site.states("late"))
    assert site.wait_for_run("late") == "failed"
    (message,) = late()
    assert message["title"] == "gate5: policy_release takes too long"
    sentence, run, url = message["message"].splitlines()
    assert sentence == f"It has not ended {minutes:g} minutes after it was queued."
    assert (run, url.endswith(f"/dags/{DAG}/runs/late")) == (f"run late of {DAG}", True)
