"""Several candidates announced at once, on a real scheduler: each has one run, whatever Airflow hands to how many runs.

The scheduler is stopped while they are announced, so that it finds all of them at once, as it does on a busy machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.config.models import ReleaseConfig
from gate5.pipeline.announce import announce_candidate
from gate5.store import announced, open_store
from gate5.store.announced import Candidate
from local_airflow.patience import wait_for
from tests.support.site import DAG, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


@contextlib.contextmanager
def scheduler_stopped(site: Site) -> Iterator[None]:
    pid = site.airflow.processes["scheduler"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def announce(site: Site, name: str, count: int) -> list[str]:
    """Announce candidates that are no checkpoints: their runs end at once, in `resolve`, with bad input."""
    token = site.login("ada")
    uris = [str(site.folder / f"{name}-{number}") for number in range(count)]
    for uri in uris:
        Path(uri).mkdir()
        announce_candidate(uri, "0" * 64, url=site.airflow.address, token=token)
    return uris


def records(site: Site, uris: list[str]) -> dict[str, Candidate]:
    store = open_store(ReleaseConfig.load(site.folder / "announced.yaml").store)
    return {each.announcement.uri: each for each in announced.recent(store) if each.announcement.uri in uris}


def received(site: Site, uris: list[str]) -> dict[str, Candidate]:
    """The records of all, as soon as there are as many."""

    def all_there() -> dict[str, Candidate] | None:
        site.airflow.check_alive()
        found = records(site, uris)
        return found if len(found) == len(uris) else None

    return wait_for(f"not all of {uris} were received", all_there, lambda: sorted(records(site, uris)))


def runs_of(site: Site) -> list[dict[str, Any]]:
    return list(site.api.get(f"dags/{DAG}/dagRuns", order_by="-run_after", limit=100)["dag_runs"])


def test_six_at_once_are_judged_in_a_run_each_and_a_repeat_starts_none(site: Site) -> None:
    with scheduler_stopped(site):
        uris = announce(site, "all", 6)
    found = received(site, uris)
    judges = [found[uri].run["run_id"] for uri in uris]
    assert len(set(judges)) == 6
    assert judges[0].startswith("asset_triggered__"), "the oldest is judged by the run that received all"
    assert {run.partition("__")[0] for run in judges[1:]} == {"candidate"}
    for uri, run_id in zip(uris, judges, strict=True):
        assert site.wait_for_run(run_id) == "failed"
        assert uri in site.api.xcom(DAG, run_id, "resolve", "error")["text"], "each is about its own candidate"

    before = {run["dag_run_id"] for run in runs_of(site)}
    tasks = {"dry_run": False, "dag_run_id": judges[0], "task_ids": ["receive", "hand_on"], "only_failed": False}
    site.api.call("POST", f"dags/{DAG}/clearTaskInstances", {**tasks, "reset_dag_runs": True})
    assert site.wait_for_run(judges[0]) == "failed"
    assert {run["dag_run_id"] for run in runs_of(site)} == before, "delivered twice, there is one run of each"
    assert {uri: each.run for uri, each in records(site, uris).items()} == {uri: found[uri].run for uri in uris}


def test_of_six_at_once_the_newest_is_judged_and_five_are_superseded(site: Site) -> None:
    path = site.folder / "announced.yaml"
    before = path.read_text()
    path.write_text(yaml.safe_dump({**yaml.safe_load(before), "schedule": {"on_many": "newest"}}))
    try:
        with scheduler_stopped(site):
            uris = announce(site, "newest", 6)
        found = received(site, uris)
    finally:
        path.write_text(before)
    assert [found[uri].outcome for uri in uris[:5]] == ["superseded"] * 5
    assert {found[uri].superseded_by for uri in uris[:5]} == {found[uris[5]].announcement.key}
    judge = found[uris[5]].run["run_id"]
    assert site.wait_for_run(judge) == "failed"
    assert uris[5] in site.api.xcom(DAG, judge, "resolve", "error")["text"]
    told = site.api.xcom(DAG, judge, "receive", "received")["notes"]
    assert [note for note in told if "newest-" in note.split(":")[0]] == [
        f"{uri}: superseded: {uris[5]} was announced later and is judged instead" for uri in uris[:5]
    ], "Airflow may deliver earlier announcements again with these; those have their runs"
