"""A box is what a container would be: a folder of its own with the code and its volumes, and its environment.

The environment and the commands are those of docker-compose.yaml. What has to be another here stands in ``translated``
(host names become ports of this machine, the image's folders become folders of the box) and in ``own`` (ports that
containers need not choose, and shorter time limits for what is killed on purpose), and nowhere else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from local_airflow.components import free_port
from local_airflow.patience import STILL_S
from local_cluster.compose import Service
from local_cluster.packages import OVERLAY, ROOT

CODE = ("dags", "plugins", "config", "examples", "deploy")
#: A killed worker is missed after this time, not after the compose file's 90 s: the test would only wait.
MISSED_S = 25
#: The longest delay between two tries of a task of the DAGs.
RETRY_S = 300
#: A message that was lost is sent again after this time, not after the compose file's 120 s: likewise.
SENT_AGAIN_S = 40


@dataclass(frozen=True)
class Ports:
    """Ports of this machine that one cluster uses."""

    api: int
    postgres: int
    redis: int
    s3: int

    @classmethod
    def free(cls) -> Ports:
        """Four that nothing listens on."""
        return cls(free_port(), free_port(), free_port(), free_port())


@dataclass(frozen=True)
class Box:
    """The folder and the environment of one service."""

    service: Service
    folder: Path
    ports: Ports

    @property
    def code(self) -> Path:
        """What is ``/srv/gate5`` in the image."""
        return self.folder / "srv"

    @property
    def log(self) -> Path:
        """What the service prints."""
        return self.folder / "output.log"

    def make(self) -> None:
        """Copy the code, as the image does, and make the folders that volumes are mounted on."""
        self.code.mkdir(parents=True)
        for name in CODE:
            shutil.copytree(ROOT / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        for place in self.service.mounts:
            Path(self.translated(place)).mkdir(parents=True, exist_ok=True)
        for name in ("airflow", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)

    def translated(self, text: str) -> str:
        """A value or a word of the compose file, as it has to be on this machine."""
        ports = self.ports
        for old, new in (
            ("@postgres/", f"@127.0.0.1:{ports.postgres}/"),
            ("@redis:6379/", f"@127.0.0.1:{ports.redis}/"),
            ("http://api-server:8080", f"http://127.0.0.1:{ports.api}"),
            ("http://localhost:8080", f"http://127.0.0.1:{ports.api}"),
            ("http://s3:8080", f"http://127.0.0.1:{ports.s3}"),
            ("/srv/gate5", str(self.code)),
            ("/opt/airflow", str(self.folder / "airflow")),
            ("redis-server /tmp/", f"redis-server {self.folder}/tmp/"),
            ("> /tmp/", f"> {self.folder}/tmp/"),
        ):
            text = text.replace(old, new)
        return text

    def environment(self) -> dict[str, str]:
        """What the service's processes see."""
        said = {name: self.translated(value) for name, value in self.service.environment.items()}
        return {**image_environment(self), **said, **own(self)}

    def database(self) -> str:
        """The address of Airflow's database, as a client of PostgreSQL takes it."""
        return self.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace(
            "postgresql+psycopg2://", "postgresql://"
        )

    def command(self) -> list[str]:
        """What is started."""
        words = [self.translated(word) for word in self.service.command]
        if words[:3] == ["airflow", "celery", "worker"]:
            # In a container the host's name is the service's; here two workers would have the same.
            words += ["--celery-hostname", f"celery@{self.service.name}"]
        return words


def image_environment(box: Box) -> dict[str, str]:
    """What the Dockerfile's ENV says, and what any process needs to start."""
    return {
        "PATH": os.pathsep.join([str(OVERLAY / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(box.folder),
        "HOSTNAME": box.service.name,
        "TMPDIR": str(box.folder / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT / "include"),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "GATE5_HOME": str(box.code),
    }


def own(box: Box) -> dict[str, str]:
    """Settings that the compose file need not make."""
    if not any(name.startswith("AIRFLOW__") for name in box.service.environment):
        return {}
    settings = {
        "API__HOST": "127.0.0.1",
        "API__PORT": str(box.ports.api),
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(MISSED_S),
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
        "SCHEDULER__TASK_QUEUED_TIMEOUT": str(SENT_AGAIN_S),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # Nobody changes a DAG here. Where a setting changes that DAGs are made of, the DAG processor is started again.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",  # what it reads then counts, however soon that is
        # Two processors for all of it: slow is not broken.
        "CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "900",
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
    }
    return {f"AIRFLOW__{name}": value for name, value in settings.items()}


def patience_s(environment: Mapping[str, str]) -> float:
    """So long no task of a run may move before it is given up [s].

    What Airflow waits for at most, one after the other, until it mends what a kill has left behind, and a retry's
    longest delay; and as long again as nothing moves while a busy machine starts what was killed.
    """
    waits = (
        "TASK_INSTANCE_HEARTBEAT_TIMEOUT", "ORPHANED_TASKS_CHECK_INTERVAL", "TASK_QUEUED_TIMEOUT",
        "TASK_QUEUED_TIMEOUT_CHECK_INTERVAL",
    )  # fmt: skip
    return sum(float(environment[f"AIRFLOW__SCHEDULER__{name}"]) for name in waits) + RETRY_S + STILL_S


def share(mounts: Mapping[str, Path], boxes: Mapping[str, Box]) -> None:
    """Give every box its own copy of what ``init`` has put into the volumes: boxes share no folder."""
    for box in boxes.values():
        for place, volume in box.service.mounts.items():
            source = mounts.get(volume)
            target = Path(box.translated(place))
            if source is None or source == target:
                continue
            shutil.copytree(source, target, dirs_exist_ok=True)


def write_config(boxes: Mapping[str, Box], name: str, settings: Mapping[str, object]) -> None:
    """Put a configuration file beside the shipped ones, in every box."""
    for box in boxes.values():
        (box.code / "config" / name).write_text(yaml.safe_dump(dict(settings)))
