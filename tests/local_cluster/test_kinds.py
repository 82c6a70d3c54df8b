"""Two kinds of GPU in a cluster: the worker that is added, and what is said of a task that ran elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from gate5.config.gpus import airflow_pools, release_dag
from gate5.config.models import ReleaseConfig
from local_cluster.__main__ import OWN
from local_cluster.boxes import Box, Ports
from local_cluster.cases import ASKED
from local_cluster.cluster import Cluster
from local_cluster.compose import read_env, read_services
from local_cluster.kinds import (
    CHANNEL,
    KIND,
    PLACE,
    SITE,
    WORKERS,
    Ran,
    beside_a_benchmark,
    kind_box,
    logs,
    out_of_place,
)

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {name: f"secret-{name.lower()}" for name in read_env(ROOT / ".env.example")}
RUN = Ran(release_dag(KIND), "r", CHANNEL, PLACE, WORKERS)
ON_GPU = ("look_up", "build", "benchmark", "evaluate")


@pytest.fixture
def boxes(tmp_path: Path) -> dict[str, Box]:
    services = read_services(ROOT / "docker-compose.yaml", VARIABLES)
    first = {name: Box(service, tmp_path / name, Ports(1, 2, 3, 4)) for name, service in services.items()}
    cluster = cast(Cluster, SimpleNamespace(boxes=first, folder=tmp_path, ports=Ports(1, 2, 3, 4)))
    return {**first, **{name: kind_box(cluster, name) for name in WORKERS}}


def task(name: str, place: str = PLACE, begin: int = 0, end: int = 1, run: str = "r") -> dict[str, Any]:
    dates = {key: f"2026-01-01T00:00:{at:02}.5Z" for key, at in (("start_date", begin), ("end_date", end))}
    return {"task_id": name, "dag_run_id": run, "state": "success", "pool": place, "queue": place, **dates}


def test_the_worker_is_what_the_compose_files_comment_says(boxes: dict[str, Box]) -> None:
    """The example that a person takes the # from: the first's worker, but for queue and device."""
    text = (ROOT / "docker-compose.yaml").read_text()
    head, _, rest = text.partition("  # l4-worker:\n")
    block, _, tail = rest.partition("\n\n")
    example = "  l4-worker:\n" + "\n".join(line.replace("  # ", "  ", 1) for line in block.splitlines())
    services = yaml.safe_load(f"{head}{example}\n\n{tail}")["services"]
    worker, first = services["l4-worker"], services["gpu-worker"]
    assert {key for key in first if worker[key] != first[key]} == {"command", "deploy"}
    for name in WORKERS:
        assert " ".join(boxes[name].service.command) == f"airflow {worker['command']}"
        assert (
            boxes[name].environment()["AIRFLOW__CELERY__BROKER_URL"]
            == (boxes["gpu-worker"].environment()["AIRFLOW__CELERY__BROKER_URL"])
        )
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["1"], "capabilities": ["gpu"]}


def test_the_site_knows_the_kind_and_init_makes_its_pool() -> None:
    kinds = ReleaseConfig.parse(SITE).other_gpus
    assert airflow_pools(kinds)[PLACE]["slots"] == 4
    assert kinds[KIND].queue_of(KIND) == PLACE
    shared = ReleaseConfig.parse(
        {"other_gpus": {"a": {"channel": "a", "pool": "gpu"}, "b": {"channel": "b", "slots": 2}}}
    )
    assert {name: said["slots"] for name, said in airflow_pools(shared.other_gpus).items()} == {"gpu_b": 2}


def test_it_is_carried_out_where_it_is_asked_for() -> None:
    assert [case.name in OWN for group in ASKED for case in group.cases] == [True]


def test_where_a_task_ran_is_seen_by_the_folder_that_has_its_log(boxes: dict[str, Box]) -> None:
    for box, name in ((WORKERS[0], "build"), (WORKERS[1], "evaluate"), ("cpu-worker", "gate")):
        (boxes[box].folder / f"airflow/logs/dag_id={RUN.dag_id}/run_id=r/task_id={name}").mkdir(parents=True)
    found = logs(boxes, RUN)
    assert {name: tasks for name, tasks in found.items() if tasks} == {
        WORKERS[0]: {"build"}, WORKERS[1]: {"evaluate"}, "cpu-worker": {"gate"},
    }  # fmt: skip


RIGHT = {WORKERS[0]: {"look_up", "build"}, WORKERS[1]: {"benchmark", "evaluate"}, "gpu-worker": set[str]()}


@pytest.mark.parametrize(
    ("change", "ran", "said"),
    [
        ({}, {}, []),
        ({}, {"gpu-worker": {"build"}}, ["policy_release_l4: gpu-worker ran ['build']"]),
        ({}, {WORKERS[1]: {"benchmark", "gate", "evaluate"}}, ["policy_release_l4: l4-worker-1, l4-worker-2 ran"]),
        ({"build": "gpu"}, {}, ["policy_release_l4: build has the pool gpu and the queue gpu"]),
        (
            {"build": "default"},
            {},
            ["policy_release_l4: no more than", "policy_release_l4: l4-worker-1, l4-worker-2 ran"],
        ),
    ],
)
def test_what_ran_elsewhere_is_said(change: dict[str, str], ran: dict[str, set[str]], said: list[str]) -> None:
    tasks = [task(name, change.get(name, PLACE)) for name in ON_GPU] + [task("gate", "default")]
    found = out_of_place(RUN, tasks, {**RIGHT, **ran})
    assert [text[: len(start)] for text, start in zip(found, said, strict=True)] == said


def test_what_ran_beside_a_benchmark_is_said() -> None:
    alone = [task("build", begin=0, end=3), task("benchmark", begin=3, end=9), task("evaluate", begin=9, end=20)]
    other = [task("build", begin=0, end=2, run="s"), task("gate", "default", 0, 30, "s")]
    assert beside_a_benchmark([*alone, *other]) == []
    late = [task("verify", begin=2, end=4, run="s"), task("benchmark", begin=8, end=12, run="s")]
    assert beside_a_benchmark([*alone, *late]) == [
        "verify of s ran while r did its benchmark",
        "benchmark of s ran while r did its benchmark",
        "benchmark of r ran while s did its benchmark",
        "evaluate of r ran while s did its benchmark",
    ]
