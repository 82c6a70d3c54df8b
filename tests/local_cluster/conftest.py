"""A real PostgreSQL for tests, where `make test-cluster` has installed what is needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_cluster.backing import start_postgres
from local_cluster.boxes import Box, Ports
from local_cluster.compose import read_env, read_services
from local_cluster.packages import OVERLAY, ROOT, program
from local_cluster.processes import Processes


@dataclass
class Database:
    """A running one.

    Attributes:
        client: the box of a service that uses it; it knows the address.
        processes: among them ``postgres``.
    """

    client: Box
    processes: Processes


@pytest.fixture
def database() -> Iterator[Database]:
    """An empty one; the test is skipped where there is no PostgreSQL or no client."""
    if program("postgres") is None or not (OVERLAY / "bin" / "python").is_file():
        pytest.skip("no PostgreSQL here, or `make test-cluster` never ran: it installs the client")
    variables = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}
    services, ports = read_services(ROOT / "docker-compose.yaml", variables), Ports.free()
    # Not pytest's own folder, which lies, the deeper the more workers there are, in folders that are root's alone.
    with tempfile.TemporaryDirectory(prefix="gate5-postgres-") as made, Processes() as processes:
        folder = Path(made)
        folder.chmod(0o711)  # PostgreSQL runs as another user
        postgres, client = (Box(services[name], folder / name, ports) for name in ("postgres", "init"))
        postgres.folder.mkdir()
        start_postgres(postgres, processes)
        yield Database(client, processes)
