"""The DAG files: they parse, lightly, and are wired so that a verdict cannot be got round."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.workspace import contents

ROOT = Path(__file__).resolve().parents[2]
Tasks = dict[str, dict[str, Any]]

pytestmark = pytest.mark.airflow


@pytest.fixture
def tasks(parsed: dict[str, Any]) -> Tasks:
    return dict(parsed["dags"]["policy_release"]["tasks"])


def test_every_file_parses_and_nothing_else_is_taken_for_a_dag(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert sorted(parsed["dags"]) == sorted(path.stem for path in (ROOT / "dags").glob("*.py"))


def test_parsing_imports_nothing_heavy(parsed: dict[str, Any]) -> None:
    """A DAG processor parses every few minutes, on machines without torch or a GPU."""
    assert parsed["heavy"] == []


def test_no_numerics_and_no_clients_in_the_dag_files() -> None:
    for path in (ROOT / "dags").rglob("*.py"):
        for name in ("numpy", "torch", "boto3", "onnx"):
            assert f"import {name}" not in path.read_text(), f"{path.name} imports {name}"


@pytest.mark.parametrize("dag_id", ["policy_release", "policy_rollback", "policy_prove"])
def test_documented_in_the_ui(parsed: dict[str, Any], dag_id: str) -> None:
    dag = parsed["dags"][dag_id]
    assert len(dag["doc"]) > 200
    assert [name for name, task in dag["tasks"].items() if not task["doc"]] == []


def test_the_form_asks_for_what_the_issue_names(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["policy_release"]["params"] == ["approval", "channel", "checkpoint", "config", "sla_p99_ms"]


def test_the_stages_stand_in_one_line(tasks: Tasks) -> None:
    """What runs once for each scenario stands side by side: each waits for the stage before, the next one for all."""
    stages = [stage for stage in contents.STAGES if stage.name not in ("promote", "reject")]
    line = [[stage.name for stage in group] for _, group in itertools.groupby(stages, key=lambda s: s.per_scenario)]
    steps = [[name] for names in line[:1] for name in names]
    for names, mapped in zip(line[1:], itertools.cycle([True, False]), strict=False):
        steps += [names] if mapped else [[name] for name in names]
    for before, after in itertools.pairwise([*steps, ["decide"]]):
        for name in after:
            assert set(before) <= set(tasks[name]["upstream"]), f"{name} does not wait for {before}"


def test_the_graph_is_four_boxes_and_ids_stay(parsed: dict[str, Any], tasks: Tasks) -> None:
    """Every task is in one; its id has no prefix, because links, plugins and the API's users know it."""
    groups = parsed["dags"]["policy_release"]["groups"]
    assert list(groups) == ["candidate_group", "prove_group", "evaluate_group", "decide_group"]
    assert sorted(name for inside in groups.values() for name in inside) == sorted(tasks)
    assert groups["evaluate_group"] == ["compare", "evaluate", "falsify", "stress"]


def test_a_stage_is_mapped_where_the_line_says_so(tasks: Tasks) -> None:
    mapped = {name for name, task in tasks.items() if task["mapped"]}
    assert mapped == {"hand_on"} | {stage.name for stage in contents.STAGES if stage.per_scenario}


GPU_TASKS = ("look_up", "build", "verify", "benchmark", "evaluate", "falsify", "stress")


@pytest.mark.parametrize("name", GPU_TASKS)
def test_gpu_tasks_set_pool_and_queue(tasks: Tasks, name: str) -> None:
    """Pool and queue are independent: one without the other puts the task on a machine without a GPU, or two on one."""
    assert (tasks[name]["pool"], tasks[name]["queue"]) == ("gpu", "gpu")


def test_other_tasks_do_not_wait_for_the_gpu(tasks: Tasks) -> None:
    others = {name: task for name, task in tasks.items() if name not in GPU_TASKS}
    assert {(task["pool"], task["queue"]) for task in others.values()} == {("default_pool", "default")}


def test_the_benchmark_takes_every_slot_of_the_imported_pool(tasks: Tasks) -> None:
    pools = json.loads((ROOT / "config" / "pools.json").read_text())
    assert tasks["benchmark"]["pool_slots"] == pools["gpu"]["slots"]
    assert pools["gpu"]["slots"] > 1, "with one slot the evaluations would run one after the other"
    assert tasks["evaluate"]["pool_slots"] == 1


