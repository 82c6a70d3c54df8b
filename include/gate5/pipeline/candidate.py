"""Which policy a run is about, as its channel knows it: what it computes, and what it is judged for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate5 import store
from gate5.config.backends import AUTO, BACKENDS
from gate5.config.models import ReleaseConfig
from gate5.engine.backends import backend
from gate5.io import canonical
from gate5.store import Candidate
from gate5.store.channel import Log
from gate5.store.held import refuse_held, state_of
from gate5.workspace.artifacts import Workspace


def asked(function: str, config: ReleaseConfig) -> tuple[Candidate, ...]:
    """What a policy would be judged for under a configuration: one candidate for each back end that it may come to.

    Args:
        function: hash of what the policy computes (``Checkpoint.function_sha256``).
    """
    names = BACKENDS if config.engine.backend == AUTO else (config.engine.backend,)
    return tuple(_candidate(function, config, name, backend(name).precision(config.engine)) for name in names)


def built(checkpoint: Mapping[str, Any], engine: Mapping[str, Any], config: ReleaseConfig) -> Candidate | None:
    """What a built engine was judged for; ``None`` where the run began before the function was recorded.

    Args:
        checkpoint, engine: the run's ``checkpoint.json`` and ``engine/engine.json``.
    """
    function = checkpoint.get("function_sha256")
    if function is None:
        return None
    return _candidate(str(function), config, str(engine["backend"]), str(engine["precision"]))


def refuse_if_held(function: str, config: ReleaseConfig, channel: str | None = None) -> None:
    """Refuse a policy that the channel holds, before the long work: one listing and two small objects.

    Args:
        function: hash of what the policy computes.
        channel: ``None``: ``release.channel`` of the configuration.

    Raises:
        RefusedError: it is held for a back end that the configuration may come to; the text says who and why.
        IntegrityError: the channel's log is damaged or not signed by a trusted key.
        StoreError: the store failed.
    """
    opened, name = store.open_store(config.store), channel or config.release.channel
    log = Log(opened, name, [opened.signer.public_key, *opened.trusted_keys])
    state = state_of(opened, log.newest())
    refuse_held(name, state, [candidate.identity for candidate in asked(function, config)])


def refuse_held_run(workspace: Workspace, config: ReleaseConfig) -> None:
    """``refuse_if_held`` for the candidate that ``resolve`` found; of an older gate5's run promote alone asks."""
    data = workspace.find("checkpoint.json")
    function = None if data is None else canonical.loads(data).get("function_sha256")
    if function is not None:
        refuse_if_held(str(function), config)


def _candidate(function: str, config: ReleaseConfig, name: str, precision: str) -> Candidate:
    return Candidate(function, config.plant.name, backend(name).target(config.engine), precision)
