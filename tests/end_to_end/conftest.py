"""One real Airflow (scheduler, DAG processor, API server, SQLite) for all tests of this folder.

The runs that the tests look at are started together and go on side by side, because most of their time is waiting.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gate5.io.airflow import Api
from gate5.pipeline.announce import announce_candidate
from gate5.store import keygen
from local_airflow.components import LocalAirflow
from local_airflow.outcome import Outcome, read_outcome
from local_airflow.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
DAG = "policy_release"
USERS = {"ada": "admin", "viewer": "viewer", "stranger": "viewer"}
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
    "gate": {"sla_p99_ms": 50.0},
}


QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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
        headers = {"Authorization": f"Bearer {self.login(user)}"} if user else {}
        return httpx.get(f"{self.airflow.address}/gate5/{path}", headers=headers, timeout=30, trust_env=False)

    def login(self, user: str) -> str:
        """A user's token."""
        return Api(self.airflow.address, user, self.password(user)).token

    def start(self, run_id: str, dag_id: str = DAG, **form: Any) -> str:
        """Trigger a run as ada."""
        self.api.trigger(dag_id, run_id, form)
        self._watch(dag_id, run_id)
        return run_id

    def states(self, run_id: str, dag_id: str = DAG) -> dict[str, str]:
        """Task ids to states; a mapped task has the state of one of its instances."""
        return {task["task_id"]: task["state"] for task in self.api.task_instances(dag_id, run_id)}

    def wait_for_task(self, run_id: str, task_id: str, state: str, patience_s: float = 180.0) -> None:
        """Wait until a task has a state; fail where the run ends before."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            self.airflow.check_alive()
            states = self.states(run_id)
            if states.get(task_id) == state:
                return
            assert "failed" not in states.values(), f"{run_id}: {states}"
            time.sleep(0.5)
        raise AssertionError(f"{run_id}: {task_id} was not {state} within {patience_s:g} s: {self.states(run_id)}")

    def wait_for_run(self, run_id: str, dag_id: str = DAG, patience_s: float = 180.0) -> str:
        """Wait until a run has ended; returns its state."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            self.airflow.check_alive()
            state = str(self.api.get(self.api.run_path(dag_id, run_id))["state"])
            if state in ("success", "failed"):
                return state
            time.sleep(0.5)
        raise AssertionError(f"{run_id} did not end within {patience_s:g} s: {self.states(run_id, dag_id)}")

    def outcome(self, run_id: str) -> Outcome:
        """What `make release` would print of a finished run, and its exit code."""
        return read_outcome(self.api, self.progress[run_id], self.api.task_instances(DAG, run_id))

    def password(self, user: str) -> str:
        """A user's password."""
        return str(self.airflow.home.passwords(USERS)[user])

    def announced_runs(self, wanted: int, patience_s: float = 60.0) -> list[str]:
        """The runs that announcements have started, oldest first, as soon as there are so many."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            found = self.api.get(f"dags/{DAG}/dagRuns", run_type="asset_triggered", order_by="run_after")["dag_runs"]
            for run in found:
                self._watch(DAG, run["dag_run_id"])
            if len(found) >= wanted:
                return [str(run["dag_run_id"]) for run in found]
            time.sleep(0.5)
        raise AssertionError(f"fewer than {wanted} runs were started by the asset within {patience_s:g} s")

    def config(self, name: str, evaluation: dict[str, Any] | None = None, **release: Any) -> str:
        """Write a configuration with this ``release`` section; returns its path."""
        path = self.folder / f"{name}.yaml"
        store = {"uri": str(self.folder / "store"), "signing_key": str(self.folder / "key.pem")}
        values = {**QUICK, "store": store, "release": release}
        values["evaluation"] = {**QUICK["evaluation"], **(evaluation or {})}
        path.write_text(yaml.safe_dump(values))
        return str(path)

    def _watch(self, dag_id: str, run_id: str) -> None:
        self.progress.setdefault(run_id, Progress(dag_id, run_id, self.airflow.home.logs))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A real Airflow with real users; ended with every process of it when the tests end."""
    folder = tmp_path_factory.mktemp("site")
    keygen(folder / "key.pem")
    workspaces = str(folder / "workspaces")
    support = Path(__file__).resolve().parent / "support"
    extra = {
        "PYTHONPATH": str(support),
        "AIRFLOW__CORE__AUTH_MANAGER": "one_dag_auth.OneDagAuthManager",
        "GATE5_WORKSPACES": workspaces,
        "GATE5_CONFIG": str(folder / "announced.yaml"),
    }
    before = os.environ.get("GATE5_WORKSPACES")
    os.environ["GATE5_WORKSPACES"] = workspaces  # what prints a run's outcome reads its workspace in this process
    try:
        with LocalAirflow(folder / "airflow", "the tests", users=USERS, extra=extra) as airflow:
            running = Site(airflow, folder)
            running.config("announced", approval="required")
            airflow.wait_until_ready(DAG)
            yield running
    finally:
        if before is None:
            del os.environ["GATE5_WORKSPACES"]
        else:
            os.environ["GATE5_WORKSPACES"] = before


@dataclass(frozen=True)
class Runs:
    """Runs of the good checkpoint that wait, or have waited, for a person.

    Attributes:
        promote: started by an announcement, answered with Promote; its evaluation has two scenarios.
        refuse: started by hand, answered with Reject.
        silent: started by hand, answered by nobody.
        announcement: the event that started the first.
    """

    promote: str
    refuse: str
    silent: str
    announcement: dict[str, Any]


@pytest.fixture(scope="session")
def runs(site: Site) -> Runs:
    """All started together."""
    good = str(ROOT / "examples" / "checkpoints" / "good")
    token = site.login("ada")
    announcement = announce_candidate(good, sha256(f"{good}/policy.zip"), url=site.airflow.address, token=token)
    one = {"scenarios": ["emergency_trip"]}
    refused = site.config("refused", one, approval="required")
    silent = site.config("silent", one, approval="required", approval_timeout_hours=0.001)
    refuse = site.start("refuse", checkpoint=good, config=refused)
    silence = site.start("silent", checkpoint=good, config=silent)
    return Runs(site.announced_runs(1)[0], refuse, silence, announcement)


def sha256(path: str) -> str:
    """A file's hash."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where the browser's pictures go, for a person to look at."""
    folder = ROOT / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def browser_page(site: Site, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Open a page of Airflow in a real Chromium as a user who has logged in."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "chromium"),
            executable_path=chromium,
            args=list(QUIET),
            viewport={"width": 1500, "height": 950},
        )
        context.set_default_timeout(30_000)

        def open_as(user: str) -> Any:
            context.add_cookies([{"name": "_token", "value": site.login(user), "url": site.airflow.address}])
            return context.new_page()

        yield open_as
        context.close()
