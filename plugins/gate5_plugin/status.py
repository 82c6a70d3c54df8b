"""How far a run is and what became of it: from Airflow's database, its workspace, and the store where that is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import select

from gate5.errors import Gate5Error
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.pipeline import results
from gate5.report.outcome import Outcome, broken, outcome, several, then_failed, with_standing
from gate5.store.own import promoted_by
from gate5.store.releases import find_release
from gate5.store.standing import standing
from gate5.workspace.address import find_run_workspace
from gate5.workspace.artifacts import Workspace
from gate5.workspace.contents import STAGES
from gate5_plugin.releases.layout import ACTS
from gate5_plugin.run import ENDED, NOT_TO_RUN, RunStatus, Stage
from gate5_plugin.sources import log_of, opened, rest, run_config

#: The tasks of a run in the order in which they come: the stages, and what Airflow has beside them.
_BEFORE = {"evaluate": "scenarios", "promote": "approval"}
ORDER = tuple(task for stage in STAGES for task in (_BEFORE.get(stage.name), stage.name) if task is not None)
#: Why a run failed whose `promote` left no error.
MARKED = "Airflow marked `promote` as failed, although its work was done."
#: Tasks that say nothing to the reader of a report.
HIDDEN = {"scenarios"}
#: DAGs of gate5 that are no release, by the task that says how they ended.
OTHERS = {*(dag_id for dag_id, _ in ACTS.values()), "policy_prove", "policy_retrain"}
_COLUMNS: tuple[Any, ...] = (
    TaskInstance.task_id,
    TaskInstance.map_index,
    TaskInstance.state,
    TaskInstance.rendered_map_index,
)
Said = Mapping[tuple[str, int, str], Any]


@dataclass(frozen=True)
class Found:
    """A run as Airflow's database has it: the run, its tasks in order, and what they left in XCom."""

    run: Any
    tasks: list[Any]
    said: Said
    workspace: Workspace | None

    def value(self, task: str, key: str = "return_value", index: int = -1) -> Any:
        """What a task left under a key."""
        return self.said.get((task, index, key))

    def mapping(self, task: str, key: str = "return_value") -> Mapping[str, Any]:
        """The same where it has fields; of another version, which left something else, none."""
        value = self.value(task, key)
        return value if isinstance(value, Mapping) else {}

    @property
    def release(self) -> bool:
        return {"resolve", "gate"} <= {task.task_id for task in self.tasks}


def find_run(session: Any, dag_id: str, run_id: str, *, files: bool = True) -> Found | None:
    """A run, or ``None`` where Airflow has no such run; without ``files`` its workspace is not looked at.

    Raises:
        Gate5Error: the workspace cannot be read.
    """
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if run is None:
        return None
    tasks = session.execute(select(*_COLUMNS).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)).all()
    rows = session.scalars(XComModel.get_many(run_id=run_id, dag_ids=dag_id)).all()
    said = {(row.task_id, row.map_index, row.key): XComModel.deserialize_value(row) for row in rows}
    place = {name: index for index, name in enumerate(ORDER)}
    ordered = sorted(tasks, key=lambda task: (place.get(task.task_id, len(place)), task.task_id, task.map_index))
    release = {"resolve", "gate"} <= {task.task_id for task in tasks}
    return Found(run, ordered, said, find_run_workspace(dag_id, run_id) if release and files else None)


def run_status(session: Any, dag_id: str, run_id: str) -> RunStatus | None:
    """The status of a run, or ``None`` where Airflow has no such run.

    Raises:
        Gate5Error: the workspace cannot be read.
    """
    found = find_run(session, dag_id, run_id)
    if found is None:
        return None
    stages = stages_of(found)
    ended, links = found.run.state in ENDED, {"run": f"dags/{_q(dag_id)}/runs/{_q(run_id)}"}
    if any(stage.state == "awaiting_input" for stage in stages):
        links["answer"] = f"{links['run']}/tasks/approval/required_actions"
    became = run_outcome(found, stages) if ended and found.release else None
    person = found.run.triggering_user_name
    report = found.release and (bool(found.workspace) or report_in_store(found, probe=True) is not None)
    return RunStatus(str(found.run.state), found.release, stages, report, became, person, links)