def test_a_proof_is_made_alone_on_the_device(parsed: dict[str, Any]) -> None:
    """It times the engine, as the benchmark does, and on the worker that has the device."""
    dag = parsed["dags"]["policy_prove"]
    assert dag["timetable"] == "NullTimetable"
    assert dag["params"] == ["channel", "config", "episodes", "release_id"]
    (task,) = dag["tasks"].values()
    assert (task["pool"], task["queue"]) == ("gpu", "gpu")
    assert task["pool_slots"] == json.loads((ROOT / "config" / "pools.json").read_text())["gpu"]["slots"]
    assert task["timeout_s"] is not None


def test_a_person_is_asked_once(tasks: Tasks) -> None:
    assert tasks["approval"]["retries"] == 0


def test_an_outage_of_two_minutes_fails_no_other_task(tasks: Tasks) -> None:
    for name, task in tasks.items():
        if name != "approval":
            delays = [15 * 2**index for index in range(task["retries"])]
            assert sum(delays) >= 120, f"{name} gives up after {sum(delays)} s"


def test_every_task_but_the_approval_has_a_time_limit(tasks: Tasks) -> None:
    """An execution time-out would kill the approval while it waits for a person."""
    assert [name for name, task in tasks.items() if task["timeout_s"] is None] == ["approval"]


DECIDING = {"gate": ["compare", "look_up"], "decide": ["gate", "look_up", "report"]}


@pytest.mark.parametrize("name", ["promote", "reject"])
def test_the_ends_hang_on_the_branches_alone(tasks: Tasks, name: str) -> None:
    """With NONE_FAILED_MIN_ONE_SUCCESS, any other upstream would let promote run although the branch skipped it."""
    assert tasks[name]["trigger_rule"] == "none_failed_min_one_success"
    assert tasks[name]["upstream"] == ["approval", "decide"]


def test_nothing_comes_after_the_verdict_is_carried_out(tasks: Tasks) -> None:
    """A leaf with ALL_DONE turns a rejected run green; a teardown does it to a run that a person marks as failed."""
    ends = sorted(name for name, task in tasks.items() if not task["downstream"])
    assert ends == ["hand_on", "promote", "reject"], "hand_on is about other candidates, and hangs on `receive` alone"
    assert not any(task["teardown"] for task in tasks.values())
    rules = {task["trigger_rule"] for name, task in tasks.items() if name not in (*DECIDING, "promote", "reject")}
    assert rules == {"all_success"}


@pytest.mark.parametrize(("name", "upstream"), DECIDING.items())
def test_what_a_person_skips_does_not_skip_the_verdict(tasks: Tasks, name: str, upstream: list[str]) -> None:
    """An `evaluate` that was marked as skipped skipped all that came after it: a green run without a verdict."""
    assert tasks[name]["trigger_rule"] == "none_failed_min_one_success"
    assert tasks[name]["upstream"] == upstream


def test_people_are_told_of_every_task_that_fails(parsed: dict[str, Any]) -> None:
    untold = [(dag, task) for dag, about in parsed["dags"].items() for task, of in about["tasks"].items()
              if not of["told"]]  # fmt: skip
    assert untold == []


def test_what_is_emitted_is_an_asset_that_airflow_knows_from_the_dag(parsed: dict[str, Any]) -> None:
    """Of an alias it makes the asset with the first event, and of two tasks that emit it at once it fails one."""
    emits = {(dag, task): of["emits"] for dag, about in parsed["dags"].items() for task, of in about["tasks"].items()
             if of["emits"]}  # fmt: skip
    release, candidate = [["Asset", "gate5_release"]], [["Asset", "gate5_candidate"]]
    movers = {("policy_release", "promote"), ("policy_promote", "promote"), ("policy_rollback", "rollback")}
    assert {name for name, found in emits.items() if found == release} == movers
    assert [found for name, found in emits.items() if name not in movers] == [candidate], "policy_retrain announces"


