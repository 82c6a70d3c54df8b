"""Which candidate a run is about: the form's, an announced one that it takes, or none; and who judges the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timezone
from typing import TYPE_CHECKING, Any

from gate5.config.gpus import kind_of
from gate5.errors import CheckpointError
from gate5.io.paths import resolve_path

if TYPE_CHECKING:
    from gate5.store import ArtifactStore
    from gate5.store.announced import Announcement

#: Runs that another run has started for one announcement have names that start so.
PREFIX = "candidate__"
ACTIVE = ("queued", "running")
#: In the conf of a run that judges a candidate again: the runs that judged it before, oldest first.
AFTER = "after"
#: The XCom of `receive` that says what it received.
RECEIVED = "received"


@dataclass(frozen=True)
class Candidate:
    """A checkpoint's address, the hashes that whoever announced it saw (``None``: not told), and when that was."""

    source: str
    sha256: str | None = None
    vecnormalize_sha256: str | None = None
    at: str | None = None

    def check(self, policy_sha256: str, vecnormalize_sha256: str | None) -> None:
        """Raise where what was found is not what was announced.

        Raises:
            CheckpointError: a hash differs.
        """
        for what, announced, found in (
            ("policy", self.sha256, policy_sha256),
            ("VecNormalize statistics", self.vecnormalize_sha256, vecnormalize_sha256),
        ):
            if announced is not None and announced != found:
                raise CheckpointError(
                    f"The {what} at {self.source} was announced with sha256 {announced[:12]}, but what is there now "
                    f"has {(found or 'none')[:12]}: announce it again with `gate5 candidate`."
                )


@dataclass(frozen=True)
class Received:
    """What a run has been given; ``to_dict``: what its later tasks want to know of it.

    Attributes:
        source: the address of the checkpoint that this run judges; ``None``: it judges none.
        announcement: of that candidate; ``None``: a person chose it, or it is the form's default.
        others: a run each: ``trigger_run_id`` and ``conf`` of Airflow's operator.
        notes: a sentence for each candidate that this run does not judge.
    """

    source: str | None
    announcement: Announcement | None = None
    others: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for XCom."""
        announced = None if self.announcement is None else self.announcement.to_dict()
        return {"source": self.source, "announcement": announced, "notes": self.notes}


def run_type(context: Mapping[str, Any]) -> str:
    """``manual``: a person started the run; else what did."""
    return str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type))


def unattended(context: Mapping[str, Any]) -> bool:
    """Whether nobody started the run by hand: every kind of run but a manual one."""
    return run_type(context) != "manual"


def earlier_runs(context: Mapping[str, Any]) -> list[str]:
    """The runs that judged this run's candidate before it, oldest first; none where a person started the run."""
    said = (context["dag_run"].conf or {}).get(AFTER) if run_type(context) == "operator_triggered" else None
    return [str(each) for each in said] if isinstance(said, list) else []


def receive_form(context: Mapping[str, Any]) -> Received:
    """The form's checkpoint."""
    return Received(_address(str(context["params"]["checkpoint"])))


def receive(
    context: Mapping[str, Any],
    events: Iterable[Any],
    store: ArtifactStore,
    on_many: str,
    state_of: Callable[[str], str | None],
) -> Received:
    """The announced candidate that a run takes, if one is left for it.

    Args:
        context: the task's context, of a run that nobody started by hand.
        events: the newest ones on the candidate asset.
        store: where it is kept who took which candidate.
        on_many: ``all`` or ``newest``.
        state_of: a run's state by its name, ``None`` where there is no such run.

    Raises:
        CheckpointError: no event says where the candidate is.
        StoreError: the store cannot be used.
    """
    kind, gpu = run_type(context), kind_of(context["dag_run"].dag_id)
    handed = (context["dag_run"].conf or {}).get("announcement") if kind == "operator_triggered" else None
    if handed is not None and earlier_runs(context):
        return _again(_handed(handed, gpu), context, store, state_of)
    if handed is not None:
        return _take([_handed(handed, gpu)], context, store)
    if kind == "scheduled":
        last = [announcement(event, gpu) for event in events]
        return _scheduled(max(last, key=_order), context, store, state_of) if last else receive_form(context)
    if kind != "asset_triggered":
        return receive_form(context)
    given, wrong = _readable(_given(context), gpu)
    if wrong and not given:
        raise CheckpointError(wrong[0])
    every, _ = _readable(events, gpu)
    mine = sorted({*given, *_left_out(every, given, store)}, key=_order)
    received = _newest(mine, every, context, store) if on_many == "newest" else _take(mine, context, store)
    return replace(received, notes=[*wrong, *received.notes])


def announcement(event: Any, gpu: str | None = None) -> Announcement:
    """What an event on the asset says to the release DAG of a kind of GPU (``None``: of the first).

    Raises:
        CheckpointError: it does not say where the candidate is.
    """
    from gate5.store.announced import Announcement

    extra = dict(event.extra or {})
    source = extra.get("uri")
    if not isinstance(source, str) or not source:
        raise CheckpointError(
            f"The event on gate5_candidate has no `uri` in its extra (it has {sorted(extra) or 'nothing'}): "
            "announce a candidate with `gate5 candidate PATH`."
        )
    at = event.timestamp.astimezone(timezone.utc).isoformat(timespec="microseconds")
    return Announcement(_address(source), _text(extra.get("sha256")), _text(extra.get("vecnormalize_sha256")), at, gpu)