def stages_of(found: Found) -> tuple[Stage, ...]:
    """The tasks that say something to a reader, without those that will not run."""
    return tuple(
        Stage(task.task_id, _name(task, found), str(task.state or "waiting"), _text(task, found))
        for task in found.tasks
        if (task.task_id in ORDER or found.run.dag_id in OTHERS or task.state == "failed")
        and task.task_id not in HIDDEN
        and task.state not in NOT_TO_RUN
    )


def run_outcome(found: Found, stages: tuple[Stage, ...], *, stands: bool = True) -> Outcome:
    """What became of a run that has ended; with ``stands`` as its channel stands now, which the store is asked for."""
    gate, release, rejection = _files(found)
    state = {task.task_id: str(task.state) for task in found.tasks}
    if state.get("promote") == "success":
        rejection = rejection if (rejection or {}).get("cause") == "again" else None
    else:
        release = None  # of a try before this one
    failed = [stage for stage in stages if stage.state == "failed" and stage.task != "reject"]
    if not failed and "skipped" in (state.get("resolve"), state.get("look_up")):
        return Outcome("not_judged", _why_not(found))
    if failed and found.mapping(failed[0].task, "error").get("kind") == "AlreadyJudged":
        return Outcome("refused", failed[0].text)
    if failed:
        first = failed[0]
        said_so = f"{first.name}: {first.text}" if first.text else f"{first.name} failed without a word."
        codes = _codes(found, first.task)
        anyway = _promoted(found, release, stands)
        if anyway is not None:
            why = f"{said_so.rstrip('.')}." if first.text or first.task != "promote" else MARKED
            return then_failed(_standing(found, anyway) if stands else anyway, why)
        # A hold, a freeze, a channel that moved on: it was told no, and nothing broke.
        if codes and all(code == 1 for code in codes):
            return Outcome("not_taken", said_so)
        return broken(said_so, bad_input=2 in codes)
    said = outcome(gate, release, rejection)
    if said is None or (said.kind in ("refused", "undecided") and state.get("gate") != "success"):
        return broken(None)
    return _standing(found, said) if stands else said


def _codes(found: Found, task: str) -> list[Any]:
    """The exit codes of the errors that a task left."""
    errors = [value for (name, _, key), value in found.said.items() if name == task and key == "error"]
    return [error.get("exit_code") for error in errors if isinstance(error, Mapping)]


def _promoted(found: Found, release: Mapping[str, Any] | None, ask: bool) -> Outcome | None:
    """What a run that failed promoted all the same; ``None``: nothing, as far as is known.

    Airflow may mark `promote` as failed after its work was done: what it returned is there then, and where its worker
    was lost before that, the channel's log names the run.

    Args:
        release: what `promote` left, where it ended well.
        ask: whether the store may be asked.
    """
    said = outcome(None, release or found.mapping("promote") or None, None)
    if said is not None:
        return said if said.kind == "promoted" else None
    if not ask or found.run.state not in ENDED or set(_codes(found, "promote")) & {1, 2}:  # it was told no
        return None
    if not any(task.task_id == "promote" and task.state == "failed" for task in found.tasks):
        return None
    form = found.run.conf or {}
    config = run_config(found.workspace, form)
    channel = config.release.channel if found.workspace else str(form.get("channel") or config.release.channel)
    try:
        run = {"dag_id": found.run.dag_id, "run_id": found.run.run_id}
        entry = promoted_by(log_of(opened(config), channel), run)
    except Gate5Error as error:
        rest(config, error)
        return None
    if entry is None:
        return None
    return outcome(None, {"release_id": entry.release, "channel": channel, "sequence": entry.sequence}, None)