def test_the_schedule_is_the_asset(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["policy_release"]["timetable"] == "AssetTriggeredTimetable"
    assert parsed["dags"]["policy_rollback"]["timetable"] == "NullTimetable"


def test_a_cron_expression_joins_the_asset(kinds: dict[str, Any]) -> None:
    """And unpausing starts no run for a time that has passed: the first is the next one in the future."""
    dag = kinds["policy_release"]
    assert dag["timetable"] == "AssetOrTimeSchedule"
    assert dag["next_run_in_s"] > 0


def test_a_wrong_cron_expression_is_an_import_error(
    inspect_dags: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = tmp_path / "release.yaml"
    config.write_text("schedule: {cron: 'every day'}\n")
    errors = inspect_dags(GATE5_CONFIG=str(config))["errors"]
    assert len(errors) == 1
    assert "schedule.cron is 'every day', which is not a cron expression" in next(iter(errors.values()))


def test_the_schedule_can_be_switched_off(inspect_dags: Callable[..., dict[str, Any]]) -> None:
    """`make release` does so, that nothing but its own run starts."""
    assert inspect_dags(GATE5_SCHEDULE="off")["dags"]["policy_release"]["timetable"] == "NullTimetable"


@pytest.fixture(scope="module")
def kinds(inspect_dags: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG folder of a site with two further kinds of GPU, of which one is in the machine of the first."""
    config = tmp_path_factory.mktemp("kinds") / "release.yaml"
    config.write_text(
        "schedule: {cron: '0 3 1 * *'}\n"
        "other_gpus:\n  l4: {channel: production-l4, slots: 2}\n  a-10: {channel: a10, pool: gpu, queue: a10}\n"
    )
    found = inspect_dags(GATE5_CONFIG=str(config))
    assert found["errors"] == {}
    return dict(found["dags"])


PLACES = {
    "policy_release": ("gpu", "gpu", 4, None),
    "policy_release_l4": ("gpu_l4", "gpu_l4", 2, "production-l4"),
    "policy_release_a-10": ("gpu", "a10", 4, "a10"),
}


@pytest.mark.parametrize("dag_id", PLACES)
def test_each_kind_of_gpu_has_its_dag_with_workers_and_channel_of_its_own(kinds: dict[str, Any], dag_id: str) -> None:
    dag, (pool, queue, slots, channel) = kinds[dag_id], PLACES[dag_id]
    on_gpu = {name for name, task in dag["tasks"].items() if task["queue"] != "default"}
    assert on_gpu == set(GPU_TASKS)
    assert {(dag["tasks"][name]["pool"], dag["tasks"][name]["queue"]) for name in on_gpu} == {(pool, queue)}
    assert {name for name, task in dag["tasks"].items() if task["pool"] != "default_pool"} == on_gpu
    assert {name: dag["tasks"][name]["pool_slots"] for name in on_gpu} == {
        **dict.fromkeys(GPU_TASKS, 1), "benchmark": slots,
    }  # fmt: skip
    assert dag["channel"] == channel
    assert dag["tasks"]["hand_on"]["starts"] == dag_id


def test_all_kinds_have_the_same_graph_and_listen_to_the_same_asset(kinds: dict[str, Any]) -> None:
    def same(dag: dict[str, Any]) -> dict[str, Any]:
        apart = ("pool", "queue", "pool_slots", "starts")
        tasks = {name: {k: v for k, v in task.items() if k not in apart} for name, task in dag["tasks"].items()}
        return {**dag, "tasks": tasks, "channel": None, "next_run_in_s": None}

    first = same(kinds["policy_release"])
    assert [same(kinds[dag_id]) == first for dag_id in PLACES] == [True, True, True]
    assert first["timetable"] == "AssetOrTimeSchedule"
    assert {kinds[dag_id]["assets"] == ["gate5_candidate"] for dag_id in PLACES} == {True}


@pytest.mark.parametrize(
    ("config", "environment", "said"),
    [
        ("{l4: {channel: production}}", {}, "other_gpus.l4.channel is 'production', as is release.channel"),
        ("{l4: {channel: l4}, b: {channel: l4}}", {}, "l4 and b have the same channel 'l4'"),
        ("{l4: {channel: l4, pool: gpu}}", {"GATE5_GPU_SLOTS": "8"}, "slots is 4, but its pool 'gpu' has 8"),
        ("{l4: {channel: l4, pod: gpu.yaml}}", {}, "no executor would read it: set other_gpus.l4.executor, too"),
    ],
)
def test_kinds_that_come_into_each_others_way_are_an_import_error(
    dag_modules: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    config: str,
    environment: dict[str, str],
    said: str,
) -> None:
    """Airflow shows it, and starts nothing, instead of engines going where no plant can run them."""
    from gate5.errors import ConfigError
    from gate5_dag import gpus  # type: ignore[import-not-found,unused-ignore]

    (tmp_path / "release.yaml").write_text(f"other_gpus: {config}\n")
    monkeypatch.setenv("GATE5_CONFIG", str(tmp_path / "release.yaml"))
    monkeypatch.setattr(gpus, "FIRST_SLOTS", int(environment.get("GATE5_GPU_SLOTS", "4")))
    with pytest.raises(ConfigError, match=re.escape(said)):
        gpus.gpus()
