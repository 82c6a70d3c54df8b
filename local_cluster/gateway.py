"""Ceph's gateway alone, on this machine, until standard input closes: a real S3 server to measure and to try against.

python -m local_cluster.gateway [--front-end OPTIONS]

Prints one line of JSON: ``server`` (its name and version) and ``environment`` (where any S3 client finds it, with a key
made for it). Objects lie in memory and end with it.

Exit code: 3 Ceph is not here and cannot be installed, or does not start.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from gate5.errors import Gate5Error
from local_airflow.components import exit_on_signals
from local_cluster.boxes import Box, Ports
from local_cluster.ceph import CEPH, chosen, name_and_version, start_ceph
from local_cluster.compose import read_env, read_services
from local_cluster.packages import ROOT
from local_cluster.processes import Processes

HANDED_ON = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--front-end", help="options of radosgw's front end (default: docker-compose.yaml's)")
    given = parser.parse_args()
    exit_on_signals()
    try:
        serve(given.front_end)
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def serve(front_end: str | None) -> None:
    """Start it, say where it is, and wait for the end of standard input."""
    server = chosen(CEPH, short=False)
    variables = {name: secrets.token_hex(20) for name in read_env(ROOT / ".env.example")}
    service = read_services(ROOT / "docker-compose.yaml", variables)["s3"]
    if front_end is not None:
        service = replace(service, environment={**service.environment, "RGW_FRONTEND_OPTIONS": front_end})
    with tempfile.TemporaryDirectory(prefix="gate5-ceph-") as folder, Processes() as processes:
        box = Box(service, Path(folder), Ports.free())
        start_ceph(box, processes)
        place = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{box.ports.s3}", "AWS_DEFAULT_REGION": "us-east-1"}
        keys = {name: variables[name] for name in HANDED_ON}
        print(json.dumps({"server": name_and_version(server), "environment": {**place, **keys}}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    sys.exit(main())
