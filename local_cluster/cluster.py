"""All services of the compose file, started in its order, and the releases that are run on them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gate5.config.gate import OF_MANY_EPISODES, default_rules
from gate5.errors import ConfigError, OperationError
from gate5.io.airflow import Api, ApiError
from local_airflow.patience import cpu_seconds, wait_for
from local_cluster.backing import run, start_postgres, start_redis, start_test_s3
from local_cluster.boxes import Box, Ports, patience_s, share, write_config
from local_cluster.ceph import CEPH, start_ceph
from local_cluster.compose import read_env, read_services
from local_cluster.packages import ROOT
from local_cluster.processes import Processes, Running
from local_cluster.states import States

DAG = "policy_release"
CONFIG = "cluster-test.yaml"
CHECKPOINT = "examples/checkpoints/good"
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer", "cpu-worker", "gpu-worker")
#: As config/cluster-cpu.yaml, cut to what a run needs to pass every stage.
QUICK: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "store": {"uri": "s3://gate5-releases"},
    "export": {"samples": 1000},
    "parity": {"samples": 100},
    "latency": {"iterations": 1000, "warmup": 100, "cadence_ms": 0.1, "cadence_iterations": 500},
    "evaluation": {"episodes": 1, "bootstrap": 100, "monte_carlo": 10, "scenarios": ["emergency_trip"]},
    "falsification": {"control_steps": 10_000},
    "stress": {"episodes": 1},
    "gate": {
        "sla_p99_ms": 1000.0,
        "rules": [rule.model_dump(mode="json") for rule in default_rules(OF_MANY_EPISODES)],
    },
}


class Cluster:
    """A running cluster.

    Attributes:
        folder: of everything; removed at the end.
        boxes: by service.
        processes: all of them.
        api: Airflow's, as ``admin``.
        patience_s: how long nothing may move on a run [s].
        states: of runs and their tasks, once everything is being started.
        s3: which S3 server it has, one of ``ceph.CEPH`` and ``ceph.TESTS``.
    """

    def __init__(self, folder: Path, processes: Processes, s3: str) -> None:
        self.folder, self.processes, self.ports, self.s3 = folder, processes, Ports.free(), s3
        env = folder / ".env"
        run([sys.executable, str(ROOT / "scripts/make_env.py"), str(env)], dict(os.environ), ROOT)
        self.variables = read_env(env) | {"GATE5_CONFIG": f"config/{CONFIG}"}
        services = read_services(ROOT / "docker-compose.yaml", self.variables)
        self.boxes = {name: Box(service, folder / name, self.ports) for name, service in services.items()}
        self.patience_s = patience_s(self.boxes["scheduler"].environment())
        address = f"http://127.0.0.1:{self.ports.api}"
        self.api = Api(address, "admin", self.variables["GATE5_ADMIN_PASSWORD"], timeout_s=120.0)

    def start(self) -> None:
        """Start everything, in the order that ``depends_on`` says."""
        for box in self.boxes.values():
            box.folder.mkdir(mode=0o755)
        for name in ("init", *AIRFLOW):
            self.boxes[name].make()
        for name in ("redis", "s3", "postgres"):
            (self.boxes[name].folder / "tmp").mkdir()
        self.configure(QUICK)
        start_redis(self.boxes["redis"], self.processes)
        (start_ceph if self.s3 == CEPH else start_test_s3)(self.boxes["s3"], self.processes)
        start_postgres(self.boxes["postgres"], self.processes)
        self.states = States(self.boxes["init"].database())
        self.init()
        for name in AIRFLOW:
            box = self.boxes[name]
            self.processes.start(Running(name, box.command(), box.environment(), box.code, box.log, box.service.stays))
        self._wait_until_ready()

    def init(self) -> None:
        """What the service `init` does, once before all others; it is safe to do again."""
        box = self.boxes["init"]
        log = box.log.open("wb")
        with log:
            done = subprocess.run(
                box.command(), env=box.environment(), cwd=box.code, stdout=log, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode != 0:
            raise OperationError(f"`init` failed:\n{box.log.read_text()[-3000:]}")
        volumes = {volume: Path(box.translated(place)) for place, volume in box.service.mounts.items()}
        share({name: path for name, path in volumes.items() if name != "logs"}, {n: self.boxes[n] for n in AIRFLOW})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Give every service another configuration file; a run that goes on keeps what it began with."""
        write_config({name: self.boxes[name] for name in ("init", *AIRFLOW)}, CONFIG, settings)

    def _wait_until_ready(self) -> None:
        def ready() -> bool | None:
            self.processes.check()
            try:
                parts = self.api.get("monitor/health")
                wrong = self.api.get("importErrors")["import_errors"]
                if wrong:
                    raise ConfigError(f"{wrong[0]['filename']}: {wrong[0]['stack_trace'].strip().splitlines()[-1]}")
                self.api.get(f"dags/{DAG}")
            except OperationError:
                return None
            names = ("scheduler", "triggerer", "dag_processor")
            return all(parts[name]["status"] == "healthy" for name in names) or None

        wait_for("The cluster is not ready", ready, self.busy, every_s=1.0)
        self.api.call("PATCH", f"dags/{DAG}", {"is_paused": False})

    def busy(self) -> object:
        """What moves while the services are at work."""
        return cpu_seconds(self.processes.pids()) // 2

    def release(self, run_id: str, **form: Any) -> str:
        """Start a run; its channel has its name."""
        conf = {"checkpoint": CHECKPOINT, "config": f"config/{CONFIG}", "channel": run_id, **form}
        self.patiently(lambda: self.api.trigger(DAG, run_id, conf))
        return run_id

    def patiently(self, ask: Any) -> Any:
        """What the API says, asked again while it is being started again."""

        def answered() -> Any:
            try:
                return [ask()]
            except ApiError as error:
                if error.status < 500 and error.status != 404:
                    raise
                return None
            except OperationError:
                return None

        return wait_for("Airflow's API does not answer", answered, self.busy, every_s=1.0)[0]

    def tasks(self, run_id: str, dag_id: str = DAG) -> list[dict[str, Any]]:
        """The tasks of a run."""
        found: list[dict[str, Any]] = self.patiently(lambda: self.api.task_instances(dag_id, run_id))
        return found

    def wait_for_task(self, run_id: str, task_id: str, states: tuple[str, ...], dag_id: str = DAG) -> str:
        """Wait until a task has one of some states, or is past them; returns its state."""

        def reached() -> str | None:
            wanted = (*states, "success", "failed", "upstream_failed", "skipped")
            return next((state for state in self.states.of(dag_id, run_id).of(task_id) if state in wanted), None)

        what = f"{run_id} of {dag_id}: {task_id} is not {states}"
        return wait_for(what, reached, lambda: self.signs(run_id, dag_id), every_s=0.2, still_s=self.patience_s)

    def wait_for_run(self, run_id: str, dag_id: str = DAG) -> str:
        """Wait until a run has ended; returns its state."""

        def ended() -> str | None:
            self.processes.check()
            state = self.states.of(dag_id, run_id).run
            return state if state in ("success", "failed") else None

        what = f"{run_id} of {dag_id} has not ended"
        return wait_for(what, ended, lambda: self.signs(run_id, dag_id), every_s=1.0, still_s=self.patience_s)

    def signs(self, run_id: str, dag_id: str = DAG) -> object:
        """What moves while a run goes on."""
        return self.states.of(dag_id, run_id).tasks


@contextlib.contextmanager
def running_cluster(s3: str, keep: Path | None = None) -> Iterator[Cluster]:
    """A cluster in a folder of its own; ended and removed afterwards.

    Args:
        s3: its S3 server, ``ceph.CEPH`` or ``ceph.TESTS``.
        keep: where the services' output is copied to at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="gate5-cluster-"))
    folder.chmod(0o711)  # PostgreSQL has to reach its own folder as another user
    try:
        with Processes() as processes:
            cluster = Cluster(folder, processes, s3)
            cluster.start()
            yield cluster
            cluster.states.close()
    finally:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*/output.log"):
                shutil.copyfile(log, keep / f"{log.parent.name}.log")
        shutil.rmtree(folder, ignore_errors=True)
