"""What a cluster needs before its first task: database, login, pools, buckets, signing key. Safe to run again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    run("airflow", "db", "migrate")
    import_pools(home() / "config/pools.json")
    write_login(Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]))
    for name in os.environ["GATE5_BUCKETS"].split():
        make_bucket(name)
    make_key(home() / "var/keys/release.pem")
    share_public_keys(home() / "var/keys", home() / "var/trust")
    return 0


def home() -> Path:
    return Path(os.environ["GATE5_HOME"])


def run(*command: str) -> None:
    sys.stdout.write(f"+ {' '.join(command)}\n")
    sys.stdout.flush()
    subprocess.run(command, check=True)


def import_pools(path: Path) -> None:
    """The pools of the file, and those of the site's further kinds of GPU (`other_gpus`)."""
    from gate5.config.gpus import airflow_pools
    from gate5.config.site import site_config

    pools = {**json.loads(path.read_text()), **airflow_pools(site_config().config.other_gpus)}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(pools, file)
        file.flush()
        run("airflow", "pools", "import", file.name)


def write_login(path: Path) -> None:
    """The password of ``admin``, where the api-server reads it; only its owner can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({"admin": os.environ["GATE5_ADMIN_PASSWORD"]}, file)


def make_key(path: Path) -> None:
    """The signing key, where there is none; its public half, too, where an earlier start was killed between the two."""
    from gate5.store import keygen

    keygen(path, exist_ok=True)


def share_public_keys(keys: Path, trust: Path) -> None:
    """Give those who only verify the public keys, and no private one."""
    trust.mkdir(parents=True, exist_ok=True)
    for path in sorted(keys.glob("*.pub")):
        shutil.copyfile(path, trust / path.name)


def make_bucket(name: str) -> None:
    """Make a bucket if there is none; it stays unversioned, because a channel's log must lie in an unversioned one.

    Credentials that may not make one are enough where it is there.
    """
    from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

    from gate5.io.s3 import make_client

    client = make_client()
    try:
        client.create_bucket(Bucket=name)
    except ClientError as error:
        try:
            client.head_bucket(Bucket=name)
        except ClientError:
            raise error from None


if __name__ == "__main__":
    sys.exit(main())
