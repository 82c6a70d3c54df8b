"""Which candidate a run is about, and who judges the others that were announced with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.errors import CheckpointError
from gate5.store import ArtifactStore, announced
from gate5.store.directory import DirectoryBackend

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
    run_id: str
    conf: dict[str, Any] | None = None
    dag_id: str = "policy_release"


@dataclass
class Context:
    """A task's context, as far as the candidate depends on it."""

    run_type: str = "manual"
    checkpoint: str = "/form/checkpoint"
    events: Sequence[Event] = field(default_factory=list)
    run_id: str = "this"
    conf: dict[str, Any] | None = None
    dag_id: str = "policy_release"

    def mapping(self) -> dict[str, Any]:
        return {
            "dag_run": Run(self.run_type, self.run_id, self.conf, self.dag_id),
            "params": {"checkpoint": self.checkpoint, "config": "release.yaml"},
            "triggering_asset_events": {"gate5_candidate": list(self.events)},
        }


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(DirectoryBackend(tmp_path / "store"))


def receive(
    store: ArtifactStore,
    context: Context,
    announced: Sequence[Event] = (),
    on_many: str = "all",
    states: dict[str, str] | None = None,
) -> Any:
    from gate5_dag import candidate  # type: ignore[import-not-found,unused-ignore]

    return candidate.receive(context.mapping(), announced, store, on_many, (states or {}).get)


def run_of(handed: dict[str, Any], dag_id: str = "policy_release") -> Context:
    """The run that `hand_on` starts."""
    return Context("operator_triggered", run_id=handed["trigger_run_id"], conf=handed["conf"], dag_id=dag_id)


def six() -> list[Event]:
    """In no order, as Airflow gives them."""
    return [Event({"uri": f"/{n}", "sha256": GOOD}, NOW + timedelta(seconds=n)) for n in (3, 1, 6, 2, 5, 4)]


def test_a_run_by_hand_takes_the_form_and_no_announcement() -> None:
    """A person who chose a checkpoint gets it, whatever was announced since."""
    from gate5_dag.candidate import candidate_of, receive_form  # type: ignore[import-not-found,unused-ignore]

    found = candidate_of(receive_form(Context(events=six()).mapping()).to_dict())
    assert (found.source, found.sha256) == ("/form/checkpoint", None)


def test_a_relative_path_starts_at_gate5s_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in whatever folder the worker was started in."""
    from gate5_dag.candidate import receive_form

    monkeypatch.setenv("GATE5_HOME", "/home/gate5")
    assert receive_form(Context(checkpoint="examples/good").mapping()).source == "/home/gate5/examples/good"
    assert receive_form(Context(checkpoint="s3://bucket/good/").mapping()).source == "s3://bucket/good/"


def test_of_six_the_oldest_is_judged_and_each_other_gets_a_run_in_order(store: ArtifactStore) -> None:
    found = receive(store, Context("asset_triggered", events=six()))
    assert found.source == "/1"
    assert [handed["conf"]["announcement"]["uri"] for handed in found.others] == ["/2", "/3", "/4", "/5", "/6"]
    assert len({handed["trigger_run_id"] for handed in found.others}) == 5
    assert {handed["conf"]["config"] for handed in found.others} == {"release.yaml"}
    judged = [receive(store, run_of(handed)).source for handed in found.others]
    assert judged == ["/2", "/3", "/4", "/5", "/6"]
    assert len(announced.recent(store)) == 6


def test_the_same_again_changes_nothing(store: ArtifactStore) -> None:
    """A task that is tried again, after its runs were started or not."""
    context = Context("asset_triggered", events=six())
    first = receive(store, context)
    assert receive(store, context) == first
    for handed in first.others:
        receive(store, run_of(handed))
    again = receive(store, context)
    assert (again.source, again.others) == (first.source, [])


#: A kind of GPU is a DAG of its own, which gets the same events, together or one by one, as it comes.
DELIVERIES = st.lists(
    st.tuples(
        st.sampled_from(["policy_release", "policy_release_l4", "policy_release_a-10"]),
        st.lists(st.integers(1, 6), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=6,
)


@given(deliveries=DELIVERIES, seed=st.randoms())
@settings(max_examples=40, deadline=None)
def test_however_events_are_delivered_each_has_one_run_for_each_kind_of_gpu(
    tmp_path_factory: pytest.TempPathFactory, deliveries: list[tuple[str, list[int]]], seed: Any
) -> None:
    """The law: every announcement that was delivered to a kind's DAG is judged by exactly one run of that DAG."""
    store = ArtifactStore(DirectoryBackend(tmp_path_factory.mktemp("law")))
    events = {event.extra["uri"]: event for event in six()}
    todo = [
        Context("asset_triggered", events=[events[f"/{n}"] for n in numbers], run_id=f"run {at}", dag_id=dag_id)
        for at, (dag_id, numbers) in enumerate(deliveries)
    ]
    judged, started = [], set()
    while todo:
        run = todo.pop(seed.randrange(len(todo)))
        found = receive(store, run)
        judged += [(run.dag_id, found.source)] if found.source else []
        for handed in found.others:
            if (run.dag_id, handed["trigger_run_id"]) not in started:  # Airflow has one run of a name
                started.add((run.dag_id, handed["trigger_run_id"]))
                todo.append(run_of(handed, run.dag_id))
    assert sorted(judged) == sorted({(dag_id, f"/{n}") for dag_id, numbers in deliveries for n in numbers})


