"""Several candidates announced at once, on a real scheduler: each has one run, whatever Airflow hands to how many runs.

The scheduler is stopped while they are announced, so that it finds all of them at once, as it does on a busy machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.cli.store import history
from gate5.config.models import ReleaseConfig
from gate5.pipeline.announce import announce_candidate
from gate5.store import announced, open_store
from gate5.store.announced import Candidate
from gate5.workspace.address import run_workspace_uri
from local_airflow.patience import log_bytes, wait_for
from local_cluster.many import other_policy
from tests.end_to_end.conftest import GOOD
from tests.support.site import DAG, QUICK, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]
#: A short run, in which the undertrained policy fails, too; one episode has no interval to compare releases by.
ONE = {
    "evaluation": {**QUICK["evaluation"], "scenarios": ["emergency_trip"], "episodes": 3},
    "falsification": {"control_steps": 3_000},
}
LONG = pytest.mark.skipif("GATE5_LONG" not in os.environ, reason="six whole runs, minutes; GATE5_LONG=1 runs it")


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


def announce_policies(site: Site, name: str) -> list[str]:
    """Announce six policies that are good and of which no two are the same, the third one undertrained."""
    token = site.login("ada")
    uris = [str(site.folder / f"{name}-{number}") for number in range(6)]
    for number, uri in enumerate(uris):
        kind = "undertrained" if number == 2 else "good"
        shutil.copytree(GOOD.parent / kind, uri)
        if kind == "good":
            (Path(uri) / "policy.zip").write_bytes(other_policy(number))
        policy = hashlib.sha256((Path(uri) / "policy.zip").read_bytes()).hexdigest()
        announce_candidate(uri, policy, url=site.airflow.address, token=token)
    return uris


@contextlib.contextmanager
def configured(site: Site, **sections: Any) -> Iterator[None]:
    """The site's configuration has other sections for as long as the block takes."""
    path = site.folder / "announced.yaml"
    before = path.read_text()
    path.write_text(yaml.safe_dump({**yaml.safe_load(before), **sections}))
    try:
        yield
    finally:
        path.write_text(before)


def channel(site: Site, name: str) -> list[Any]:
    """A channel's log, newest first."""
    config = ReleaseConfig.load(site.folder / "announced.yaml")
    return list(history(config, name).to_dict()["entries"])


def verdict(run_id: str) -> str:
    """What the gate said of a run, from its workspace."""
    return str(json.loads((Path(run_workspace_uri(DAG, run_id)) / "gate.json").read_text())["verdict"])


def records(site: Site, uris: list[str]) -> dict[str, Candidate]:
    store = open_store(ReleaseConfig.load(site.folder / "announced.yaml").store)
    return {each.announcement.uri: each for each in announced.recent(store) if each.announcement.uri in uris}


def received(site: Site, uris: list[str]) -> dict[str, Candidate]:
    """The records of all, as soon as there are as many."""

    def all_there() -> dict[str, Candidate] | None:
        site.airflow.check_alive()
        found = records(site, uris)
        return found if len(found) == len(uris) else None

    return wait_for(f"not all of {uris} were received", all_there, lambda: goes_on(site))


def goes_on(site: Site) -> int:
    """What grows while any run goes on: four of them do at once, and the others wait for these."""
    return log_bytes(site.airflow.home.logs)


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
    with configured(site, schedule={"on_many": "newest"}):
        with scheduler_stopped(site):
            uris = announce(site, "newest", 6)
        found = received(site, uris)
    assert [found[uri].outcome for uri in uris[:5]] == ["superseded"] * 5
    assert {found[uri].superseded_by for uri in uris[:5]} == {found[uris[5]].announcement.key}
    judge = found[uris[5]].run["run_id"]
    assert site.wait_for_run(judge) == "failed"
    assert uris[5] in site.api.xcom(DAG, judge, "resolve", "error")["text"]
    told = site.api.xcom(DAG, judge, "receive", "received")["notes"]
    assert [note for note in told if "newest-" in note.split(":")[0]] == [
        f"{uri}: superseded: {uris[5]} was announced later and is judged instead" for uri in uris[:5]
    ], "Airflow may deliver earlier announcements again with these; those have their runs"


