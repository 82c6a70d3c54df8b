"""What the tasks of policy_promote do: a release goes from one channel to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from gate5.config.site import refuse_between_kinds
from gate5.errors import InputError
from gate5.io import canonical
from gate5_dag.by_hand import person
from gate5_dag.credentials import store_credentials
from gate5_dag.moved import tell_moved
from gate5_dag.people import check_answer
from gate5_dag.tasks import load_config, log, run_workspace, stage_errors, tried_before

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig

#: In the run's workspace: which release it is about, and who said yes to it.
WANTED, ANSWER = "promotion.json", "answer.json"


@dataclass(frozen=True)
class Wanted:
    """What is to be promoted where; found once, so that an approver and `promote` have the same before them."""

    release: str
    source: str
    target: str


def check_release() -> bool:
    """Note what is wanted, and hold it to the target's demands; returns whether a person is to be asked."""
    from gate5.pipeline.admitted import admitted

    params, by = dict(get_current_context()["params"]), person()
    with stage_errors():
        config = target_config()
        source = params["from_channel"] or load_config({"config": params["config"]}).release.channel
        refuse_between_kinds(source, config.release.channel)
        with store_credentials(config):
            release, asks = admitted(config, source, config.release.channel, params["release_id"] or None)
        wanted = {"release": release, "source": source, "target": config.release.channel}
        run_workspace().write_json(WANTED, wanted)
    log.info("%s started the promotion of %s from %s to %s", by, *wanted.values())
    return asks or config.release.approval == "required"


def wanted_here() -> Wanted:
    """What `check` found.

    Raises:
        InputError: it has not run.
    """
    data = run_workspace().find(WANTED)
    if data is None:
        raise InputError("Nobody has checked what is to be promoted: clear the task `check`.")
    return Wanted(**canonical.loads(data))


def target_config() -> ReleaseConfig:
    """The configuration, as it is for the channel that the release goes to."""
    params = get_current_context()["params"]
    return load_config({"config": params["config"], "channel": params["to_channel"]})


def note_answer_between(who: str, comment: str | None) -> None:
    """Write down a person's yes to what is wanted.

    Raises:
        InputError: the channel does not take it.
    """
    check_answer(target_config(), who, person())
    run_workspace().write_json(ANSWER, {"by": who, "comment": comment, "to": wanted_here().__dict__})


def promote_release() -> dict[str, Any]:
    """Promote what was checked, with the approval that was written down for it."""
    from gate5.pipeline.between_channels import promote_between

    context, starter = get_current_context(), person()
    params, run = dict(context["params"]), context["dag_run"]
    with stage_errors():
        config, wanted = target_config(), wanted_here()
        data = run_workspace().find(ANSWER)
        answer = canonical.loads(data) if data else {}
        if answer.get("to") != wanted.__dict__:
            answer = {}
        with store_credentials(config):
            done = promote_between(
                config,
                wanted.source,
                wanted.target,
                wanted.release,
                approved_by=answer.get("by"),
                started_by=starter,
                comment=answer.get("comment") or params["comment"],
                run={"dag_id": run.dag_id, "run_id": run.run_id},
                again=tried_before(),
            )
    log.info("%s", done.sentence)
    tell_moved(done.to_dict(), config)
    return dict(done.to_dict())


def refusal_between() -> str:
    """Why nothing is promoted."""
    name = get_current_context()["ti"].xcom_pull(task_ids="approval", key="answered_by")
    wanted = wanted_here()
    why = f"{name} answered Reject" if name else "nobody answered Promote in time"
    return f"{wanted.release} is not promoted to {wanted.target}: {why}."