def test_what_one_kind_of_gpu_has_received_is_no_news_to_another(store: ArtifactStore) -> None:
    """Each looks at its own: what was left out, what is the newest, who has it in hand."""
    events = sorted(six(), key=lambda event: event.timestamp)
    l4: dict[str, Any] = {"dag_id": "policy_release_l4"}
    assert receive(store, Context("asset_triggered", events=[events[0]], run_id="a", **l4), events[:1]).source == "/1"
    assert receive(store, Context("asset_triggered", events=[events[3]], run_id="b"), events[:4]).others == []
    assert announced.newest(store, None).announcement.uri == "/4"  # type: ignore[union-attr]
    assert announced.newest(store, "l4").announcement.uri == "/1"  # type: ignore[union-attr]
    left = receive(store, Context("asset_triggered", events=[events[3]], run_id="c", **l4), events[:4])
    assert (left.source, [each["conf"]["checkpoint"] for each in left.others]) == ("/2", ["/3", "/4"])
    # The first kind's run has /4 in hand, and `nightly` of the other one judges it nevertheless.
    found = receive(store, Context("scheduled", run_id="nightly", **l4), events[3:4], states={"b": "running"})
    assert (found.source, found.announcement.gpu) == ("/4", "l4")
    assert receive(store, Context("asset_triggered", events=events[4:5], run_id="d"), events, "newest").source == "/6"
    newer = receive(store, Context("asset_triggered", events=events[4:5], run_id="e", **l4), events, "newest")
    assert newer.source == "/6"


def test_what_another_kind_hands_on_is_judged_for_the_own_one(store: ArtifactStore) -> None:
    """Somebody's operator may start a kind's DAG with what the first one was given."""
    found = receive(store, Context("asset_triggered", events=six()))
    handed = found.others[0]
    assert receive(store, run_of(handed)).source == "/2"
    other = receive(store, run_of(handed, "policy_release_l4"))
    assert (other.source, other.announcement.gpu) == ("/2", "l4")


def test_a_record_from_before_there_were_kinds_is_the_first_kinds(store: ArtifactStore) -> None:
    """Names and contents are as they were: a version before this one reads them, and finds its own again."""
    old = {"uri": "/1", "sha256": None, "vecnormalize_sha256": None, "at": "2026-01-01T00:00:01.000000+00:00"}
    found = announced.Announcement.from_dict(old)
    assert (found.gpu, found.to_dict()) == (None, old)
    assert found.folder == "candidates/98232774399000-417edc0c11c1bb2d/"
    other = announced.Announcement.from_dict({**old, "gpu": "l4"})
    assert (other.key != found.key, other.to_dict()) == (True, {**old, "gpu": "l4"})
    with pytest.raises(ValueError, match="and gpu where"):
        announced.Announcement.from_dict({**old, "gpu": 4})


