"""``gate5 prove``: measure the pulled engine on this device, sign what was found, and keep it where others see it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gate5.config.models import ReleaseConfig
from gate5.edge.folder import CANDIDATE
from gate5.edge.proved import PROOF
from gate5.io.excerpt import visible

if TYPE_CHECKING:
    from gate5.pipeline.prove import Proved


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("dest", metavar="DIR", help="the folder that `gate5 pull` filled")
    parser.add_argument(
        "--trust", action="append", required=True, metavar="KEY.pub", help="public key file; repeatable"
    )
    parser.add_argument("--key", metavar="KEY.pem", help="signs the proof; default: store.signing_key")
    parser.add_argument("--channel", metavar="NAME", help="default: release.channel of the configuration")
    parser.add_argument("--episodes", type=int, metavar="N", help="of each scenario (default: 3)")
    parser.add_argument("--local", action="store_true", help="keep it in DIR alone; nothing is asked of the store")


def run(config: ReleaseConfig, arguments: argparse.Namespace) -> Proved:
    """Carry it out.

    Raises:
        StoreInputError: nothing was pulled there, or no proof by this key would count.
    """
    from gate5 import store
    from gate5.edge.release_files import in_folder
    from gate5.gate.report import GateReport
    from gate5.io.files import write_atomically
    from gate5.pipeline.prove import EPISODES, Proved, check_files, measure
    from gate5.pipeline.prove_stored import signer_of
    from gate5.store import proofs
    from gate5.store.keyring import keyring

    opened = store.open_store(config.store)
    trusted = store.load_public_keys(arguments.trust)
    keys = trusted if arguments.local else keyring(opened, trusted)
    known = keys if len(keys) else trusted
    signer = signer_of(opened, arguments.key, known, arguments.channel or config.release.channel)
    root = Path(arguments.dest).absolute()
    folder = (root / CANDIDATE if (root / CANDIDATE).is_dir() else root / "current").resolve()
    files = in_folder(folder, known)
    check_files(files)
    say = (lambda _: None) if arguments.json else _say
    episodes = EPISODES if arguments.episodes is None else arguments.episodes
    proof = measure(files, episodes=episodes, say=say)
    data = proof.sign(signer)
    write_atomically(folder / PROOF, data)
    stored = None if arguments.local else proofs.keep(opened, data)
    return Proved(proof, GateReport.from_dict(proof.gate), str(folder / PROOF), stored)


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)
