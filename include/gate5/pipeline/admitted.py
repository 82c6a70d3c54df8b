"""Whether a channel would take a release of another one, asked before a person is: nothing is changed."""

from __future__ import annotations

from gate5 import store
from gate5.config.channel import ChannelConfig
from gate5.config.models import ReleaseConfig
from gate5.edge.release_files import in_store
from gate5.errors import StoreInputError
from gate5.pipeline.between_channels import check_evidence
from gate5.pipeline.shadowed import check_shadow
from gate5.store.candidate import identities
from gate5.store.channel import Log
from gate5.store.demanded import check_backend, refuse_frozen
from gate5.store.held import refuse_held, state_of


def admitted(config: ReleaseConfig, source: str, target: str, release: str | None) -> tuple[str, bool]:
    """The release's id, and whether ``target`` asks for a person.

    Args:
        release: its id; ``None``: the current one of ``source``.

    Raises:
        StoreInputError: nothing was promoted on ``source``, or the engine is of another backend.
        RefusedError: the evidence is not what ``target`` demands, the policy is held there, or it is frozen.
        IntegrityError: the release or a log is damaged or not signed by a trusted key.
    """
    opened = store.open_store(config.store)
    keys = [opened.signer.public_key, *opened.trusted_keys]
    there = store.current(opened, source, keys)
    if release is None and there is None:
        raise StoreInputError(f"Nothing was ever promoted on the channel {source} of {opened.uri}.")
    log = Log(opened, target, keys)
    found = in_store(opened, release or (there.release if there else ""), log.keyring)
    refuse_held(target, state_of(opened, log.newest()), identities(found.release))
    signed = store.demands(opened, target)
    asks = False
    for asked in (*config.demands(target), *([ChannelConfig.model_validate(signed)] if signed else [])):
        refuse_frozen(target, asked.model_dump(mode="json")["freeze"])
        check_backend(found.release, asked.require_backend)
        check_evidence(found, target, asked)
        asks = asks or asked.approval == "required" or bool(asked.approvers) or asked.two_person
    check_shadow(opened, config, found.release.id, target, source)
    return found.release.id, asks