def test_of_six_the_newest_is_judged_and_five_are_superseded(store: ArtifactStore) -> None:
    found = receive(store, Context("asset_triggered", events=six()), six(), "newest")
    assert (found.source, found.others, len(found.notes)) == ("/6", [], 5)
    told = {each.announcement.uri: each.outcome for each in announced.recent(store)}
    assert told == {**dict.fromkeys(["/1", "/2", "/3", "/4", "/5"], "superseded"), "/6": "judging"}
    newest = next(each for each in announced.recent(store) if each.announcement.uri == "/6")
    assert {each.superseded_by for each in announced.recent(store)} == {newest.announcement.key, None}


def test_a_newer_one_in_another_run_supersedes_too(store: ArtifactStore) -> None:
    """Whether Airflow puts two announcements into one run or two is chance."""
    events = sorted(six(), key=lambda event: event.timestamp)
    found = receive(store, Context("asset_triggered", events=events[:2]), events[-1:], "newest")
    assert (found.source, len(found.notes)) == ("/6", 2)
    other = Context("asset_triggered", events=events[2:], run_id="b")
    assert receive(store, other, events[-1:], "newest").source is None, "it has been taken"
    assert sorted(each.outcome for each in announced.recent(store)) == ["judging", *["superseded"] * 5]


def test_what_was_announced_while_the_dag_was_paused_is_judged_too(store: ArtifactStore) -> None:
    """Airflow starts no run for it. What was announced before any run received one is history."""
    events = sorted(six(), key=lambda event: event.timestamp)
    assert receive(store, Context("asset_triggered", events=[events[1]], run_id="a"), events[:2]).others == []
    found = receive(store, Context("asset_triggered", events=[events[5]], run_id="b"), events)
    assert (found.source, [handed["conf"]["checkpoint"] for handed in found.others]) == ("/3", ["/4", "/5", "/6"])


def test_one_wrong_announcement_does_not_cost_the_others_their_verdict(store: ArtifactStore) -> None:
    found = receive(store, Context("asset_triggered", events=[*six()[:2], Event({"uri": 5})]))
    assert (found.source, len(found.others)) == ("/1", 1)
    assert any("has no `uri`" in note for note in found.notes)


@pytest.mark.parametrize("extra", [{}, {"uri": ""}, {"uri": 5}, {"path": "/x"}])
def test_an_event_that_does_not_say_where_is_refused(store: ArtifactStore, extra: dict[str, Any]) -> None:
    """Not quietly replaced by the form's default, which would release another policy than the announced one."""
    with pytest.raises(CheckpointError, match="has no `uri`"):
        receive(store, Context("asset_triggered", events=[Event(extra)]))


@pytest.mark.parametrize(
    "value", [5, {}, {"uri": "/x"}, {"uri": "/x", "sha256": None, "vecnormalize_sha256": None, "at": "x"}]
)
def test_a_run_for_an_announcement_that_is_none_is_refused(store: ArtifactStore, value: Any) -> None:
    with pytest.raises(CheckpointError, match="announcement that is none"):
        receive(store, Context("operator_triggered", conf={"announcement": value}))


def test_a_scheduled_run_takes_the_last_announcement_else_the_form(store: ArtifactStore) -> None:
    assert receive(store, Context("scheduled")).source == "/form/checkpoint"
    last = Event({"uri": "/last", "sha256": GOOD})
    assert receive(store, Context("scheduled"), [last]).source == "/last"


def test_a_scheduled_run_leaves_a_candidate_to_the_run_that_has_it(store: ArtifactStore) -> None:
    last = Event({"uri": "/last", "sha256": GOOD})
    receive(store, Context("asset_triggered", events=[last], run_id="first"))
    found = receive(store, Context("scheduled"), [last], states={"first": "running"})
    assert (found.source, found.notes) == (None, ["/last: the run first has it in hand"])
    for state in ("success", "failed"):
        assert receive(store, Context("scheduled"), [last], states={"first": state}).source == "/last"
    assert receive(store, Context("scheduled"), [last]).source == "/last", "Airflow has forgotten the first run"


def again(context: Context, received: Any) -> Context:
    """The run that `promote` starts where the channel has moved on."""
    from gate5_dag.again import next_run  # type: ignore[import-not-found,unused-ignore]
    from gate5_dag.candidate import earlier_runs

    said = {"announcement": received.announcement.to_dict()} if received.announcement else {}
    before = [*earlier_runs(context.mapping()), context.run_id]
    name = next_run(context.mapping())
    assert name is not None
    return Context("operator_triggered", run_id=name, conf={**said, "checkpoint": received.source, "after": before})


