"""Promotes many releases to a store on S3 through a proxy that breaks one request of five, and looks at the log.

    nice python -m scripts.promote_through_faults --promotions 100

It starts the tests' S3 server and a proxy before it. Right is: every promotion said that it was done, and the log, read
past the proxy with every signature and byte verified, has each of them exactly once. Exit code 1 where it is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gate5.config.channel import StoreConfig
from gate5.errors import Gate5Error
from gate5.io.s3 import make_client
from gate5.store import history, keygen, open_store, promote, publish, verify_release
from scripts.faulty_proxy import KINDS, FaultyProxy
from tests.support.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server


def files(mark: int) -> dict[str, bytes]:
    """A candidate's files: an engine that is larger than a socket's buffer, and small ones."""
    return {
        "engine/policy.engine": f"engine {mark} ".encode() * 40_000,
        "engine/engine.json": b'{"backend": "onnxruntime"}',
        "report.html": f"<p>{mark}</p>".encode() * 100,
    }


def promote_all(
    server: S3Server, uri: str, key: Path, count: int, share: float, seed: int
) -> tuple[list[str], dict[str, Any]]:
    """Promote ``count`` releases to the store at ``uri``; returns what is wrong, and figures."""
    config = StoreConfig(uri=uri, signing_key=str(key))
    wrong, wanted, began = list[str](), list[str](), time.monotonic()
    with FaultyProxy(server.url, share, seed) as proxy:
        broken = open_store(config, client=make_client(proxy.url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY))
        for mark in range(count):
            try:
                given = {"plant": "tank", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
                release = publish(broken, files(mark), given)
                done = promote(broken, "production", release, approved_by="me")
            except Gate5Error as error:
                wrong.append(f"promotion {mark}: {error}")
                continue
            wanted.append(release.id)
            # A lost answer may let a promotion find its own entry: it is there once all the same.
            if done.outcome not in ("promoted", "already_current"):
                wrong.append(f"promotion {mark}: {done.sentence}")
        seconds = time.monotonic() - began
        store = open_store(config, client=server.client())
        keys = store.trusted_keys
        found = [entry.release for entry in reversed(history(store, "production", keys))]
        if found != wanted:
            wrong.append(f"the log has {len(found)} entries, wanted are {len(wanted)}")
        for name in found:
            verify_release(store, name, keys)
        return wrong, {"promoted": len(found), "seconds": seconds, **proxy.seen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=100)
    parser.add_argument("--faults", type=float, default=0.2, help="share of the requests that break (default: 0.2)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, S3Server() as server:
        key = Path(folder) / "release.pem"
        keygen(key)
        uri = f"s3://{server.bucket('releases')}"
        wrong, figures = promote_all(server, uri, key, given.promotions, given.faults, given.seed)
    print("".join(f"{line}\n" for line in wrong), file=sys.stderr, end="")
    kinds = ", ".join(f"{kind} {figures[kind]}" for kind in KINDS if kind in figures)
    done, seconds = figures["promoted"], figures["seconds"]
    print(f"{done} of {given.promotions} promotions are in the log, {seconds:.0f} s")
    print(f"{figures['requests']} requests, broken: {kinds}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
