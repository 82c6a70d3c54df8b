"""`make release`: run the release DAG on this machine's own Airflow and show it task by task.

Exit code: 0 promoted (or already in production), 1 refused, 2 bad input, 3 something broke.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError, Gate5Error, OperationError
from gate5.io.airflow import Api, ApiError, NoAnswerError
from local_airflow.components import AlreadyRunningError, LocalAirflow, exit_on_signals
from local_airflow.environment import ROOT, AirflowHome, make_default_key
from local_airflow.outcome import BAD_INPUT, read_outcome
from local_airflow.patience import Patience
from local_airflow.progress import Progress, line

DAG = "policy_release"
#: Runs of this command have names that start so; what a killed one left behind is ended by the next.
PREFIX = "release__"
SILENT = "Airflow's API server does not answer"


@dataclass(frozen=True)
class Server:
    """An Airflow to run on, and where its logs lie."""

    api: Api
    logs: Path
    local: LocalAirflow | None

    def check_alive(self) -> None:
        """Raise where a component that this process started has ended."""
        if self.local is not None:
            self.local.check_alive()


def main() -> int:
    """Run one release; returns the exit code."""
    arguments = parse_arguments()
    os.environ.setdefault("GATE5_HOME", str(ROOT))
    exit_on_signals()
    try:
        conf = form(arguments)
        tell_key(make_default_key())
        with server(Path(arguments.home)) as airflow:
            return release(airflow, conf)
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("gate5: Interrupted; the run has been ended. `gate5 history` shows what is released.", file=sys.stderr)
        return 130


def tell_key(made: Path | None) -> None:
    """Say that a signing key was made, once."""
    if made is not None:
        line("key", "made", "", f"{made} signs the releases of this folder's own store; keep it secret")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run the release DAG on an Airflow of this folder's own.")
    parser.add_argument("--checkpoint", required=True, help="a folder, a .zip or an s3:// URI")
    parser.add_argument("--config", default="config/release.yaml", help="the release's YAML file")
    parser.add_argument("--channel", help="release to this channel instead of the configured one")
    parser.add_argument("--sla-ms", type=float, help="the p99 latency that the SLA allows, in ms")
    parser.add_argument("--approval", choices=["none", "required"], help="ask a person after Gate 5")
    parser.add_argument("--home", default=str(ROOT / "var" / "airflow"), help="Airflow's folder (default: var/airflow)")
    return parser.parse_args()


def form(arguments: argparse.Namespace) -> dict[str, Any]:
    """The trigger form's values. The configuration is read here too, so that a mistake in it shows at once.

    Raises:
        ConfigError: the configuration is wrong.
    """
    config = Path(arguments.config).absolute()
    ReleaseConfig.load(config)
    source = arguments.checkpoint
    conf = {
        "checkpoint": source if "://" in source else str(Path(source).absolute()),
        "config": str(config),
        "channel": arguments.channel,
        "sla_p99_ms": arguments.sla_ms,
        "approval": arguments.approval,
    }
    return {name: value for name, value in conf.items() if value is not None}


@contextlib.contextmanager
def server(home: Path) -> Iterator[Server]:
    """The Airflow of ``home``: the one that `make ui` runs there, else one of our own that ends when we end."""
    local = LocalAirflow(home, "make release", extra={"GATE5_SCHEDULE": "off"}, own_runs=PREFIX)
    line("airflow", "starting", "", str(local.home.path))
    try:
        started = time.monotonic()
        with local:
            local.wait_until_ready(DAG)
            line("airflow", "ready", f"{time.monotonic() - started:6.1f} s", f"{local.address} user {local.login[0]}")
            yield Server(local.api, local.home.logs, local)
    except AlreadyRunningError as busy:
        if busy.info.get("what") != "make ui":
            raise
        found = AirflowHome(home)
        user = str(busy.info["user"])
        line("airflow", "ready", "", f"{busy.info['address']} (`make ui` is running)")
        yield Server(Api(str(busy.info["address"]), user, found.passwords({user: "admin"})[user]), found.logs, None)


def end_run(api: Api, run_id: str) -> None:
    """Mark a run as failed, which also ends its tasks."""
    with contextlib.suppress(OperationError):
        api.end_run(DAG, run_id)


def release(airflow: Server, conf: dict[str, Any]) -> int:
    """Start a run, show it to its end and print what it came to."""
    api = airflow.api
    if api.get(f"dags/{DAG}")["is_paused"]:
        api.call("PATCH", f"dags/{DAG}", {"is_paused": False})
    run_id = f"{PREFIX}{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%S.%f}Z"
    try:
        api.trigger(DAG, run_id, conf)
    except ApiError as error:
        if error.status in (400, 422):
            raise ConfigError(f"The release cannot be started: {error.detail}") from None
        raise
    line("run", "started", "", run_id)
    try:
        progress = Progress(DAG, run_id, airflow.logs)
        instances = follow(airflow, run_id, progress)
        outcome = read_outcome(api, progress, instances)
    except BaseException:
        end_run(api, run_id)
        raise
    print("\n".join(outcome.lines), file=sys.stderr if outcome.code == BAD_INPUT else sys.stdout)
    return outcome.code


def follow(airflow: Server, run_id: str, progress: Progress) -> list[dict[str, Any]]:
    """Show the run until it has ended; returns its tasks."""
    api, told, patience = airflow.api, False, Patience(SILENT)
    while True:
        airflow.check_alive()
        try:
            state = api.get(api.run_path(DAG, run_id))["state"]
            instances = api.task_instances(DAG, run_id)
        except NoAnswerError as error:  # busy, perhaps; the run goes on meanwhile
            patience.look(str(error))
            time.sleep(1.0)
            continue
        patience = Patience(SILENT)
        progress.show(instances)
        states = {task["task_id"]: task["state"] for task in instances}
        if state in ("success", "failed"):
            return instances
        if states.get("approval") == "awaiting_input" and not told:
            told = True
            tell_approver(airflow, run_id)
        # The watcher must not disturb what is being measured.
        time.sleep(3.0 if states.get("benchmark") == "running" else 0.7)


def tell_approver(airflow: Server, run_id: str) -> None:
    """Say where a person can answer."""
    page = f"{airflow.api.address}/dags/{DAG}/runs/{run_id}/tasks/approval/required_actions"
    passwords = airflow.logs.parent / "passwords.json"
    print(
        f"\nA person has to say yes or no: {page}\n(user {airflow.api.user}, the password is in {passwords})\n",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
