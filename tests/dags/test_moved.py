"""A channel has moved: who hears of it, however often the task that moved it has to be tried."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate5.config.models import ReleaseConfig
from gate5.errors import RefusedError

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("dag_modules")]
DONE = {"outcome": "promoted", "release_id": "r-1", "channel": "production", "sequence": 4, "sentence": "done."}


class Task:
    """What Airflow gives to a try of a task."""

    def __init__(self, number: int, most: int = 4) -> None:
        run = SimpleNamespace(dag_id="policy_release", run_id="nightly")
        self.task = SimpleNamespace(outlets=["as the DAG says"], retries=4)
        self.events: dict[Any, Any] = {}
        ti = SimpleNamespace(try_number=number, max_tries=most, task=self.task)
        self.context = {"ti": ti, "dag_run": run, "task": self.task, "outlet_events": self, "params": {}}

    def __getitem__(self, asset: Any) -> Any:
        return self.events.setdefault(asset.name, SimpleNamespace(extra={}))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from gate5_dag import moved  # type: ignore[import-not-found,unused-ignore]

    monkeypatch.setenv("GATE5_WORKSPACES", str(tmp_path))
    heard: list[str] = []
    monkeypatch.setattr(moved, "tell", lambda _, sentence, **__: heard.append(sentence))
    return heard


def move(task: Task, done: dict[str, Any]) -> list[Any]:
    """One try; returns what Airflow emits for it."""
    from airflow.sdk.execution_time.context import set_current_context

    from gate5_dag.moved import EMITS, tell_moved  # type: ignore[import-not-found,unused-ignore]

    context: Any = task.context
    with set_current_context(context):
        EMITS["pre_execute"](context)
        tell_moved(done, ReleaseConfig())
    return [(asset.name, task.events[asset.name].extra) for asset in task.task.outlets]


def test_a_try_whose_report_was_lost_emits_again_and_tells_nobody_twice(told: list[str]) -> None:
    extra = {"release": "r-1", "channel": "production", "entry": 4, "kind": "promote"}
    assert move(Task(1), DONE) == move(Task(2), DONE) == [("gate5_release", extra)]
    assert told == ["done."]
    assert move(Task(1), {**DONE, "sequence": 5}) == [("gate5_release", extra | {"entry": 5})]
    assert told == ["done."] * 2, "another entry"


@pytest.mark.parametrize("outcome", ["already_current", "superseded"])
def test_what_changed_nothing_is_no_event(told: list[str], outcome: str) -> None:
    assert move(Task(1), {**DONE, "outcome": outcome}) == []
    assert told == []


def test_only_another_try_looks_for_what_it_promoted(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands where the channel was frozen after it; a first try, also of a task that was cleared, is refused."""
    from airflow.sdk.execution_time.context import set_current_context

    from gate5.pipeline import promote
    from gate5_dag import moved

    def frozen(_: object) -> None:
        raise RefusedError("frozen")

    monkeypatch.setattr(moved, "check_freeze", frozen)
    monkeypatch.setattr(promote, "promoted_before", lambda *_: "found")
    promoted: Any = lambda *_: "promoted"  # noqa: E731
    stage: Any = moved.once(promoted)
    for number, most, again in ((1, 4, False), (2, 4, True), (5, 4, True), (2, 5, False), (3, 5, True), (6, 9, False)):
        context: Any = Task(number, most).context
        with set_current_context(context):
            if again:
                assert stage(None, ReleaseConfig()) == "found", (number, most)
                continue
            with pytest.raises(RefusedError):
                stage(None, ReleaseConfig())


@pytest.mark.parametrize(("code", "moved_before"), [(3, True), (3, False), (1, True)])
def test_a_failure_after_the_channel_has_moved_says_so(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, moved_before: bool
) -> None:
    """And the candidate's record stays that of a promoted one; a task that was told no has its own sentence."""
    from airflow.sdk.execution_time.context import set_current_context

    from gate5_dag import failed, judged
    from gate5_dag import told as telling

    recorded: list[str] = []
    monkeypatch.setattr(telling, "tell", lambda event, sentence, **_: told.append(f"{event}: {sentence}"))
    monkeypatch.setattr(judged, "tell_end", lambda outcome, *_: recorded.append(outcome))
    if moved_before:
        move(Task(1), DONE)
    told.clear()
    task = Task(5)
    error = {"kind": "StoreError", "text": "it does not answer.", "exit_code": code}
    ti = SimpleNamespace(task_id="promote", map_index=-1, xcom_pull=lambda **_: error)
    dag_run: Any = task.context["dag_run"]
    dag_run.clear_number = 0
    context: Any = {**task.context, "ti": ti}
    with set_current_context(context):
        failed._tell(context)
    (said,) = told
    if code == 3 and moved_before:
        assert said == ("broken: promote: it does not answer; before that this run had moved production (entry 4): "
                        "Releases shows what is in charge")  # fmt: skip
        assert recorded == []
    else:
        kind = "refused" if code == 1 else "broken"
        assert (said, recorded) == (f"{kind}: promote: it does not answer.", [kind])
