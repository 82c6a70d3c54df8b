"""``gate5 keys``: which keys may sign in a store, from when until when and where, and what a channel demands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gate5 import store
from gate5.cli.results import Keys
from gate5.config.models import ReleaseConfig
from gate5.errors import StoreInputError
from gate5.store import key_changes
from gate5.store.approvals import approve
from gate5.store.keyring import KeyRing, keyring

ACTIONS = ("list", "add", "end", "revoke", "demand", "approve")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument(
        "subject", nargs="?", metavar="KEY|CHANNEL|RELEASE", help="add: KEY.pub; end, revoke: a key's id or KEY.pub"
    )
    parser.add_argument("--channel", action="append", default=[], metavar="NAME", help="where; repeatable")
    parser.add_argument("--from", dest="start", metavar="TIME", help="2027-01-31T00:00:00+00:00")
    parser.add_argument("--until", metavar="TIME", help="the last moment at which the key may sign")
    parser.add_argument("--root", action="store_true", help="the key may change the keyring, too")
    parser.add_argument("--threshold", type=int, metavar="N", help="root keys that a change needs from now on")
    parser.add_argument("--key", action="append", default=[], metavar="KEY.pem", help="signs; default: the store's")
    parser.add_argument("--by", default="", metavar="NAME", help="who")
    parser.add_argument("--reason", default="", help="why")


def run(config: ReleaseConfig, arguments: argparse.Namespace) -> Keys:
    """Carry the action out; returns the keyring as it is then."""
    opened = store.open_store(config.store)
    signers = [store.load_signer(path) for path in arguments.key]
    said: dict[str, Any] = {"by": arguments.by, "reason": arguments.reason, "signers": signers}
    if arguments.action == "list":
        return _shown(opened, keyring(opened, _trusted(opened)))
    subject = arguments.subject
    if not subject:
        raise StoreInputError(f"`gate5 keys {arguments.action}` needs what it is about: KEY.pub, a channel, a release.")
    if arguments.action == "add":
        more = {"channels": arguments.channel, "start": arguments.start, "until": arguments.until}
        key = store.load_public_keys([subject])[0]
        root = {"root": arguments.root, "threshold": arguments.threshold}
        return _shown(opened, key_changes.add_key(opened, key, name=Path(subject).stem, **more, **root, **said))
    if arguments.action in ("end", "revoke"):
        key_id = store.load_public_keys([subject])[0].keyid if subject.endswith(".pub") else subject
        revoked = arguments.action == "revoke"
        return _shown(opened, key_changes.close_key(opened, key_id, revoked=revoked, **said))
    if arguments.action == "demand":
        demands = config.channels.get(subject)
        if demands is None:
            known = ", ".join(config.channels) or "none"
            raise StoreInputError(f"The configuration has no section channels.{subject} to sign (there: {known}).")
        return _shown(opened, key_changes.demand(opened, subject, demands.model_dump(mode="json"), **said))
    for channel in arguments.channel or [config.release.channel]:
        approve(opened, channel, subject, by=arguments.by, signer=signers[0] if signers else None)
    return _shown(opened, keyring(opened, _trusted(opened)))


def _trusted(opened: store.ArtifactStore) -> list[Any]:
    return [opened.signer.public_key, *opened.trusted_keys]


def _shown(opened: store.ArtifactStore, ring: KeyRing) -> Keys:
    return Keys(opened.uri, ring.version, ring.document)