@LONG
def test_six_at_once_have_a_real_verdict_each(site: Site) -> None:
    """Each is evaluated and judged, again where another one was promoted meanwhile; at last the newest is current."""
    with configured(site, release={"channel": "six"}, **ONE):
        with scheduler_stopped(site):
            uris = announce_policies(site, "six")
        first = received(site, uris)
        assert len({first[uri].run["run_id"] for uri in uris}) == 6
        found = [settled(site, uri) for uri in uris]
        assert [verdict(each.run["run_id"]) for each in found] == ["pass", "pass", "fail", "pass", "pass", "pass"]
        assert [each.outcome for each in found if each.outcome not in ("promoted", "superseded")] == ["refused"]
        assert (found[2].outcome, found[2].release, found[5].outcome) == ("refused", None, "promoted")
        log = channel(site, "six")
        assert log[0]["release"] == found[5].release
        assert len({entry["release"] for entry in log}) == len(log), "no release has two entries"
        made = [entry["made"] for entry in reversed(log)]
        assert made == sorted(made), "no older candidate has replaced a newer one"

        judge = first[uris[0]].run["run_id"]
        everything = {"dry_run": False, "dag_run_id": judge, "only_failed": False, "reset_dag_runs": True}
        site.api.call("POST", f"dags/{DAG}/clearTaskInstances", everything)
        site.wait_for_run(judge)
        assert channel(site, "six") == log, "delivered again, it adds no entry"


@LONG
def test_what_was_overtaken_while_it_waited_is_judged_again(site: Site) -> None:
    """Compared with no release, it would replace one: a further run compares the two, and asks anew."""
    with configured(site, release={"channel": "overtaken", "approval": "required"}, **ONE):
        policies = [site.folder / f"overtaken-{number}" for number in range(2)]
        for number, folder in enumerate(policies):
            shutil.copytree(GOOD, folder)
            (folder / "policy.zip").write_bytes(other_policy(10 + number))
        by_hand = site.start("overtaking", checkpoint=str(policies[0]), config=str(site.folder / "announced.yaml"))
        site.wait_for_task(by_hand, "export", "success")
        sha256 = hashlib.sha256((policies[1] / "policy.zip").read_bytes()).hexdigest()
        token = site.login("ada")
        event = announce_candidate(str(policies[1]), sha256, url=site.airflow.address, token=token)["extra"]
        first = site.triggered_by(event)
        site.wait_for_task(first, "approval", "awaiting_input")
        site.answer(by_hand, "Promote")
        assert site.wait_for_run(by_hand) == "success"
        site.answer(first, "Promote")
        assert site.wait_for_run(first) == "success"
        page = site.page(f"run/{DAG}/{first}/status", "viewer").json()
        assert (page["word"], "judged against no release" in page["headline"]) == ("JUDGED AGAIN", True), page
        assert len(channel(site, "overtaken")) == 1

        second = taken_from(site, str(policies[1]), first)
        site.answer(second, "Promote", user="bob")
        assert site.wait_for_run(second) == "success"
        rules = json.loads((Path(run_workspace_uri(DAG, second)) / "gate.json").read_text())["rules"]
        assert {rule["outcome"] for rule in rules if rule["name"] == "not_worse_than_current"} == {"pass"}
        assert [entry["by"] for entry in channel(site, "overtaken")] == ["bob", "ada"]
        found = records(site, [str(policies[1])])[str(policies[1])]
        assert (found.outcome, found.run["run_id"]) == ("promoted", second)


def settled(site: Site, uri: str) -> Candidate:
    """What became of a candidate, when no further run judges it."""
    found = records(site, [uri])[uri]
    while True:
        site.wait_for_run(found.run["run_id"])
        now = records(site, [uri])[uri]
        if now.run == found.run and now.outcome == "judged_again":
            taken_from(site, uri, now.run["run_id"])
        elif now.run == found.run:
            return now
        found = records(site, [uri])[uri]


def taken_from(site: Site, uri: str, run: str) -> str:
    """The run that judges a candidate after another one did, as soon as it has it."""

    def taken() -> str | None:
        site.airflow.check_alive()
        now = str(records(site, [uri])[uri].run["run_id"])
        return now if now != run else None

    return wait_for(f"no run has taken {uri} from {run}", taken, lambda: goes_on(site))


@LONG
def test_of_six_real_ones_the_newest_is_judged(site: Site) -> None:
    with configured(site, release={"channel": "only"}, schedule={"on_many": "newest"}, **ONE):
        with scheduler_stopped(site):
            uris = announce_policies(site, "only")
        found = received(site, uris)
        judge = found[uris[5]].run["run_id"]
        assert site.wait_for_run(judge) == "success"
        assert verdict(judge) == "pass"
        found = records(site, uris)
        assert [found[uri].outcome for uri in uris] == [*["superseded"] * 5, "promoted"]
        (entry,) = channel(site, "only")
        assert entry["release"] == found[uris[5]].release
