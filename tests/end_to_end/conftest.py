"""One real Airflow (scheduler, DAG processor, API server, SQLite) for all tests of this folder.

The runs that the tests look at are started together and go on side by side, because most of their time is waiting. Each
has a channel of its own and is answered by one fixture alone, so that the tests may run in any order, or singly. The
fixtures end with the folder: an Airflow that waits takes time from the tests after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate5.pipeline.announce import announce_candidate
from gate5.store import keygen
from local_airflow.components import LocalAirflow
from tests.support.receiver import Receiver, receiving
from tests.support.site import DAG, PAGE_S, USERS, Runs, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
GOOD = ROOT / "examples" / "checkpoints" / "good"
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


@pytest.fixture(scope="package")
def pager() -> Iterator[Receiver]:
    """Where the connection ``gate5_pager`` leads, which is in the environment and not in Airflow's database."""
    with receiving() as found:
        yield found


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, pager: Receiver) -> Iterator[Site]:
    """A real Airflow with real users; ended with every process of it when the tests end."""
    folder = tmp_path_factory.mktemp("site")
    keygen(folder / "key.pem")
    workspaces = str(folder / "workspaces")
    support = Path(__file__).resolve().parent / "support"
    extra = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(support), os.environ.get("PYTHONPATH")])),
        "AIRFLOW__CORE__AUTH_MANAGER": "one_dag_auth.OneDagAuthManager",
        # A cluster's default, which must not count while a person is waited for.
        "AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT": "5",
        # Airflow looks at a DAG that has changed once in 30 s.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW_CONN_GATE5_PAGER": json.dumps(
            {"conn_type": "apprise", "extra": {"config": {"path": f"json://127.0.0.1:{pager.port}/", "tag": "all"}}}
        ),
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


@pytest.fixture(scope="package")
def runs(site: Site) -> Runs:
    """All started together, none of them answered."""
    token = site.login("ada")
    announcement = announce_candidate(str(GOOD), policy_sha256(), url=site.airflow.address, token=token)
    one = {"scenarios": ["emergency_trip"]}
    hours = {"refuse": 24.0, "silent": 0.001, "waiting": 24.0}
    for name, patience in hours.items():
        config = site.config(name, one, approval="required", approval_timeout_hours=patience)
        site.start(name, checkpoint=str(GOOD), config=config)
    return Runs(site.triggered_by(announcement["extra"]), "refuse", "silent", "waiting", announcement)


@pytest.fixture(scope="package")
def promoted(site: Site, runs: Runs) -> str:
    """The announced run, answered with Promote, and ended."""
    site.answer(runs.promote, "Promote")
    assert site.wait_for_run(runs.promote) == "success"
    return runs.promote


@pytest.fixture(scope="package")
def refused(site: Site, runs: Runs) -> str:
    """A run, answered with Reject, and ended."""
    site.answer(runs.refuse, "Reject")
    assert site.wait_for_run(runs.refuse) == "failed"
    return runs.refuse


@pytest.fixture(scope="package")
def waiting(site: Site, runs: Runs) -> str:
    """A run whose question stands, and is answered by nobody."""
    site.wait_for_task(runs.waiting, "approval", "awaiting_input")
    return runs.waiting


def policy_sha256() -> str:
    """The hash of the good checkpoint's policy."""
    return hashlib.sha256((GOOD / "policy.zip").read_bytes()).hexdigest()


@pytest.fixture(scope="package")
def screenshots() -> Path:
    """Where the browser's pictures go, for a person to look at."""
    folder = ROOT / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def browser_page(site: Site, tmp_path: Path) -> Iterator[Callable[[str], Page]]:
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
            timeout=PAGE_S * 1000,
        )
        context.set_default_timeout(PAGE_S * 1000)

        def open_as(user: str) -> Page:
            context.add_cookies([{"name": "_token", "value": site.login(user), "url": site.airflow.address}])
            page: Page = context.new_page()
            return page

        yield open_as
        context.close()
