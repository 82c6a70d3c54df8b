"""What was judged before need not be judged again; and what a run came to is told to whoever asks later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from gate5_dag.candidate import ACTIVE, RECEIVED, earlier_runs, run_type
from gate5_dag.credentials import store_credentials
from gate5_dag.receiving import state_of
from gate5_dag.tasks import log, note, run_workspace, verdict_of_run

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.store.judgements import Judgement


def look_up_judgement() -> dict[str, Any]:
    """The name of what this run judges.

    Raises:
        AirflowSkipException: it was judged and promoted before, or another run has it in hand.
        AirflowFailException: it was judged and refused before.
    """
    from gate5.pipeline.asked import asked_of
    from gate5.pipeline.stages import load_run_config
    from gate5.store import judgements, open_store

    workspace, context = run_workspace(), get_current_context()
    config = load_run_config(workspace)
    asked = asked_of(workspace, config)
    run = {"dag_id": context["dag_run"].dag_id, "run_id": context["dag_run"].run_id, "workspace": workspace.uri}
    by_hand = run_type(context) == "manual"
    with store_credentials(config):
        opened = open_store(config.store)
        found = None if by_hand else judgements.find(opened, asked, config)
        before = judgements.begin(opened, asked, run)
    if found is not None and found.run != run:
        _end_as(found)
    # A run that a person started in another kind's DAG may have asked the same.
    others = [(str(other["run_id"]), other.get("dag_id")) for other in before if other.get("run_id")]
    handed = earlier_runs(context)  # by runs that have said all that they had to say
    busy = next((name for name, dag_id in others if name not in handed and state_of(name, dag_id) in ACTIVE), None)
    if busy is not None and not by_hand:
        sentence = f"not judged: the run {busy} judges the same policy by the same rules just now"
        tell_end("already_judged", sentence)
        raise AirflowSkipException(sentence)
    return {"asked": asked, "run": run}


def _end_as(found: Judgement) -> None:
    tell_end("already_judged", found.line(), release=found.release)
    log.info("%s", found.line())
    if found.outcome == "promoted":
        raise AirflowSkipException(found.line())
    note({"kind": "AlreadyJudged", "text": f"{found.line()}.", "exit_code": 1})
    raise AirflowFailException(f"Not released: {found.line()}; start a run by hand to have it judged again.")


def tell_end(outcome: str, sentence: str, *, reasons: Sequence[str] = (), release: str | None = None) -> None:
    """Record what the run came to; what has been decided stands even where that fails."""
    from gate5.pipeline.stages import load_run_config

    try:
        config = load_run_config(run_workspace())
        with store_credentials(config):
            _record(config, outcome, sentence, tuple(reasons), release)
    except Exception:  # noqa: BLE001 - whatever it was, the candidate has its verdict
        log.exception("What this run came to could not be recorded in the store")


def _record(config: ReleaseConfig, outcome: str, sentence: str, reasons: tuple[str, ...], release: str | None) -> None:
    from gate5.pipeline import current
    from gate5.store import announced, judgements, open_store
    from gate5.workspace.records import Tracker

    ti: Any = get_current_context()["ti"]
    opened = open_store(config.store)
    received = ti.xcom_pull(task_ids="receive", key=RECEIVED) or {}
    if received.get("announcement"):
        mine = announced.Announcement.from_dict(received["announcement"])
        announced.end(opened, mine, outcome, sentence, release)
    asked = ti.xcom_pull(task_ids="look_up")
    verdict = verdict_of_run()
    # A measurement that is missing, or a person who did not answer, is no judgement of the policy.
    if asked and (outcome == "promoted" or verdict == "fail"):
        compared = current.read(Tracker(run_workspace(), config.sha256)).compared
        judgements.keep(
            opened, asked["asked"], config, outcome, asked["run"], reasons=reasons, release=release, compared=compared
        )
