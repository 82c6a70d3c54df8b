"""``gate5 hold`` and ``gate5 release-hold``: what a channel does not take until a person says so."""

from __future__ import annotations

import argparse

from gate5 import store
from gate5.cli.release_files import own_keys
from gate5.cli.results import Holds
from gate5.config.models import ReleaseConfig


def hold(config: ReleaseConfig, arguments: argparse.Namespace) -> store.HoldChange | Holds:
    """Keep a release's policy, or an identity, off a channel; without a name: what is held there."""
    opened, channel = store.open_store(config.store), arguments.channel or config.release.channel
    if arguments.name is not None:
        return store.hold(opened, channel, arguments.name, by=arguments.by, reason=arguments.reason)
    keys = own_keys(opened)
    return Holds(channel, opened.uri, store.holds(opened, channel, keys), keys is not None)


def release_hold(config: ReleaseConfig, arguments: argparse.Namespace) -> store.HoldChange:
    """Let a held policy in again."""
    from gate5.pipeline.lift import lift

    channel = arguments.channel or config.release.channel
    return lift(config, channel, arguments.name, by=arguments.by, reason=arguments.reason)


def add_who_and_why(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Whose decision it is, and its reason; both are kept in the channel's log."""
    parser.add_argument("--by", required=required, default="", metavar="NAME", help="who")
    parser.add_argument("--reason", required=required, default="", help="why")


def add_hold(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gate5 hold``."""
    _add_channel(parser)
    name = "a release's id, or an identity of 64 digits (default: list what is held)"
    parser.add_argument("name", nargs="?", metavar="NAME", help=name)
    add_who_and_why(parser, required=False)


def add_release_hold(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gate5 release-hold``."""
    _add_channel(parser)
    parser.add_argument("name", metavar="NAME", help="a release's id, or the first digits of an identity")
    add_who_and_why(parser)


def _add_channel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channel", metavar="NAME", help="default: release.channel of the configuration")
