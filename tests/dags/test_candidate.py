"""Which candidate a run is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gate5.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("dag_modules")
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
GOOD = "a" * 64


@dataclass
class Event:
    """What Airflow hands a task of an asset event."""

    extra: dict[str, Any]
    timestamp: datetime = NOW


@dataclass
class Run:
    """What Airflow hands a task of its run."""

    run_type: str


@dataclass
class Context:
    """A task's context, as far as the candidate depends on it."""

    run_type: str = "manual"
    checkpoint: str = "/form/checkpoint"
    events: list[Event] = field(default_factory=list)

    def mapping(self) -> dict[str, Any]:
        return {
            "dag_run": Run(self.run_type),
            "params": {"checkpoint": self.checkpoint},
            "triggering_asset_events": {"gate5_candidate": self.events},
        }


def find(context: Context, announced: list[Event] | None = None) -> Any:
    from gate5_dag.candidate import find_candidate  # type: ignore[import-not-found,unused-ignore]

    return find_candidate(context.mapping(), announced or [])


def test_a_run_by_hand_takes_the_form_and_no_announcement() -> None:
    """A person who chose a checkpoint gets it, whatever was announced since."""
    found = find(Context(), [Event({"uri": "/announced", "sha256": GOOD})])
    assert (found.source, found.sha256) == ("/form/checkpoint", None)


def test_a_relative_path_starts_at_gate5s_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in whatever folder the worker was started in."""
    monkeypatch.setenv("GATE5_HOME", "/home/gate5")
    assert find(Context(checkpoint="examples/good")).source == "/home/gate5/examples/good"
    assert find(Context(checkpoint="s3://bucket/good/")).source == "s3://bucket/good/"


def test_an_announced_run_takes_the_newest_event() -> None:
    events = [
        Event({"uri": "/new", "sha256": GOOD}, NOW + timedelta(minutes=1)),
        Event({"uri": "/old", "sha256": GOOD}, NOW),
    ]
    assert find(Context("asset_triggered", events=events)).source == "/new"


def test_a_scheduled_run_takes_the_last_announcement_else_the_form() -> None:
    events = [Event({"uri": "/first"}), Event({"uri": "/last", "sha256": GOOD})]
    assert find(Context("scheduled"), events).source == "/last"
    assert find(Context("scheduled")).source == "/form/checkpoint"


@pytest.mark.parametrize("extra", [{}, {"uri": ""}, {"uri": 5}, {"path": "/x"}])
def test_an_event_that_does_not_say_where_is_refused(extra: dict[str, Any]) -> None:
    """Not quietly replaced by the form's default, which would release another policy than the announced one."""
    with pytest.raises(CheckpointError, match="has no `uri`"):
        find(Context("asset_triggered", events=[Event(extra)]))


def test_another_policy_than_the_announced_one_is_refused() -> None:
    found = find(Context("asset_triggered", events=[Event({"uri": "/x", "sha256": GOOD})]))
    found.check(GOOD, None)
    with pytest.raises(CheckpointError, match="announced with sha256 aaaaaaaaaaaa, but what is there now has bbbbbbbb"):
        found.check("b" * 64, None)


def test_another_normaliser_than_the_announced_one_is_refused() -> None:
    extra = {"uri": "/x", "sha256": GOOD, "vecnormalize_sha256": "c" * 64}
    found = find(Context("asset_triggered", events=[Event(extra)]))
    found.check(GOOD, "c" * 64)
    for other in ("d" * 64, None):
        with pytest.raises(CheckpointError, match="VecNormalize statistics"):
            found.check(GOOD, other)


@pytest.mark.parametrize("run_type", ["scheduled", "asset_triggered", "backfill", "operator_triggered", "manual"])
def test_only_a_manual_run_was_started_by_a_person(run_type: str) -> None:
    from gate5_dag.candidate import unattended

    assert unattended(Context(run_type).mapping()) is (run_type != "manual")
