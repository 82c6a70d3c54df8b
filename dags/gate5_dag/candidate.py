"""Which candidate a run is about: the form's, the announced one, or the one announced last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate5.errors import CheckpointError
from gate5.io.paths import resolve_path


@dataclass(frozen=True)
class Candidate:
    """A checkpoint's address, and the hashes that whoever announced it saw (``None``: not told)."""

    source: str
    sha256: str | None = None
    vecnormalize_sha256: str | None = None

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


def find_candidate(context: Mapping[str, Any], announced: Any) -> Candidate:
    """The candidate of a run.

    Args:
        context: the task's context.
        announced: the task's events on the candidate asset (``inlet_events[CANDIDATE]``), oldest first.

    Raises:
        CheckpointError: the asset's event does not say where the candidate is.
    """
    run_type = _run_type(context)
    if run_type == "asset_triggered":
        return _from_event(_newest(context["triggering_asset_events"]))
    if run_type == "scheduled" and len(announced) > 0:
        return _from_event(announced[-1])
    return Candidate(_address(str(context["params"]["checkpoint"])))


def unattended(context: Mapping[str, Any]) -> bool:
    """Whether nobody started the run by hand: every kind of run but a manual one."""
    return _run_type(context) != "manual"


def _run_type(context: Mapping[str, Any]) -> str:
    return str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type))


def _newest(events: Mapping[Any, Any]) -> Any:
    every = [event for of_asset in events.values() for event in of_asset]
    if not every:
        raise CheckpointError("The run was started by an asset but has no event: trigger it again with a checkpoint.")
    return max(every, key=lambda event: event.timestamp)


def _from_event(event: Any) -> Candidate:
    extra = dict(event.extra or {})
    source = extra.get("uri")
    if not isinstance(source, str) or not source:
        raise CheckpointError(
            f"The event on gate5_candidate has no `uri` in its extra (it has {sorted(extra) or 'nothing'}): "
            "announce a candidate with `gate5 candidate PATH`."
        )
    return Candidate(_address(source), _text(extra.get("sha256")), _text(extra.get("vecnormalize_sha256")))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _address(source: str) -> str:
    return source if "://" in source else str(resolve_path(source))
