"""The person between Gate 5 and the channel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLBranchOperator

from gate5_dag.origin import run_url
from gate5_dag.tasks import run_workspace, stage_errors

PROMOTE, REJECT = "Promote", "Reject"


class ReleaseApproval(HITLBranchOperator):
    """Asks Promote or Reject with the gate's table; silence is Reject. Who answered is in the XCom ``answered_by``.

    It waits in the state ``awaiting_input``, which takes no slot and no process. ``execution_timeout`` would count the
    wait: leave it unset; the waiting time is ``release.approval_timeout_hours`` of the run's configuration.
    """

    def __init__(self, *, promote: str, reject: str, **kwargs: Any) -> None:
        super().__init__(
            subject="Promote this policy?",
            options=[PROMOTE, REJECT],
            options_mapping={PROMOTE: promote, REJECT: reject},
            defaults=[REJECT],
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Put the question with the run's own numbers, then wait."""
        from gate5.pipeline.stages import load_run_config
        from gate5.report import question

        with stage_errors():
            workspace = run_workspace()
            config = load_run_config(workspace)
            self.response_timeout = timedelta(hours=config.release.approval_timeout_hours)
            run = context["dag_run"]
            url = run_url(run.dag_id, run.run_id)
            self.subject = question.subject(workspace, config.release.channel)
            hours = config.release.approval_timeout_hours
            self.body = question.body(workspace, hours, f"{url}/plugin/gate5" if url else None)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Note who answered, then follow the answer."""
        context["ti"].xcom_push(key="answered_by", value=responder(event))
        return super().execute_complete(context, event)


def responder(event: Mapping[str, Any]) -> str | None:
    """The name of the person who answered; ``None`` where the time ran out."""
    user = event.get("responded_by_user")
    if event.get("timedout") or not user:
        return None
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "name", None)
    return None if name is None else str(name)