def candidate_of(received: Mapping[str, Any] | None) -> Candidate:
    """The candidate of what ``receive`` handed on.

    Raises:
        CheckpointError: `receive` has not run.
        AirflowSkipException: it has none: another run judges it.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    if received is None:  # a person marked `receive` as done
        raise CheckpointError("Nobody has said which candidate this run is about: clear the task `receive`.")
    if received["source"] is None:
        raise AirflowSkipException("This run has no candidate to judge: " + "; ".join(received["notes"]))
    announced = received["announcement"] or {}
    said = (announced.get(name) for name in ("sha256", "vecnormalize_sha256", "at"))
    return Candidate(received["source"], *said)


def _take(mine: list[Announcement], context: Mapping[str, Any], store: ArtifactStore) -> Received:
    """Take the first that no other run has; a run of its own for each after it."""
    from gate5.store import announced

    taken, others, notes = None, [], []
    for each in mine:
        known = announced.find(store, each)
        if taken is None and (known is None or known.run == _run(context)):
            known = announced.take(store, each, _run(context))
            if known.run == _run(context):
                taken = each
                continue
        if known is None:
            others.append({"trigger_run_id": f"{PREFIX}{each.key}", "conf": _conf(context, each)})
            notes.append(f"{each.uri}: a run of its own, {PREFIX}{each.key}")
        else:
            notes.append(f"{each.uri}: {known.sentence or 'the run ' + known.run.get('run_id', '') + ' has it'}")
    return Received(taken.uri if taken else None, taken, others, notes)


def _newest(
    mine: list[Announcement], every: list[Announcement], context: Mapping[str, Any], store: ArtifactStore
) -> Received:
    """Only the newest of all that were announced; the others are superseded, unless a run has them already."""
    from gate5.store import announced

    newest = max([*every, *mine], key=_order)
    notes = []
    for each in mine:
        known = announced.find(store, each)
        if each != newest and (known is None or known.run != _run(context)):
            known = announced.supersede(store, each, newest)
            notes.append(f"{each.uri}: {known.sentence or 'the run ' + known.run.get('run_id', '') + ' has it'}")
    left = [each for each in mine if each == newest or _has(context, store, each)]
    received = _take(left[:1], context, store)
    return Received(received.source, received.announcement, received.others, [*notes, *received.notes])


def _readable(events: Iterable[Any], gpu: str | None) -> tuple[list[Announcement], list[str]]:
    """Announcements in order, and what is wrong with the others: one wrong event must not cost the rest a verdict."""
    found, wrong = set(), []
    for event in events:
        try:
            found.add(announcement(event, gpu))
        except CheckpointError as error:
            wrong.append(str(error))
    return sorted(found, key=_order), wrong


def _left_out(every: list[Announcement], given: list[Announcement], store: ArtifactStore) -> list[Announcement]:
    """What was announced after the last candidate that a run for this kind of GPU has received (the first time: after
    the first of these).

    Airflow (3.3.2) starts no run for what comes while the DAG is paused, and hands what comes between the first of
    several announcements and the run's creation to no run before the next announcement.
    """
    from gate5.store import announced

    last = announced.newest(store, given[0].gpu)
    floor = _order(last.announcement if last else given[0])
    return [each for each in every if _order(each) > floor]


def _order(each: Announcement) -> Any:
    return each.order


def _has(context: Mapping[str, Any], store: ArtifactStore, each: Announcement) -> bool:
    from gate5.store import announced

    known = announced.find(store, each)
    return known is not None and known.run == _run(context)


def _scheduled(
    newest: Announcement, context: Mapping[str, Any], store: ArtifactStore, state_of: Callable[[str], str | None]
) -> Received:
    """By the clock: the newest candidate again, by the rules of today, unless a run has it in hand."""
    from gate5.store import announced

    known = announced.take(store, newest, _run(context))
    if known.run and known.run != _run(context) and state_of(known.run["run_id"]) in ACTIVE:
        return Received(None, None, [], [f"{newest.uri}: the run {known.run['run_id']} has it in hand"])
    return Received(newest.uri, newest)


def _again(
    each: Announcement, context: Mapping[str, Any], store: ArtifactStore, state_of: Callable[[str], str | None]
) -> Received:
    """What runs before this one have judged, unless another run has it in hand."""
    from gate5.store import announced

    before = earlier_runs(context)
    known = announced.take_again(store, each, _run(context), before)
    run = known.run.get("run_id", "")
    if known.run != _run(context) and run not in before and state_of(run) in ACTIVE:
        return Received(None, None, [], [f"{each.uri}: the run {run} has it in hand"])
    return Received(each.uri, each)


def _run(context: Mapping[str, Any]) -> dict[str, str]:
    return {"dag_id": context["dag_run"].dag_id, "run_id": context["dag_run"].run_id}


def _conf(context: Mapping[str, Any], each: Announcement) -> dict[str, Any]:
    """The form of another candidate's run: as this one's."""
    return {"config": context["params"]["config"], "checkpoint": each.uri, "announcement": each.to_dict()}


def _given(context: Mapping[str, Any]) -> list[Any]:
    found = [event for of_asset in context["triggering_asset_events"].values() for event in of_asset]
    if not found:
        raise CheckpointError("The run was started by an asset but has no event: trigger it again with a checkpoint.")
    return found


def _handed(value: Any, gpu: str | None) -> Announcement:
    """What a run was handed, for its own kind of GPU whoever handed it on."""
    from gate5.store.announced import Announcement

    try:
        return replace(Announcement.from_dict(value), gpu=gpu)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"The run was started for an announcement that is none ({error}).") from None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _address(source: str) -> str:
    return source if "://" in source else str(resolve_path(source))
