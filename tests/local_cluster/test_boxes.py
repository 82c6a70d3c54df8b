"""What `make test-cluster` starts is what docker-compose.yaml says: same services, same commands, same environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError
from local_cluster.boxes import RETRY_S, Box, Ports, own, patience_s, share
from local_cluster.cluster import AIRFLOW, QUICK
from local_cluster.compose import Service, filled, read_env, read_services

ROOT = Path(__file__).resolve().parents[2]
PORTS = Ports(20001, 20002, 20003, 20004)
#: What the compose file says and a test on one machine has to set otherwise: shorter waits for what is killed.
SHORTER = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT",
}


def variables() -> dict[str, str]:
    """A filled-in .env."""
    return {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return read_services(ROOT / "docker-compose.yaml", variables())


@pytest.fixture(scope="module")
def boxes(services: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Box]:
    folder = tmp_path_factory.mktemp("cluster")
    return {name: Box(service, folder / name, PORTS) for name, service in services.items()}


def test_every_service_is_started(services: dict[str, Service]) -> None:
    assert {"init", "postgres", "redis", "s3", *AIRFLOW} == set(services)
    assert [name for name, service in services.items() if not service.stays] == ["init"]


@pytest.mark.parametrize("name", ["init", *AIRFLOW])
def test_the_environment_is_the_compose_files(boxes: dict[str, Box], name: str) -> None:
    box = boxes[name]
    said, here = box.service.environment, box.environment()
    assert len(said) > 15
    assert {key for key in said if here[key] != box.translated(said[key])} <= SHORTER
    assert not (set(own(box)) & set(said)) - SHORTER, "nothing that the compose file sets is set otherwise"
    assert "AIRFLOW__CORE__EXECUTOR" in said
    assert here["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


@pytest.mark.parametrize("name", ["init", "redis", *AIRFLOW])
def test_the_command_is_the_compose_files(boxes: dict[str, Box], name: str) -> None:
    box = boxes[name]
    words, here = [box.translated(word) for word in box.service.command], box.command()
    assert here[: len(words)] == words
    assert here[len(words) :] in ([], ["--celery-hostname", f"celery@{name}"])
    assert here[0] in ("airflow", "python", "sh")


def test_a_run_is_given_up_later_than_airflow_mends_it(boxes: dict[str, Box]) -> None:
    for environment in (boxes["scheduler"].service.environment, boxes["scheduler"].environment()):
        sent_again = float(environment["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"])
        missed = float(environment["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"])
        assert patience_s(environment) > sent_again + missed + RETRY_S + 120
        slower = {**environment, "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(sent_again + 600)}
        assert patience_s(slower) == patience_s(environment) + 600


def test_the_workers_take_their_own_queues(boxes: dict[str, Box]) -> None:
    assert "--queues default --concurrency 2" in " ".join(boxes["cpu-worker"].command())
    assert "--queues gpu --concurrency 4" in " ".join(boxes["gpu-worker"].command())


@pytest.mark.parametrize("name", ["init", "redis", *AIRFLOW])
def test_nothing_points_into_a_container_or_into_another_box(boxes: dict[str, Box], name: str) -> None:
    box = boxes[name]
    root = str(box.folder.parent)
    for value in [*box.environment().values(), *box.command()]:
        assert not re.search(r"@postgres|redis:6379|//s3\b|//api-server", value), value
        assert not re.search(r"(?<![\w-])/(srv/gate5|opt/airflow)", value.replace(str(box.folder), "")), value
        for found in re.findall(re.escape(root) + r"/([a-z0-9-]+)", value):
            assert found == name, f"{name} sees the box of {found}: {value}"


def test_who_only_verifies_gets_public_keys(boxes: dict[str, Box], tmp_path: Path) -> None:
    """Volumes are copied, not shared, and each box has those that the compose file mounts."""
    volumes = {}
    for volume, file in (("keys", "release.pem"), ("trust", "release.pub"), ("login", "passwords.json")):
        volumes[volume] = tmp_path / volume
        volumes[volume].mkdir()
        (volumes[volume] / file).write_text("x")
    airflow = {name: boxes[name] for name in AIRFLOW}
    share(volumes, airflow)
    found = {
        name: sorted(path.name for path in box.folder.rglob("*") if path.is_file()) for name, box in airflow.items()
    }
    assert found == {
        "api-server": ["passwords.json", "release.pub"],
        "scheduler": [],
        "dag-processor": [],
        "triggerer": [],
        "cpu-worker": ["release.pem"],
        "gpu-worker": ["release.pub"],
    }


def test_a_secret_that_is_not_set_stops_it() -> None:
    for name in variables():
        with pytest.raises(ConfigError, match=rf"{name} is empty; run python scripts/make_env\.py"):
            read_services(ROOT / "docker-compose.yaml", {**variables(), name: ""})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "a"), ("${A:-x}", "a"), ("${B:-x}", "x"), ("${B:-}", ""), ("${B}", ""), ("$$HOSTNAME", "$HOSTNAME"),
        ("http://${B:-h:8080}/p", "http://h:8080/p"), ("${A:?say}", "a"), ("a b", "a b"),
    ],
)  # fmt: skip
def test_variables_are_filled_in_as_compose_does(text: str, result: str) -> None:
    assert filled(text, {"A": "a"}) == result


def test_the_quick_configuration_is_one() -> None:
    config = ReleaseConfig.parse(QUICK, "QUICK")
    assert config.engine.backend == ReleaseConfig.load(ROOT / "config/cluster-cpu.yaml").engine.backend
    assert config.store.uri == ReleaseConfig.load(ROOT / "config/cluster-cpu.yaml").store.uri
