"""The person between Gate 5 and the channel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLBranchOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

from gate5_dag.origin import run_url
from gate5_dag.tasks import run_workspace, stage_errors

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig

PROMOTE, REJECT = "Promote", "Reject"
COMMENT = Param(
    None,
    type=["null", "string"],
    maxLength=2000,
    title="Comment",
    description="Why; it is kept in the channel's log for good.",
    source="task",  # a form of the question's own; the DAG's form is not asked again
)


class ReleaseApproval(HITLBranchOperator):
    """Asks Promote or Reject with the gate's table; silence is Reject.

    The channel's `approvers` alone can answer, and with `two_person` whoever started the run cannot say Promote. Who
    answered and the comment are written into the run's workspace, with the hash of the verdict that they saw:
    `promote` reads that, and not this task's state.

    It waits in the state ``awaiting_input``, which takes no slot and no process. ``execution_timeout`` would count the
    wait, so that it has none, whatever the cluster's default; the waiting time is ``release.approval_timeout_hours`` of
    the run's configuration.
    """

    def __init__(self, *, promote: str, reject: str, **kwargs: Any) -> None:
        super().__init__(
            subject="Promote this policy?",
            options=[PROMOTE, REJECT],
            options_mapping={PROMOTE: promote, REJECT: reject},
            defaults=[REJECT],
            # Airflow puts the DAG's own form in here.
            **{**kwargs, "execution_timeout": None, "params": ParamsDict({"comment": COMMENT})},
        )
        self.execution_timeout = None
        self.response_timeout = None

    def execute(self, context: Any) -> Any:
        """Put the question with the run's own numbers, then wait."""
        from gate5_dag.people import asked_people
        from gate5_dag.told import tell

        with stage_errors():
            config, self.subject, self.body = self.asked(context)
            self.response_timeout = timedelta(hours=config.release.approval_timeout_hours)
            people = asked_people(config, started_by(context))
            self.assigned_users = None if people is None else [{"id": name, "name": name} for name in people]
        tell("waiting", f"{self.subject} {', '.join(people or ['anybody who may'])} can answer.", config=config)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Write down who answered what, then follow the answer."""
        person = responder(event)
        comment = (event.get("params_input") or {}).get("comment") or None
        context["ti"].xcom_push(key="answered_by", value=person)
        context["ti"].xcom_push(key="comment", value=comment)
        if person is not None and event.get("chosen_options") == [PROMOTE]:
            with stage_errors():
                self.note(context, person, comment)
        return super().execute_complete(context, event)

    def asked(self, context: Any) -> tuple[ReleaseConfig, str, str]:
        """The run's configuration, the question and what the approver reads."""
        from gate5.pipeline.approval import ask
        from gate5.pipeline.stages import load_run_config
        from gate5.report import question

        workspace = run_workspace()
        ask(workspace)
        config = load_run_config(workspace)
        url = run_url(context["dag_run"].dag_id, context["dag_run"].run_id)
        text = question.body(workspace, config.release.approval_timeout_hours, f"{url}/plugin/gate5" if url else None)
        return config, question.subject(workspace, config.release.channel), text

    def note(self, context: Any, person: str, comment: str | None) -> None:
        """Write down a person's yes."""
        from gate5.pipeline.stages import load_run_config
        from gate5_dag.people import note_answer

        workspace = run_workspace()
        note_answer(workspace, load_run_config(workspace), person, started_by(context), comment)


class ChannelApproval(ReleaseApproval):
    """Asks the approvers of a channel whether a release of another channel comes to it; silence is Reject."""

    def asked(self, context: Any) -> tuple[ReleaseConfig, str, str]:
        """The configuration for the channel that the release goes to, and the question."""
        from gate5_dag.between import target_config, wanted_here

        config, wanted = target_config(), wanted_here()
        text = (
            f"{wanted.release} is from {wanted.source}, and its evidence is what {wanted.target} demands. Without an "
            f"answer within {config.release.approval_timeout_hours:g} hours nothing is promoted."
        )
        return config, f"Promote {wanted.release} to the channel {wanted.target}?", text

    def note(self, context: Any, person: str, comment: str | None) -> None:
        """Write down a person's yes."""
        from gate5_dag.between import note_answer_between

        note_answer_between(person, comment)


def started_by(context: Any) -> str | None:
    """Who started the run; ``None``: nobody did by hand."""
    return getattr(context["dag_run"], "triggering_user_name", None) or None


def responder(event: Mapping[str, Any]) -> str | None:
    """The name of the person who answered; ``None`` where the time ran out."""
    user = event.get("responded_by_user")
    if event.get("timedout") or not user:
        return None
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "name", None)
    return None if name is None else str(name)
