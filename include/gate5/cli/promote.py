"""``gate5 promote``: a run that passed goes to its channel, or a release of one channel to another."""

from __future__ import annotations

import argparse
import getpass
import os
from typing import Any

from gate5.cli.results import Outcome
from gate5.cli.settings import from_here, load_config, run_config
from gate5.config.site import held_to_site, refuse_between_kinds, same_store
from gate5.errors import ConfigError
from gate5.workspace.artifacts import open_workspace


def run(arguments: argparse.Namespace) -> tuple[Outcome, int]:
    """Promote what the arguments name."""
    from gate5.pipeline import approval, promote

    if arguments.source or arguments.target:
        return _promote_between(arguments), 0
    if arguments.workspace is None:
        raise ConfigError("Nothing was named to promote: give --workspace DIR, or --from CHANNEL --to CHANNEL.")
    workspace = open_workspace(from_here(arguments.workspace))
    config = run_config(workspace, arguments)
    for now in (load_config(arguments), held_to_site(config, None)):
        if same_store(now, config):  # the channel may have been frozen since the run began
            promote.check_freeze(now, config.release.channel)
    if arguments.approved_by:
        approval.record(workspace, **approval_of(arguments))
    return promote.promote(workspace, config, approved_by=arguments.approved_by), 0


def _promote_between(arguments: argparse.Namespace) -> Outcome:
    from gate5.pipeline.between_channels import promote_between

    if not arguments.source or not arguments.target or arguments.workspace:
        raise ConfigError("A promotion between channels needs --from CHANNEL and --to CHANNEL, and no --workspace.")
    config = load_config(arguments)
    refuse_between_kinds(arguments.source, arguments.target)
    return promote_between(config, arguments.source, arguments.target, arguments.release, **approval_of(arguments))


def approval_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Who approves, who started this and what they say; on a command line the login has started it."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        login = f"user {os.getuid()}"
    starter = arguments.started_by or login
    return {"approved_by": arguments.approved_by, "started_by": starter, "comment": arguments.comment}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gate5 promote``."""
    parser.add_argument("release", nargs="?", metavar="RELEASE", help="with --from: which (default: its current one)")
    parser.add_argument("--workspace", metavar="DIR", help="of a run that passed: a directory or s3://BUCKET/PREFIX")
    parser.add_argument("--from", dest="source", metavar="CHANNEL", help="the channel that the release is on")
    parser.add_argument("--to", dest="target", metavar="CHANNEL", help="the channel that it goes to")
    add_approval(parser)


def add_approval(parser: argparse.ArgumentParser) -> None:
    """Who approves, who started, and the comment."""
    parser.add_argument("--approved-by", metavar="NAME", help="who approves, where release.approval is required")
    parser.add_argument("--started-by", metavar="NAME", help="who started this (default: the login)")
    parser.add_argument("--comment", metavar="TEXT", help="the approver's, kept in the signed entry")
