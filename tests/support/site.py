"""A running Airflow as the end-to-end tests see it: start runs, wait for them, look at what they left.

Every wait here goes on for as long as the run does (``local_airflow/patience.py``): on a machine with other work a run
takes minutes, and is no worse for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from gate5.cli.store import history
from gate5.config.models import ReleaseConfig
from gate5.io.airflow import Api, ApiError
from local_airflow.components import LocalAirflow
from local_airflow.outcome import Outcome, read_outcome
from local_airflow.patience import cpu_seconds, log_bytes, wait_for
from local_airflow.progress import Progress
from tests.support.small import FEW_EPISODES

DAG = "policy_release"
USERS = {"ada": "admin", "bob": "admin", "eve": "admin", "viewer": "viewer", "stranger": "viewer"}
QUICK: dict[str, Any] = {
    "export": {"samples": 1000},
    "parity": {"samples": 100},
    "latency": {"iterations": 1000, "warmup": 100, "cadence_ms": 0.1, "cadence_iterations": 500},
    "evaluation": {
        "episodes": 1,
        "bootstrap": 100,
        "monte_carlo": 10,
        "scenarios": ["steady_state", "emergency_trip"],
    },
    "falsification": {"control_steps": 10_000},
    "stress": {"episodes": 1},
    "gate": {"sla_p99_ms": 1000.0, "rules": FEW_EPISODES},
}
ENDED = ("success", "failed")
#: How long one page may take on a busy machine [s].
PAGE_S = 300.0


def say(api: Api, dag_id: str, run_id: str, option: str, **fields: Any) -> None:
    """Answer a run's question, again where SQLite had no time for it.

    Airflow reads before it writes; where somebody else wrote meanwhile, SQLite refuses at once, whatever its time-out,
    and Airflow answers 500. The answer is kept whole or not at all.
    """
    for _ in range(10):
        try:
            api.answer(dag_id, run_id, "approval", option, **fields)
            return
        except ApiError as error:
            if error.status != 500 or "Database error" not in str(error):
                raise
            time.sleep(1.0)
    raise AssertionError(f"{run_id}: the database refused the answer {option} ten times")


@dataclass
class Site:
    """The running Airflow and where its runs put things."""

    airflow: LocalAirflow
    folder: Path
    progress: dict[str, Progress] = field(default_factory=dict)

    @property
    def api(self) -> Api:
        return self.airflow.api

    def page(self, path: str, user: str | None = "ada") -> httpx.Response:
        """GET a page of the plugin; ``None``: without a login."""
        return self.page_with(path, self.login(user) if user else None)

    def page_with(self, path: str, token: str | None) -> httpx.Response:
        """GET a page of the plugin with this token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"{self.airflow.address}/gate5/{path}", headers=headers, timeout=PAGE_S, trust_env=False)

    def login(self, user: str) -> str:
        """A user's token."""
        return self.api_of(user).token

    def api_of(self, user: str) -> Api:
        """A client with this user's login."""
        return Api(self.airflow.address, user, self.airflow.home.passwords(USERS)[user], timeout_s=PAGE_S)

    def start(self, run_id: str, dag_id: str = DAG, **form: Any) -> str:
        """Trigger a run as ada."""
        self.api.trigger(dag_id, run_id, form)
        self._watch(dag_id, run_id)
        return run_id

    def states(self, run_id: str, dag_id: str = DAG) -> dict[str, str]:
        """Task ids to states; a mapped task has the state of one of its instances."""
        return {task["task_id"]: task["state"] for task in self.api.task_instances(dag_id, run_id)}

    def wait_for_task(self, run_id: str, task_id: str, state: str, dag_id: str = DAG) -> dict[str, Any]:
        """Wait until a task has a state; returns the task; fails where another one fails before."""

        def reached() -> dict[str, Any] | None:
            self.airflow.check_alive()
            tasks = self.api.task_instances(dag_id, run_id)
            found = [task for task in tasks if (task["task_id"], task["state"]) == (task_id, state)]
            if not found:
                states = {task["task_id"]: task["state"] for task in tasks}
                assert "failed" not in states.values(), f"{run_id}: {states}"
                return None
            return found[0]

        return wait_for(f"{run_id}: {task_id} is not {state}", reached, lambda: self._signs(run_id, dag_id))

    def wait_for_run(self, run_id: str, dag_id: str = DAG) -> str:
        """Wait until a run has ended; returns its state."""

        def ended() -> str | None:
            self.airflow.check_alive()
            state = str(self.api.get(self.api.run_path(dag_id, run_id))["state"])
            return state if state in ENDED else None

        return wait_for(f"{run_id} has not ended", ended, lambda: self._signs(run_id, dag_id))

    def wait_until_left(self, run_id: str, task_id: str, dag_id: str = DAG, times: int = 1) -> None:
        """Wait until the scheduler has seen the process of a waiting task end; ``times``: of one that asks again.

        An answer that comes before finds the task still at work for the scheduler, which then fails it (Airflow 3.3.2).
        """
        log = self.airflow.home.logs / "components" / "scheduler.log"
        line = f"TaskInstance Finished: dag_id={dag_id}, task_id={task_id}, run_id={run_id},"

        def seen() -> bool | None:
            self.airflow.check_alive()
            return log.read_text(errors="replace").count(line) >= times or None

        wait_for(f"{run_id}: the scheduler has not seen {task_id} leave", seen)

    def answer(self, run_id: str, option: str, user: str = "ada", **fields: Any) -> None:
        """Answer the question of a run when it stands; ``fields``: of its form."""
        self.wait_for_task(run_id, "approval", "awaiting_input")
        self.wait_until_left(run_id, "approval")
        say(self.api_of(user), DAG, run_id, option, **fields)

    def outcome(self, run_id: str) -> Outcome:
        """What `make release` would print of a finished run, and its exit code."""
        return read_outcome(self.api, self.progress[run_id], self.api.task_instances(DAG, run_id))

    def triggered_by(self, event: Mapping[str, Any]) -> str:
        """The release that an announcement with this ``extra`` starts, as soon as it has."""
        query: dict[str, Any] = {"run_type": "asset_triggered", "order_by": "run_after", "limit": 100}
        runs: list[dict[str, Any]] = []

        def started() -> str | None:
            self.airflow.check_alive()
            runs[:] = self.api.get(f"dags/{DAG}/dagRuns", **query)["dag_runs"]
            for run in runs:
                if run["start_date"] is None:
                    continue  # Airflow 3.3.2 answers 500 to the question below until the run has started.
                path = f"{self.api.run_path(DAG, run['dag_run_id'])}/upstreamAssetEvents"
                if any(found["extra"] == event for found in self.api.get(path)["asset_events"]):
                    return str(run["dag_run_id"])
            return None

        def signs() -> object:
            return [(run["dag_run_id"], run["state"]) for run in runs]

        run_id = wait_for(f"no release was started by {event}", started, signs)
        self._watch(DAG, run_id)
        return run_id

    def config(self, name: str, evaluation: dict[str, Any] | None = None, **release: Any) -> str:
        """Write a configuration whose channel has its own name; returns its path.

        Args:
            name: of the file and of the channel.
            evaluation, release: what these sections have besides.
        """
        path = self.folder / f"{name}.yaml"
        store = {"uri": str(self.folder / "store"), "signing_key": str(self.folder / "key.pem")}
        values = {**QUICK, "store": store, "release": {"channel": name, **release}}
        values["evaluation"] = {**QUICK["evaluation"], **(evaluation or {})}
        path.write_text(yaml.safe_dump(values))
        return str(path)

    def channel(self, name: str) -> list[dict[str, Any]]:
        """What was released to the channel of a configuration, newest first."""
        return list(history(ReleaseConfig.load(self.folder / f"{name}.yaml")).to_dict()["entries"])

    def _watch(self, dag_id: str, run_id: str) -> None:
        self.progress.setdefault(run_id, Progress(dag_id, run_id, self.airflow.home.logs))

    def _signs(self, run_id: str, dag_id: str) -> tuple[object, ...]:
        """What moves while a run goes on: its tasks' states and logs, and the CPU of those at work."""
        tasks = self.api.task_instances(dag_id, run_id)
        states = sorted((task["task_id"], task["map_index"], str(task["state"]), task["try_number"]) for task in tasks)
        at_work = [int(task["pid"]) for task in tasks if task["state"] == "running" and task["pid"]]
        logs = self.airflow.home.logs / f"dag_id={dag_id}" / f"run_id={run_id}"
        return states, log_bytes(logs), cpu_seconds(at_work)


def wait_until_file(path: Path, site: Site, run_id: str, dag_id: str) -> None:
    """Wait until a run has made a file."""

    def there() -> bool | None:
        site.airflow.check_alive()
        assert "failed" not in site.states(run_id, dag_id).values(), f"{run_id}: {site.states(run_id, dag_id)}"
        return path.exists() or None

    wait_for(f"{run_id} has not made {path}", there, lambda: site._signs(run_id, dag_id), every_s=0.05)


@dataclass(frozen=True)
class Runs:
    """Runs of the good checkpoint that wait, or have waited, for a person; started together.

    Attributes:
        promote: started by an announcement, to be answered with Promote; its evaluation has two scenarios.
        refuse: started by hand, to be answered with Reject.
        silent: started by hand, answered by nobody; its time runs out.
        waiting: started by hand, answered by nobody; its time does not run out.
        announcement: the event that started the first.
    """

    promote: str
    refuse: str
    silent: str
    waiting: str
    announcement: dict[str, Any]
