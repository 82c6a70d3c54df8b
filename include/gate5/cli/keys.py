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

#: Each action and the options that it takes, beside `--key`, `--by` and `--reason` of whatever changes the keyring.
_CHANGE = ("key", "by", "reason")
ACTIONS: dict[str, tuple[str, ...]] = {
    "list": (),
    "add": ("channel", "start", "until", "root", "threshold", *_CHANGE),
    "end": _CHANGE,
    "revoke": _CHANGE,
    "demand": _CHANGE,
    "approve": ("channel", "key", "by"),
}
_OPTIONS = {"start": "from"}


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
    _refuse_what_is_not_done(arguments)
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
        if Path(subject).is_dir():
            raise StoreInputError(f"{subject} is a folder: name the one key to add, such as {subject}/release.pub.")
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


def _refuse_what_is_not_done(arguments: argparse.Namespace) -> None:
    """An option that an action does not take would do less, or more, than whoever gave it believes.

    Raises:
        StoreInputError: there is one.
    """
    action, takes = arguments.action, ACTIONS[arguments.action]
    known = {name for options in ACTIONS.values() for name in options}
    extra = [f"--{_OPTIONS.get(name, name)}" for name in sorted(known - set(takes)) if getattr(arguments, name)]
    if action == "list" and arguments.subject:
        extra.append(arguments.subject)
    if extra:
        what = "a key ends on all channels at once; " if action in ("end", "revoke") else ""
        raise StoreInputError(
            f"`gate5 keys {action}` does not take {' or '.join(extra)}: {what}leave it out (nothing was done)."
        )
    if action == "approve" and len(arguments.key) > 1:
        raise StoreInputError("An approval is one key's: give one --key, and the same command again for another.")


def _trusted(opened: store.ArtifactStore) -> list[Any]:
    return [opened.signer.public_key, *opened.trusted_keys]


def _shown(opened: store.ArtifactStore, ring: KeyRing) -> Keys:
    return Keys(opened.uri, ring.version, ring.document)