@pytest.mark.parametrize("kind", ["asset_triggered", "scheduled"])
def test_a_candidate_whose_channel_moved_on_is_judged_again_by_a_run_of_its_own(
    store: ArtifactStore, kind: str
) -> None:
    last = Event({"uri": "/last", "sha256": GOOD})
    first = Context(kind, events=[last], run_id="first")
    second = again(first, receive(store, first, [last]))
    third = again(second, receive(store, second))
    assert len({"first", second.run_id, third.run_id}) == 3
    assert (second.run_id[-3:], third.run_id[-3:], second.run_id[:-1] == third.run_id[:-1]) == ("__2", "__3", True)
    found = receive(store, third)
    assert (found.source, found.announcement.at) == ("/last", NOW.isoformat(timespec="microseconds"))
    assert receive(store, third).source == "/last", "tried again"
    assert announced.recent(store)[0].run["run_id"] == third.run_id, "who has it now"


@pytest.mark.parametrize("dag_id", ["policy_release", "policy_release_l4"])
def test_it_is_judged_again_by_the_same_kind_of_gpu(monkeypatch: pytest.MonkeyPatch, dag_id: str) -> None:
    from airflow.sdk.exceptions import DagRunTriggerException

    from gate5_dag import again as module

    class Task:
        def xcom_pull(self, **_: Any) -> None:
            return None

        xcom_push = xcom_pull

    context = {**Context("asset_triggered", run_id="first", dag_id=dag_id).mapping(), "ti": Task()}
    monkeypatch.setattr(module, "get_current_context", lambda: context)
    with pytest.raises(DagRunTriggerException) as caught:
        module.start_again(["the channel has moved on"])
    assert caught.value.trigger_dag_id == dag_id


def test_it_is_not_judged_again_where_another_run_has_it_in_hand(store: ArtifactStore) -> None:
    last = Event({"uri": "/last", "sha256": GOOD})
    nightly = Context("scheduled", run_id="nightly")
    found = receive(store, nightly, [last])
    receive(store, Context("asset_triggered", events=[last], run_id="other"))  # it is the nightly run's
    other = Context(
        "operator_triggered", run_id="c", conf={"announcement": found.announcement.to_dict(), "after": ["z"]}
    )
    assert receive(store, other, states={"nightly": "running"}).notes == ["/last: the run nightly has it in hand"]
    assert receive(store, other, states={"nightly": "success"}).source == "/last"


def test_a_candidate_is_not_judged_again_for_ever() -> None:
    from gate5_dag.again import MOST, next_run

    before = [f"run {number}" for number in range(MOST - 2)]
    assert next_run(Context("operator_triggered", conf={"after": before}).mapping()) is not None
    assert next_run(Context("operator_triggered", conf={"after": [*before, "last"]}).mapping()) is None


def test_another_policy_or_normaliser_than_the_announced_one_is_refused(store: ArtifactStore) -> None:
    from gate5_dag.candidate import candidate_of

    extra = {"uri": "/x", "sha256": GOOD, "vecnormalize_sha256": "c" * 64}
    found = candidate_of(receive(store, Context("asset_triggered", events=[Event(extra)])).to_dict())
    assert found.at is not None, "of two candidates the one that was announced later is the newer one"
    found.check(GOOD, "c" * 64)
    with pytest.raises(CheckpointError, match="announced with sha256 aaaaaaaaaaaa, but what is there now has bbbbbbbb"):
        found.check("b" * 64, "c" * 64)
    for other in ("d" * 64, None):
        with pytest.raises(CheckpointError, match="VecNormalize statistics"):
            found.check(GOOD, other)


@pytest.mark.parametrize("run_type", ["scheduled", "asset_triggered", "backfill", "operator_triggered", "manual"])
def test_only_a_manual_run_was_started_by_a_person(run_type: str) -> None:
    from gate5_dag.candidate import unattended

    assert unattended(Context(run_type).mapping()) is (run_type != "manual")
