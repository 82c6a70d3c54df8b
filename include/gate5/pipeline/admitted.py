"""Whether a channel would take a release of another one, asked before a person is: nothing is changed."""

from __future__ import annotations

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.pipeline.between_channels import check, demands_on


def admitted(config: ReleaseConfig, source: str, target: str, release: str | None) -> tuple[str, bool]:
    """The release's id, and whether ``target`` asks for a person.

    Args:
        release: its id; ``None``: the current one of ``source``.

    Raises:
        StoreInputError, RefusedError, IntegrityError, StoreError: as ``promote_between``, but for people.
    """
    opened = store.open_store(config.store)
    _, found = check(config, opened, source, target, release)
    asked = demands_on(config, opened, target)
    people = (each.approval == "required" or bool(each.approvers) or each.two_person for each in asked)
    return found.release.id, any(people)
