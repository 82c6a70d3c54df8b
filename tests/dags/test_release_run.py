"""The release DAG from end to end through ``dag.test()``: promoted, refused, without a verdict, on bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.config.models import ReleaseConfig
from gate5.store import history, keygen, open_store
from tests.support.browser import CHROMIUM, chromium
from tests.support.s3_server import S3Server
from tests.support.scenarios import SCENARIOS
from tests.support.small import FEW_EPISODES

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CHECKPOINTS = ROOT / "examples" / "checkpoints"

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

#: As little as the configuration allows: the wiring is under test, not the policy.
QUICK: dict[str, Any] = {
    "export": {"samples": 1000},
    "parity": {"samples": 100},
    "latency": {"iterations": 1000, "warmup": 100, "cadence_ms": 0.1, "cadence_iterations": 500},
    "evaluation": {"episodes": 1, "bootstrap": 100, "monte_carlo": 10},
    "falsification": {"control_steps": 10_000},
    "stress": {"episodes": 1},
    "gate": {"rules": FEW_EPISODES},
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
def s3() -> Iterator[S3Server]:
    """An S3 server (moto); it takes any key, but a client without one cannot even ask."""
    with S3Server() as server:
        server.bucket("releases")
        yield server


@pytest.fixture(scope="module")
def outcomes(airflow_environment: dict[str, str], folder: Path, s3: S3Server) -> dict[str, dict[str, Any]]:
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
        "no_connection": {
            "checkpoint": good,
            "config": write_config(folder, "no_connection", {**TWO, "store": {"connection": "nowhere"}}),
        },
        "promoted": {
            "checkpoint": good,
            "config": write_config(
                folder,
                "quick",
                {**QUICK, "store": {"uri": "s3://releases/gate5", "endpoint": s3.url, "connection": "gate5_store"}},
            ),
            "channel": "trial",
            "sla_p99_ms": 50.0,
        },
    }
    keys = s3.environment()
    connection = {
        "conn_type": "aws",
        "login": keys["AWS_ACCESS_KEY_ID"],
        "password": keys["AWS_SECRET_ACCESS_KEY"],
    }
    environment = {name: value for name, value in airflow_environment.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, str(HERE / "run_dag.py"), json.dumps(list(forms.values()))],
        env={
            **environment,
            "GATE5_WORKSPACES": str(folder / "workspaces"),
            "AIRFLOW_CONN_GATE5_STORE": json.dumps(connection),
            "AWS_DEFAULT_REGION": keys["AWS_DEFAULT_REGION"],
        },
        cwd=folder,  # not the repository: workers are started anywhere
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return dict(zip(forms, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_a_good_policy_is_promoted(outcomes: dict[str, dict[str, Any]], folder: Path, s3: S3Server) -> None:
    run = outcomes["promoted"]
    assert run["state"] == "success"
    assert (run["tasks"]["promote"], run["tasks"]["reject"]) == ("success", "skipped")
    assert run["xcom"]["promote"]["channel"] == "trial", "the form's channel goes before the configuration's"
    store = open_store(ReleaseConfig.load(folder / "quick.yaml").store, client=s3.client())
    assert [entry.release for entry in history(store, "trial")] == [run["xcom"]["promote"]["release_id"]]


def test_every_scenario_has_a_task_with_its_name(outcomes: dict[str, dict[str, Any]]) -> None:
    tasks = outcomes["promoted"]["tasks"]
    assert {name for name in tasks if name.startswith("evaluate")} == {f"evaluate[{name}]" for name in SCENARIOS}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium")
def test_its_report_of_seven_scenarios_is_short_on_a_small_screen(outcomes: dict[str, dict[str, Any]]) -> None:
    workspace = Path(outcomes["promoted"]["xcom"]["gate"]["workspace"])
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 400, "height": 900})
        page.goto((workspace / "report.html").as_uri())
        assert page.locator("details.scenario").count() == len(SCENARIOS)
        # About 4,000; how often the paths of checkpoint and workspace wrap depends on where the tests run.
        assert page.evaluate("document.documentElement.scrollHeight") < 4000
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


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


def test_one_process_gives_the_same_numbers(outcomes: dict[str, dict[str, Any]], folder: Path, tmp_path: Path) -> None:
    """The command line and the DAG call the same stages on the same seeds; only time itself may differ."""
    ours = tmp_path / "workspace"
    line = [
        "release",
        str(CHECKPOINTS / "undertrained"),
        "--config",
        str(folder / "two.yaml"),
        "--workspace",
        str(ours),
    ]
    done = subprocess.run([sys.executable, "-m", "gate5.cli.main", *line], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    theirs = Path(outcomes["refused"]["xcom"]["gate"]["workspace"])
    for name in ("observations.npz", "policy.onnx", "comparison.json"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    # The reference of parity is NumPy's, whose sums depend on BLAS's threads in the last bit.
    parity = [json.loads((workspace / "parity.json").read_text()) for workspace in (ours, theirs)]
    assert parity[0]["compared"] == parity[1]["compared"]
    assert parity[0]["max_abs_error"] == pytest.approx(parity[1]["max_abs_error"], abs=1e-6)
    verdicts = [json.loads((workspace / "gate.json").read_text()) for workspace in (ours, theirs)]
    assert verdicts[0]["verdict"] == verdicts[1]["verdict"] == "fail"
    untimed = [[r for r in v["rules"] if not r["metric"].startswith(("latency.", "parity."))] for v in verdicts]
    assert untimed[0] == untimed[1]


def test_a_rule_that_cannot_be_computed_promotes_nothing(outcomes: dict[str, dict[str, Any]]) -> None:
    run = outcomes["no_verdict"]
    assert run["state"] == "failed"
    assert run["xcom"]["gate"]["verdict"] == "error"
    assert run["tasks"]["promote"] == "skipped"


def test_no_other_run_reached_the_store(outcomes: dict[str, dict[str, Any]], folder: Path) -> None:
    """They were refused, had no verdict, or bad input; all with the same store in a folder.

    What a search found is kept there all the same, for the next candidate's search, and what was judged; neither is a
    release.
    """
    assert {name for name, run in outcomes.items() if run["state"] == "success"} == {"promoted"}
    kept = [path.relative_to(folder) for path in (folder / "store").rglob("*") if path.is_file()]
    assert [path for path in kept if path.parts[1] not in ("probe", "cases", "judged")] == []


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


def test_the_stores_credentials_come_from_the_connection(outcomes: dict[str, dict[str, Any]], s3: S3Server) -> None:
    """The environment has none, and without any no request can be signed."""
    release = outcomes["promoted"]["xcom"]["promote"]["release_id"]
    listed = s3.client().list_objects_v2(Bucket="releases", Prefix=f"gate5/releases/{release}/")
    assert listed["KeyCount"] >= 1


def test_no_credential_is_kept_anywhere(outcomes: dict[str, dict[str, Any]], s3: S3Server) -> None:
    secret = s3.environment()["AWS_SECRET_ACCESS_KEY"]
    assert secret not in json.dumps(outcomes["promoted"])
    workspace = Path(outcomes["promoted"]["xcom"]["gate"]["workspace"])
    kept = [path for path in workspace.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []


def test_a_connection_that_does_not_exist_is_told(outcomes: dict[str, dict[str, Any]]) -> None:
    run = outcomes["no_connection"]
    assert (run["tasks"]["resolve"], run["tries"]["resolve"]) == ("failed", 1)
    assert "store.connection is 'nowhere'" in run["xcom"]["error"]["text"]
