"""What the commands on a store do: history, rollback, pull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gate5 import engine, store
from gate5.config.models import ReleaseConfig
from gate5.edge.pull import pull as fetch_release
from gate5.errors import StoreInputError


def history(config: ReleaseConfig, channel: str | None = None) -> dict[str, Any]:
    """A channel's log, newest first, with a table for a terminal under ``text``."""
    name = channel or config.release.channel
    opened = store.open_store(config.store)
    entries = store.history(opened, name, _own_keys(opened))
    lines = [f"{e.sequence:>4}  {e.at}  {e.kind:<8}  {e.release}  by {e.by}" for e in entries]
    text = "\n".join(lines) if lines else f"Nothing was ever promoted on the channel {name} of {opened.uri}."
    return {"channel": name, "store": opened.uri, "entries": [entry.to_dict() for entry in entries], "text": text}


def rollback(config: ReleaseConfig, channel: str | None, *, to: str | None, by: str, reason: str) -> dict[str, Any]:
    """Put an earlier release back; ``to=None``: the one before the current."""
    opened = store.open_store(config.store)
    done = store.rollback(opened, channel or config.release.channel, to, by=by, reason=reason)
    return {**done.to_dict(), "text": done.sentence}


def pull(config: ReleaseConfig, channel: str | None, dest: Path, trust: Sequence[str]) -> dict[str, Any]:
    """Fetch, verify and switch to a channel's current release."""
    opened = store.open_store(config.store)
    keys = store.load_public_keys(trust)
    done = fetch_release(opened, channel or config.release.channel, dest, keys, load_engine=engine.load)
    return {**asdict(done), "text": done.sentence}


def _own_keys(opened: store.ArtifactStore) -> list[Any] | None:
    """The keys that lie beside the signing key; ``None`` (no signature is checked) where this machine has none."""
    try:
        return [opened.signer.public_key, *opened.trusted_keys]
    except StoreInputError:
        return None
