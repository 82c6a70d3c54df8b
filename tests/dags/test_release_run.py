"""The release DAG from end to end through ``dag.test()``: promoted, refused, without a verdict, on bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.config import SCENARIOS, ReleaseConfig
from gate5.promotion import history
from gate5.store import keygen

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CHECKPOINTS = ROOT / "examples" / "checkpoints"

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: As little as the configuration allows: the wiring is under test, not the policy.
QUICK: dict[str, Any] = {
    "export": {"samples": 1000},
    "parity": {"samples": 100},
    "latency": {"iterations": 1000, "warmup": 100, "cadence_iterations": 0},
    "evaluation": {"episodes": 1, "bootstrap": 100},
}
TWO = {**QUICK, "evaluation": {**QUICK["evaluation"], "scenarios": ["steady_state", "emergency_trip"]}}
UNKNOWN = {"rules": [{"name": "never_measured", "metric": "latency.p42_ms", "op": "<", "threshold": 1.0}]}


def write_config(folder: Path, name: str, values: dict[str, Any]) -> str:
    store = {"uri": str(folder / "store"), "signing_key": str(folder / "key.pem")}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**values, "store": {**store, **values.get("store", {})}}))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    keygen(folder / "key.pem")
    return folder


@pytest.fixture(scope="module")
def outcomes(airflow_environment: dict[str, str], folder: Path) -> dict[str, dict[str, Any]]:
    """Every run's outcome by name; one process runs them all, because starting Airflow costs more than a run."""
    good, bad = str(CHECKPOINTS / "good"), str(CHECKPOINTS / "undertrained")
    forms = {
        "refused": {"checkpoint": bad, "config": write_config(folder, "two", TWO)},
        "no_verdict": {"checkpoint": good, "config": write_config(folder, "unknown", {**TWO, "gate": UNKNOWN})},
        "no_key": {
            "checkpoint": good,
            "config": write_config(folder, "no_key", {**TWO, "store": {"signing_key": str(folder / "none.pem")}}),
        },
        "missing": {"checkpoint": str(folder / "nothing"), "config": write_config(folder, "two", TWO)},
        "promoted": {
            "checkpoint": good,
            "config": write_config(folder, "quick", QUICK),
            "channel": "trial",
            "sla_p99_ms": 50.0,
        },
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "run_dag.py"), json.dumps(list(forms.values()))],
        env={**airflow_environment, "GATE5_WORKSPACES": str(folder / "workspaces")},
        cwd=folder,  # not the repository: workers are started anywhere
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return dict(zip(forms, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_a_good_policy_is_promoted(outcomes: dict[str, dict[str, Any]], folder: Path) -> None:
    run = outcomes["promoted"]
    assert run["state"] == "success"
    assert (run["tasks"]["promote"], run["tasks"]["reject"]) == ("success", "skipped")
    assert run["xcom"]["promote"]["channel"] == "trial", "the form's channel goes before the configuration's"
    config = ReleaseConfig.load(folder / "quick.yaml")
    entries = history(config, "trial")["entries"]
    assert [entry["release"] for entry in entries] == [run["xcom"]["promote"]["release_id"]]


def test_every_scenario_has_a_task_with_its_name(outcomes: dict[str, dict[str, Any]]) -> None:
    tasks = outcomes["promoted"]["tasks"]
    assert {name for name in tasks if name.startswith("evaluate")} == {f"evaluate[{name}]" for name in SCENARIOS}


def test_the_form_is_frozen_into_the_run(outcomes: dict[str, dict[str, Any]]) -> None:
    workspace = Path(outcomes["promoted"]["xcom"]["gate"]["workspace"])
    config = json.loads((workspace / "config.json").read_text())
    assert (config["gate"]["sla_p99_ms"], config["release"]["channel"]) == (50.0, "trial")


def test_xcom_carries_references_and_no_data(outcomes: dict[str, dict[str, Any]]) -> None:
    """What is large lies in the workspace that the reference names."""
    for run in outcomes.values():
        assert len(json.dumps(run["xcom"])) < 10_000
    workspace = Path(outcomes["promoted"]["xcom"]["gate"]["workspace"])
    assert (workspace / "policy.onnx").stat().st_size > 10_000
    assert (workspace / "report.html").exists()


def test_an_undertrained_policy_is_refused_in_a_failed_run(outcomes: dict[str, dict[str, Any]]) -> None:
    run = outcomes["refused"]
    assert run["state"] == "failed"
    assert (run["tasks"]["promote"], run["tasks"]["reject"]) == ("skipped", "failed")
    assert run["xcom"]["gate"]["verdict"] == "fail"
    assert any("no_violations" in reason for reason in run["xcom"]["reasons"])
    assert run["tries"]["reject"] == 1, "a refusal is not tried again"


def test_a_rule_that_cannot_be_computed_promotes_nothing(outcomes: dict[str, dict[str, Any]]) -> None:
    run = outcomes["no_verdict"]
    assert run["state"] == "failed"
    assert run["xcom"]["gate"]["verdict"] == "error"
    assert run["tasks"]["promote"] == "skipped"


def test_only_the_promoted_run_reached_the_store(outcomes: dict[str, dict[str, Any]], folder: Path) -> None:
    assert outcomes["promoted"]["state"] == "success"
    config = ReleaseConfig.load(folder / "two.yaml")
    assert history(config, "production")["entries"] == []
    assert len(list((folder / "store" / "releases").iterdir())) == 1


def test_bad_input_ends_the_run_at_once_with_a_sentence(outcomes: dict[str, dict[str, Any]], folder: Path) -> None:
    run = outcomes["missing"]
    assert run["state"] == "failed"
    assert (run["tries"]["resolve"], run["tasks"]["export"]) == (1, "upstream_failed")
    assert run["xcom"]["error"]["exit_code"] == 2
    assert str(folder / "nothing") in run["xcom"]["error"]["text"]


def test_a_missing_signing_key_is_found_before_the_work(outcomes: dict[str, dict[str, Any]]) -> None:
    run = outcomes["no_key"]
    assert (run["tasks"]["resolve"], run["tasks"]["export"]) == ("failed", "upstream_failed")
    assert "gate5 keygen" in run["xcom"]["error"]["text"]
