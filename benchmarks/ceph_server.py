"""Ceph's object gateway on this machine, a process of its own (``local_cluster.gateway``), for a benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.results import ROOT
from gate5.errors import OperationError
from gate5.io.s3 import make_client

COMMAND = (sys.executable, "-m", "local_cluster.gateway")


@dataclass(frozen=True)
class CephServer:
    """A running one.

    Attributes:
        name: and version.
        environment: the variables by which an S3 client finds it.
    """

    name: str
    environment: dict[str, str]

    def client(self) -> Any:
        """A boto3 client of this server, as gate5 makes it."""
        said = self.environment
        access_key, secret_key = said["AWS_ACCESS_KEY_ID"], said["AWS_SECRET_ACCESS_KEY"]
        region = said["AWS_DEFAULT_REGION"]
        return make_client(said["AWS_ENDPOINT_URL"], region, access_key=access_key, secret_key=secret_key)

    def bucket(self, name: str) -> None:
        """Make a bucket."""
        self.client().create_bucket(Bucket=name)


@contextmanager
def ceph_server(*arguments: str) -> Iterator[CephServer]:
    """Start it; it ends with the block.

    Args:
        arguments: of ``local_cluster.gateway``.

    Raises:
        OperationError: it cannot be had here; it has said why.
    """
    command = [*COMMAND, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""  # it says where it is, or ends: it needs no limit
        if not line:
            raise OperationError("Ceph's gateway cannot be had here.")
        said = json.loads(line)
        yield CephServer(said["server"], said["environment"])
        # Leaving the block closes its standard input, by which it ends.
