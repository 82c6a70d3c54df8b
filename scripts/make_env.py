#!/usr/bin/env python3
"""Write .env for docker-compose.yaml: .env.example with a random value for every empty secret, and the commit.

    python scripts/make_env.py [PATH]

An existing file is left alone: new keys would lock the database and the logs of the old ones.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    text = "".join(filled(line) for line in (ROOT / ".env.example").read_text().splitlines(keepends=True))
    text = text.replace("# GATE5_COMMIT=\n", f"GATE5_COMMIT={commit()}\n")
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} is there already and is left alone; delete it first if you want new secrets.", file=sys.stderr)
        return 2
    with os.fdopen(handle, "w") as file:
        file.write(text)
    print(f"{target} written; the login is `admin` with GATE5_ADMIN_PASSWORD from that file.")
    return 0


def commit() -> str:
    """The commit of this source tree, ``-dirty`` where it was changed; empty where there is no git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def filled(line: str) -> str:
    """The line with a random value where it ends in ``=``."""
    name = line.strip().removesuffix("=")
    if line.startswith("#") or not line.strip().endswith("="):
        return line
    if name == "AIRFLOW_FERNET_KEY":
        return f"{name}={base64.urlsafe_b64encode(os.urandom(32)).decode()}\n"
    return f"{name}={secrets.token_hex(64 if name.startswith('AIRFLOW_') else 20)}\n"


if __name__ == "__main__":
    sys.exit(main())