def _standing(found: Found, said: Outcome) -> Outcome:
    """An outcome as the channel stands now."""
    if said.kind != "promoted" or not said.channel or not said.release:
        return said
    config = run_config(found.workspace, found.run.conf or {})
    try:
        log = log_of(opened(config), said.channel)
        return with_standing(said, standing(log, said.release, said.sequence or 1))
    except Gate5Error as error:
        rest(config, error)
        return Outcome(said.kind, f"{said.sentence} Whether it still is the current one cannot be read: {error}",
                       said.by, said.release, said.channel, said.sequence)  # fmt: skip


def _why_not(found: Found) -> str:
    """Why a run judged nothing and did not fail."""
    notes = several(found.mapping("receive", "received").get("notes"))
    if notes:
        return f"This run has no candidate to judge: {'; '.join(str(note) for note in notes)}."
    return ("Not judged again: the same policy was promoted before by the same rules, or another run has it in hand; "
            "the log of `look_up` and `gate5 candidates` say which.")  # fmt: skip


def report_in_store(found: Found, *, probe: bool = False) -> bytes | None:
    """The report of a run whose workspace is gone, from its release; with ``probe`` only whether there is one.

    Raises:
        Gate5Error: the store cannot be read, unless ``probe``.
    """
    promoted = found.value("promote")
    if not isinstance(promoted, Mapping) or not promoted.get("release_id"):
        return None
    config = run_config(None, found.run.conf or {})
    try:
        store = opened(config)
        release = find_release(store, str(promoted["release_id"]), store.trusted_keys or None)
        digest = release.files.get("report.html") if release else None
        return None if digest is None else b"yes" if probe else store.blob(digest)
    except Gate5Error as error:
        rest(config, error)
        if probe:
            return None
        raise


def _files(found: Found) -> tuple[GateReport | None, Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Verdict, release and rejection: from the workspace, and from XCom where that is gone."""
    if found.workspace is not None:
        gate = _json(found.workspace, "gate.json")
        return _gate(gate), _json(found.workspace, "release.json"), _json(found.workspace, "rejection.json")
    judged, reasons = found.value("gate"), found.value("reject", "reasons")
    gate = None
    if isinstance(judged, Mapping):
        gate = {"verdict": judged.get("verdict"), "rules": [], "reasons": several(judged.get("reasons"))}
    promoted = found.value("promote")
    rejection = None if reasons is None else {"reasons": reasons, "verdict": (gate or {}).get("verdict")}
    if isinstance(promoted, Mapping) and promoted.get("outcome") == "judged_again":
        rejection = {"reasons": promoted.get("reasons"), "verdict": (gate or {}).get("verdict"), "cause": "again"}
    return _gate(gate), promoted if isinstance(promoted, Mapping) else None, rejection


def _gate(data: Mapping[str, Any] | None) -> GateReport | None:
    try:
        return None if data is None else GateReport.from_dict(data)
    except Gate5Error:
        return None


def _json(workspace: Workspace, name: str) -> dict[str, Any] | None:
    data = workspace.find(name)
    try:
        value = None if data is None else canonical.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _name(task: Any, found: Found) -> str:
    """Task and scenario; a mapped task that has not run yet has its name from the list that it is mapped over."""
    if task.map_index < 0:
        return str(task.task_id)
    names = found.value("scenarios")
    listed = names[task.map_index] if isinstance(names, list) and task.map_index < len(names) else None
    return f"{task.task_id} {task.rendered_map_index or listed or task.map_index}"


def _text(task: Any, found: Found) -> str:
    """What a task measured, or the sentence with which it failed."""
    error = found.value(task.task_id, "error", task.map_index)
    if task.state == "failed" and isinstance(error, Mapping):
        return str(error.get("text") or "")
    value = found.value(task.task_id, index=task.map_index)
    if task.state != "success" or not isinstance(value, Mapping):
        return ""
    if isinstance(value.get("text"), str):
        return str(value["text"])
    kind = getattr(results, f"{task.task_id.capitalize()}Result", None)
    try:
        return "" if kind is None else str(kind.from_dict(dict(value)).line()).partition("\n")[0]
    except (Gate5Error, TypeError, ValueError):
        return ""  # of another version


def _q(text: str) -> str:
    return quote(text, safe="")
