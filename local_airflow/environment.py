"""The home folder of the local Airflow: its settings, secrets and database."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from gate5.config.channel import StoreConfig
from gate5.config.gpus import airflow_pools
from gate5.config.site import site_config
from gate5.errors import OperationError

ROOT = Path(__file__).resolve().parents[1]
USER = "admin"


class AirflowHome:
    """A folder that holds everything of one local Airflow; made with random secrets that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self.logs = self.path / "logs"
        (self.logs / "components").mkdir(parents=True, exist_ok=True)

    @property
    def passwords_file(self) -> Path:
        return self.path / "passwords.json"

    @property
    def running_file(self) -> Path:
        """Who runs this Airflow just now and where; there while it runs."""
        return self.path / "running.json"

    def passwords(self, users: Mapping[str, str]) -> dict[str, str]:
        """User names to passwords; a user without one gets a random one. ``users`` maps names to roles."""
        known = json.loads(self.passwords_file.read_text()) if self.passwords_file.exists() else {}
        missing = [name for name in users if name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(12) for name in missing}
            write_private(self.passwords_file, json.dumps(known))
        return dict(known)

    def environment(self, port: int, users: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
        """The environment of every component; the settings of another Airflow that the caller has are left out."""
        self.passwords(users)
        keys = self._secrets()
        address = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not foreign(name)}
        inherited.setdefault("OMP_NUM_THREADS", "1")
        settings = {
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__FERNET_KEY": keys["fernet"],
            "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in users.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.passwords_file),
            # A write waits for another one for so many seconds; SQLite's own 5 are not enough on a busy machine.
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.path / 'airflow.db'}?timeout=120",
            "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(port),
            "API__BASE_URL": address,
            "API__WORKERS": "1",
            "API__SECRET_KEY": keys["api"],
            "API_AUTH__JWT_SECRET": keys["jwt"],
            "LOGGING__BASE_LOG_FOLDER": str(self.logs),
            # One parse is enough: parsing again and again would disturb the latency measurement on a small machine.
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            # Airflow's own time limits suit a cluster with machines to itself. Here all of it shares one machine, with
            # whatever else runs there: slow is not broken, and what has ended is seen by its process.
            "CORE__DAGBAG_IMPORT_TIMEOUT": "600",
            "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "900",
            "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "3600",
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "300",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "1800",
            "SCHEDULER__TASK_QUEUED_TIMEOUT": "3600",
            "WORKERS__EXECUTION_API_TIMEOUT": "60",
        }
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.path),
            "GATE5_HOME": str(ROOT),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            **extra,
        }

    def prepare(self, environment: Mapping[str, str]) -> bool:
        """Make or migrate the database and import the pools, if that has not been done; returns whether it was.

        Raises:
            OperationError: Airflow's command failed; the text has the last lines of what it said.
        """
        said = json.loads((ROOT / "config" / "pools.json").read_text())
        text = json.dumps(said | airflow_pools(site_config(environment).config.other_gpus))
        wanted = {"airflow": metadata.version("apache-airflow"), "pools": hashlib.sha256(text.encode()).hexdigest()}
        marker = self.path / "prepared.json"
        if marker.exists() and (self.path / "airflow.db").exists() and json.loads(marker.read_text()) == wanted:
            return False
        airflow(["db", "migrate"], environment)
        pools = self.path / "pools.json"
        pools.write_text(text)
        airflow(["pools", "import", str(pools)], environment)
        write_private(marker, json.dumps(wanted))
        return True

    def unfinished_runs(self, prefix: str) -> list[tuple[str, str]]:
        """DAG and run ids that the database calls running or queued; read before Airflow starts, and only read."""
        with contextlib.closing(sqlite3.connect(f"file:{self.path / 'airflow.db'}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT dag_id, run_id FROM dag_run WHERE state IN ('running', 'queued') AND substr(run_id, 1, ?) = ?",
                (len(prefix), prefix),
            )
            return [(str(dag_id), str(run_id)) for dag_id, run_id in rows]

    def _secrets(self) -> dict[str, str]:
        path = self.path / "secrets.json"
        if not path.exists():
            keys = {
                "fernet": base64.urlsafe_b64encode(os.urandom(32)).decode(),
                "api": secrets.token_urlsafe(64),
                "jwt": secrets.token_urlsafe(64),
            }
            write_private(path, json.dumps(keys))
        return dict(json.loads(path.read_text()))


def foreign(name: str) -> bool:
    """Whether a variable is a setting of the caller's own Airflow; connections are not, a configuration names them."""
    return name.startswith("AIRFLOW_") and not name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))


def make_default_key() -> Path | None:
    """Make the signing key of the default configuration where there is none; returns its path if it was made.

    Only that key, which lies in this folder beside the default store: a key that a configuration names is its owner's.
    """
    from gate5.store import keygen

    key = ROOT / StoreConfig().signing_key
    if key.exists():
        return None
    keygen(key, exist_ok=True)  # another start may be making it at this moment
    return key


def airflow_command() -> list[str]:
    """How to call Airflow's command line with the interpreter that runs this."""
    return [sys.executable, "-m", "airflow"]


def airflow(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Run one command of Airflow's command line to its end.

    Raises:
        OperationError: it failed.
    """
    done = subprocess.run(
        [*airflow_command(), *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise OperationError(f"`airflow {' '.join(arguments)}` failed with exit code {done.returncode}:\n{tail}")


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all, that only its owner can read."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(beside, path)
