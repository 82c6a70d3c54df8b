"""What the commands on a store do: history, candidates, rollback, pull."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gate5 import engine, store
from gate5.cli.release_files import own_keys
from gate5.cli.results import Candidates, History
from gate5.config.models import ReleaseConfig
from gate5.edge.limits import Limits
from gate5.edge.pull import PullResult
from gate5.edge.pull import pull as fetch_release
from gate5.errors import OperationError, StoreInputError
from gate5.store import announced
from gate5.store.channel import strays
from gate5.store.cleanup import Cleanup, clean


def history(
    config: ReleaseConfig, channel: str | None = None, trust: Sequence[str] = (), verify: bool = False
) -> History:
    """A channel's log, newest first.

    Args:
        trust: public key files; none: the keys that lie beside this machine's signing key.
        verify: refuse to show what no key vouches for, and list what lies in the channel's folder and is no entry.

    Raises:
        StoreInputError: ``verify`` without a key.
    """
    name = channel or config.release.channel
    opened = store.open_store(config.store)
    keys = store.load_public_keys(trust) if trust else own_keys(opened)
    if verify and keys is None:
        raise StoreInputError("There is no key to verify the history with: give --trust KEY.pub.")
    entries = store.history(opened, name, keys)
    return History(name, opened.uri, entries, keys is not None, strays(opened, name) if verify else ())


def candidates(config: ReleaseConfig, limit: int) -> Candidates:
    """The candidates that were announced last, newest first, and what became of each."""
    if limit < 1:
        raise StoreInputError(f"--limit is {limit}: give a number of 1 or more.")
    opened = store.open_store(config.store)
    return Candidates(opened.uri, announced.recent(opened, limit))


def rollback(
    config: ReleaseConfig, channel: str | None, *, to: str | None, by: str, reason: str, hold: bool = True
) -> store.Promotion:
    """Put an earlier release back, and hold what it takes out; ``to=None``: the one before the current."""
    opened, name = store.open_store(config.store), channel or config.release.channel
    try:
        return store.rollback(opened, name, to, by=by, reason=reason, hold=hold)
    except KeyboardInterrupt:
        raise OperationError(
            f"Interrupted, and perhaps done already: look at `gate5 history --channel {name}` before you do it again; "
            "a second rollback goes back one release more."
        ) from None


def collect(config: ReleaseConfig, arguments: argparse.Namespace) -> Cleanup:
    """What the store can do without; removed with ``--delete``."""
    opened = store.open_store(config.store)
    return clean(opened, keep=arguments.keep, grace_hours=arguments.grace_hours, delete=arguments.delete)


def add_collect(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gate5 gc``."""
    parser.add_argument("--keep", type=int, default=20, metavar="N", help="entries of each channel (default: 20)")
    parser.add_argument(
        "--grace-hours", type=float, default=24.0, metavar="H", help="younger objects stay (default: 24)"
    )
    parser.add_argument("--delete", action="store_true", help="remove it; without this it is only listed")


def pull(
    config: ReleaseConfig,
    channel: str | None,
    dest: Path,
    trust: Sequence[str],
    limits: str | None = None,
    *,
    require_proof: bool = False,
) -> PullResult:
    """Fetch, verify and switch to a channel's current release; ``limits``: the plant's own, a YAML file."""
    opened = store.open_store(config.store)
    keys = store.load_public_keys(trust)
    allowed = Limits() if limits is None else Limits.load(limits)
    name = channel or config.release.channel
    return fetch_release(opened, name, dest, keys, load_engine=engine.load, limits=allowed, require_proof=require_proof)
