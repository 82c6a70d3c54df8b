"""A run as the tab reads it, from what any version may have left: names of queued scenarios, results of all shapes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate5.config.models import ReleaseConfig
from gate5.io import canonical
from gate5.store import keygen, open_store, promote, publish
from gate5.workspace.artifacts import DirectoryWorkspace
from gate5_plugin.status import Found, run_outcome, stages_of

TASKS = (
    "receive",
    "resolve",
    "look_up",
    "scenarios",
    "export",
    "build",
    "verify",
    "gate",
    "report",
    "promote",
    "reject",
)
KEYS = ("return_value", "error", "reasons", "received")
FILES = ("gate.json", "release.json", "rejection.json", "config.json")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
#: Mappings with the keys that are read, and anything at all in them.
SHAPES = JSON | st.dictionaries(
    st.sampled_from(
        ("text", "kind", "exit_code", "verdict", "reasons", "rules", "release_id", "channel", "sequence", "outcome",
         "approved_by", "notes", "by", "cause", "max_abs_error", "compared", "workspace", "nonfinite")
    ),
    JSON,
)  # fmt: skip


def task(name: str, state: str | None = "success", index: int = -1, label: str | None = None) -> Any:
    return SimpleNamespace(task_id=name, map_index=index, state=state, rendered_map_index=label)


def found(tasks: list[Any], said: dict[tuple[str, int, str], Any], workspace: Any = None) -> Found:
    run = SimpleNamespace(dag_id="policy_release", run_id="r", state="failed", conf=None)
    return Found(run, tasks, said, workspace)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.delenv("GATE5_CONFIG", raising=False)


def test_a_queued_scenario_has_its_name() -> None:
    tasks = [task("evaluate", "success", 0, "steady_state"), task("evaluate", "queued", 1), task("evaluate", None, 2)]
    listed = {("scenarios", -1, "return_value"): ["steady_state", "emergency_trip"]}
    names = [stage.name for stage in stages_of(found(tasks, listed))]
    assert names == ["evaluate steady_state", "evaluate emergency_trip", "evaluate 2"]


def test_a_run_of_a_version_whose_results_were_others_still_has_its_stages() -> None:
    said = {("verify", -1, "return_value"): {"error_max": 1e-6}, ("export", -1, "return_value"): "a path"}
    stages = stages_of(found([task("verify"), task("export")], said))
    assert [(stage.name, stage.state, stage.text) for stage in stages] == [
        ("verify", "success", ""), ("export", "success", "")]  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.lists(st.sampled_from(("success", "failed", "skipped", None)), min_size=11, max_size=11),
    values=st.dictionaries(
        st.tuples(st.sampled_from(TASKS), st.just(-1), st.sampled_from(KEYS)),
        SHAPES,
    ),
    files=st.dictionaries(st.sampled_from(FILES), SHAPES) | st.none(),
)
def test_whatever_a_run_left_something_is_said(
    states: list[str | None], values: dict[Any, Any], files: dict[str, Any] | None, tmp_path: Path
) -> None:
    workspace = None
    if files is not None:
        folder = tmp_path / "w"
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        for name, value in files.items():
            (folder / name).write_bytes(canonical.dumps(value))
        workspace = DirectoryWorkspace(folder)
    run = found([task(name, state) for name, state in zip(TASKS, states, strict=True)], values, workspace)
    became = run_outcome(run, stages_of(run))
    assert became.word
    assert became.sentence


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("state", ["success", "skipped"])
def test_a_candidate_that_a_further_run_judges_is_neither_promoted_nor_refused(
    tmp_path: Path, kept: bool, state: str
) -> None:
    """Whether its workspace is still there or not; `promote` is skipped where it runs again and that run is there."""
    sentence = "r-1 was judged against no release, and r-2 is in production by now: the run x__2 judges it again"
    said: dict[Any, Any] = {
        ("gate", -1, "return_value"): {"verdict": "pass"},
        ("promote", -1, "return_value"): {"outcome": "judged_again", "text": sentence, "reasons": [sentence]},
    }
    workspace = None
    if kept:
        workspace = DirectoryWorkspace(tmp_path)
        workspace.write_json("gate.json", {"verdict": "pass", "rules": [], "reasons": []})
        workspace.write_json("rejection.json", {"verdict": "pass", "reasons": [sentence], "cause": "again"})
    run = found([task("gate"), task("promote", state), task("reject", "skipped")], said, workspace)
    became = run_outcome(run, stages_of(run))
    assert (became.word, sentence in became.sentence) == ("JUDGED AGAIN", True), became


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_that_failed_after_its_promotion_says_both(tmp_path: Path, kept: bool) -> None:
    """Airflow may mark `promote`, or a task beside it, as failed although the release is in charge."""
    done = {"outcome": "promoted", "release_id": "r-1", "channel": "production", "sequence": 4, "text": "done"}
    said: dict[Any, Any] = {("promote", -1, "return_value"): done}
    workspace = None
    if kept:
        workspace = DirectoryWorkspace(tmp_path)
        workspace.write_json("gate.json", {"verdict": "pass", "rules": [], "reasons": []})
        workspace.write_json("release.json", done)
    marked = found([task("gate"), task("promote", "failed")], said, workspace)
    became = run_outcome(marked, stages_of(marked), stands=False)
    assert (became.word, became.release, became.sequence) == ("PROMOTED, THEN FAILED", "r-1", 4)
    assert "r-1 was released to production (entry 4). The run failed after that: Airflow marked" in became.sentence

    said[("hand_on", -1, "error")] = {"text": "no such DAG", "exit_code": 3}
    beside = found([task("gate"), task("promote"), task("hand_on", "failed")], said, workspace)
    became = run_outcome(beside, stages_of(beside), stands=False)
    assert (became.word, "hand_on: no such DAG." in became.sentence) == ("PROMOTED, THEN FAILED", True), became


def test_what_a_lost_try_promoted_is_in_the_channels_log(tmp_path: Path) -> None:
    """Nothing is in XCom where the worker was lost before the task's end; a task that was told no asks nobody."""
    opened = open_store(ReleaseConfig().store)
    keygen(tmp_path / ReleaseConfig().store.signing_key)
    said = {"plant": "x", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    release = publish(opened, {"policy.onnx": b"a policy"}, said)
    promote(opened, "production", release, approved_by="ada", details={"dag_id": "policy_release", "run_id": "r"})
    lost = found([task("gate"), task("promote", "failed")], {})
    became = run_outcome(lost, stages_of(lost))
    assert (became.word, became.release) == ("PROMOTED, THEN FAILED", release.id)
    assert f"{release.id} is the current release of production" in became.sentence
    assert run_outcome(lost, stages_of(lost), stands=False).word == "BROKEN", "the scheduler does not ask the store"
    refused = found(
        [task("gate"), task("promote", "failed")], {("promote", -1, "error"): {"text": "x", "exit_code": 1}}
    )
    assert run_outcome(refused, stages_of(refused)).word == "NOT TAKEN"
