"""What the compose file takes images for: PostgreSQL, Redis, an S3 server; here Debian's own programs."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gate5.errors import OperationError
from local_airflow.patience import STILL_S, wait_for
from local_cluster.boxes import Box
from local_cluster.packages import ROOT, program
from local_cluster.processes import Processes, Running


def start_postgres(box: Box, processes: Processes) -> None:
    """PostgreSQL with the user, password and database that the image would make of the same variables."""
    said, data = box.service.environment, box.folder / "data"
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    password = box.folder / "password"
    password.write_text(said["POSTGRES_PASSWORD"])
    data.mkdir()
    if user:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise OperationError("There is no user postgres here, and PostgreSQL does not run as root.") from None
        for path in (data, password):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PGPASSWORD": said["POSTGRES_PASSWORD"]}
    as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
    name = said["POSTGRES_USER"]
    init = [needed("initdb"), "-D", str(data), "-U", name, f"--pwfile={password}", "--auth=scram-sha-256", "-E", "UTF8"]
    run([*as_user, *init], environment, box.folder)
    password.unlink()
    port = str(box.ports.postgres)
    settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200")
    command = [needed("postgres"), "-D", str(data), "-p", port, *(f"-c{setting}" for setting in settings)]
    # INT, as the image says: TERM would wait for clients that never leave.
    processes.start(Running("postgres", command, environment, box.folder, box.log, True, user, signal.SIGINT))
    make = [needed("createdb"), "-h", "127.0.0.1", "-p", port, "-U", name, said["POSTGRES_DB"]]

    def made() -> bool | None:
        processes.check()
        done = subprocess.run(make, env=environment, capture_output=True, text=True, check=False)
        return True if done.returncode == 0 or "already exists" in done.stderr else None

    wait_for("PostgreSQL does not answer", made, processes.pids)


def start_redis(box: Box, processes: Processes) -> None:
    """Redis as the compose file's command starts it, on a port and in a folder of its own."""
    where = f"--port {box.ports.redis} --bind 127.0.0.1 --dir {box.folder}"
    command = [f"{word} {where}" if "redis-server" in word else word for word in box.command()]
    processes.start(Running("redis", command, box.environment(), box.folder, box.log, True))


def start_test_s3(box: Box, processes: Processes) -> None:
    """The tests' S3 server: in memory, takes any key."""
    command = [sys.executable, "-m", "tests.support.s3_server", "--port", str(box.ports.s3)]
    environment = {**box.environment(), "PYTHONPATH": f"{ROOT / 'include'}{os.pathsep}{ROOT}"}
    processes.start(Running("s3", command, environment, box.folder, box.log, True))


def needed(name: str) -> str:
    """Where a program lies."""
    found = program(name)
    if found is None:
        raise OperationError(f"{name} is not on this machine.")
    return found


def run(command: list[str], environment: Mapping[str, str], folder: Path) -> None:
    """Run a command to its end.

    Raises:
        OperationError: it failed, or it hangs.
    """
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=STILL_S,
        )
    except subprocess.TimeoutExpired:
        raise OperationError(f"`{' '.join(command)}` has not ended after {STILL_S:g} s.") from None
    if done.returncode != 0:
        raise OperationError(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}")
