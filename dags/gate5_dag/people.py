"""Who may say yes to a promotion, and the record of who did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gate5.errors import InputError
from gate5_dag.credentials import store_credentials

if TYPE_CHECKING:
    from gate5.config.models import ReleaseConfig
    from gate5.workspace.artifacts import Workspace


def asked_people(config: ReleaseConfig, starter: str | None) -> list[str] | None:
    """The users that a channel lets approve a run; ``None``: anybody whom Airflow lets answer.

    Args:
        config: of the run.
        starter: who started it.

    Raises:
        InputError: nobody is left who may.
        StoreError: what is signed in the store cannot be read.
    """
    everyone: list[str] | None = None
    two = False
    for demands in _demands(config):
        people, two = demands.get("approvers"), two or bool(demands.get("two_person"))
        if people:
            everyone = [name for name in people if everyone is None or name in everyone]
    if everyone is None:
        return None
    left = [name for name in everyone if not (two and _same(name, starter))]
    if not left:
        raise InputError(
            f"Nobody may approve on the channel {config.release.channel}: its approvers are "
            f"{', '.join(everyone) or 'none that file and store agree on'}, and {starter!r} started this run. "
            "Have another person start it, or name more approvers."
        )
    return left


def note_answer(
    workspace: Workspace, config: ReleaseConfig, person: str, starter: str | None, comment: str | None
) -> None:
    """Write down a person's yes, if it is one that the channel takes.

    Raises:
        InputError: it is not, or the question was about another verdict; nothing is written.
    """
    from gate5.pipeline import approval

    check_answer(config, person, starter)
    approval.record(workspace, approved_by=person, started_by=starter, comment=comment, asked=True)


def check_answer(config: ReleaseConfig, person: str, starter: str | None) -> None:
    """Hold a person's yes to what the channel demands of people.

    Raises:
        InputError: it does not count; the text says why.
    """
    from gate5.config.channel import refused_person

    for demands in _demands(config):
        why = refused_person(demands, person, {"started_by": starter})
        if why is not None:
            raise InputError(
                f"The channel {config.release.channel} {why}. Clear the task `approval`, and let another person answer."
            )


def _demands(config: ReleaseConfig) -> list[dict[str, Any]]:
    """What the configuration and what the store's signed keyring ask for on the run's channel."""
    from gate5 import store

    said = config.channels.get(config.release.channel)
    with store_credentials(config):
        signed = store.demands(store.open_store(config.store), config.release.channel)
    return [{} if said is None else said.model_dump(mode="json"), dict(signed or {})]


def _same(name: str, other: str | None) -> bool:
    return other is not None and name.strip().casefold() == other.strip().casefold()
