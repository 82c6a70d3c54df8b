"""What the cluster needs beside requirements.txt: Debian's PostgreSQL, Redis and Ceph, Airflow's Celery executor."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from gate5.errors import OperationError
from gate5.io.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
#: Beside the environment that runs this, so that the one for everything else stays as it is.
OVERLAY = Path(sys.prefix).resolve() / "cluster"
DEBIAN = {
    "initdb": "postgresql", "postgres": "postgresql", "createdb": "postgresql", "redis-server": "redis-server",
    "redis-cli": "redis-tools", "radosgw": "radosgw", "radosgw-admin": "ceph-common", "ceph-mon": "ceph-mon",
    "monmaptool": "ceph-mon", "ceph-osd": "ceph-osd", "ceph": "ceph-common", "ceph-authtool": "ceph-common",
}  # fmt: skip
NEEDED = ("initdb", "postgres", "createdb", "redis-server")
#: Commands that the compose file calls by name; each is a module of the environment.
COMMANDS = {"airflow": "airflow", "gate5": "gate5", "celery": "celery"}


class MissingError(OperationError):
    """Something that the cluster needs is not here and cannot be installed."""


def program(name: str) -> str | None:
    """Where a program lies; Debian keeps PostgreSQL's out of the PATH."""
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(versions[-1]) if versions else None


def ensure_programs(names: Iterable[str]) -> None:
    """Install what is missing from Debian's packages; the machine's own services are not started.

    Raises:
        MissingError: it is missing, and this is not Debian, or not root, or the package cannot be had.
    """
    missing = [name for name in names if program(name) is None]
    if not missing:
        return
    packages = sorted({DEBIAN[name] for name in missing})
    how = f"apt-get install {' '.join(packages)}"
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise MissingError(f"{', '.join(missing)} is missing: run `{how}` as root.")
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, check=False, **quiet)  # type: ignore[call-overload]
    if done.returncode != 0 or any(program(name) is None for name in missing):
        said = " ".join(done.stdout.split())[-300:]
        raise MissingError(f"{', '.join(missing)} is missing and `{how}` failed: {said}")


def ensure_environment() -> Path:
    """The interpreter with requirements-cluster.txt in it, and all that the one that runs this has.

    Raises:
        MissingError: the packages cannot be had.
    """
    with open(OVERLAY.with_name("cluster.lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # of two who start at once one installs, the other waits
        return _environment()


def _environment() -> Path:
    locks = (ROOT / "requirements-cluster.txt", ROOT / "local_cluster" / "requirements.txt")
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks) + str(OVERLAY).encode()).hexdigest()
    named = [word for lock in locks for word in ("-r", str(lock))]
    python, stamp = OVERLAY / "bin" / "python", OVERLAY / "installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        _link_base()
        return python
    shutil.rmtree(OVERLAY, ignore_errors=True)
    commands = (
        [sys.executable, "-m", "venv", "--without-pip", str(OVERLAY)],
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            *named,
        ],
    )
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise MissingError(f"`{' '.join(command)}` failed: {' '.join(done.stdout.split())[-300:]}")
    _link_base()
    for name, module in COMMANDS.items():
        script = OVERLAY / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {python} -m {module} "$@"\n')
        script.chmod(0o755)
    stamp.write_text(wanted)
    return python


def _link_base() -> None:
    """Let the environment see all that the one that runs this has.

    By where that lies, not by how it was called: a link to it may go while the environment stays.
    """
    file = next((OVERLAY / "lib").glob("python3*/site-packages")) / "base.pth"
    bases = [str(Path(path).resolve()) for path in site.getsitepackages()]
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in bases)
    if not file.is_file() or file.read_text() != lines:
        write_atomically(file, lines.encode())
