"""``gate5 rebuild``: is a release what its checkpoint and its graph give?"""

from __future__ import annotations

import argparse

from gate5.config.models import ReleaseConfig
from gate5.pipeline.rebuild import Rebuilt


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "release", nargs="?", metavar="RELEASE", help="an id, or a pulled folder (default: the channel's current one)"
    )
    parser.add_argument("--channel", metavar="NAME", help="default: release.channel of the configuration")
    parser.add_argument("--trust", action="append", default=[], metavar="KEY.pub", help="public key file; repeatable")
    parser.add_argument(
        "--checkpoint", metavar="CHECKPOINT", help="where it lies (default: where the release says that it lay)"
    )


def run(config: ReleaseConfig, arguments: argparse.Namespace, checkpoint: str | None) -> Rebuilt:
    """Carry it out."""
    from gate5.cli.release_files import find
    from gate5.pipeline.rebuild import rebuild

    return rebuild(find(config, arguments.release, arguments.channel, arguments.trust), config, checkpoint)
