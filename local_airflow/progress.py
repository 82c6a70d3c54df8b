"""Prints what the tasks of a run do, as it happens."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from gate5.errors import InputError
from gate5.pipeline.line import result_type
from gate5.workspace import contents
from gate5.workspace.address import find_run_workspace
from gate5.workspace.records import read_record

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
WORDS = {"success": "done", "awaiting_input": "waiting", "up_for_retry": "to retry"}
#: Nothing to tell a person: the branch not taken, and what comes after a failure.
SILENT = {"skipped", "removed", "upstream_failed"}
#: The stages whose result is told; the gate's table comes at the end.
TOLD = {stage.name: stage for stage in contents.measuring()}
#: A task's log line is shown at most this often.
EVERY_S = 3.0


class Progress:
    """Remembers what has been shown of one run; ``show`` prints what is new."""

    def __init__(self, dag_id: str, run_id: str, logs: Path | None) -> None:
        self.dag_id, self.run_id, self.logs = dag_id, run_id, logs
        self._shown: dict[tuple[str, int], tuple[str, int]] = {}
        self._tails: dict[tuple[str, int], Tail] = {}

    def show(self, instances: list[dict[str, Any]]) -> None:
        """Print each task that has started or ended since the last call, and the newest log line of those at work."""
        for task in sorted(instances, key=_when):
            key, state = (task["task_id"], task["map_index"]), task["state"]
            now = (state, task["try_number"])
            if state in SILENT or (state == "running" and _nameless(task)):
                continue
            if state in ("running", "awaiting_input", "up_for_retry", *ENDED) and self._shown.get(key) != now:
                self._change(task)
                self._shown[key] = now
            if state == "running":
                self._log_line(task)

    def _change(self, task: dict[str, Any]) -> None:
        state = task["state"]
        duration = "" if task["duration"] is None or state not in ENDED else f"{task['duration']:6.1f} s"
        if state == "running":
            line(name(task), "started", "", f"try {task['try_number']}" if task["try_number"] > 1 else "")
        else:
            line(name(task), WORDS.get(state, state.replace("_", " ")), duration, self._result(task))

    def _result(self, task: dict[str, Any]) -> str:
        stage = task["task_id"]
        if task["state"] != "success" or stage not in TOLD or _nameless(task):
            return ""
        record = f"{stage}-{task['rendered_map_index']}" if TOLD[stage].per_scenario else stage
        workspace = find_run_workspace(self.dag_id, self.run_id)
        try:
            found = read_record(workspace, record) if workspace else None
            return "" if found is None else result_type(TOLD[stage]).from_dict(found["result"]).line()
        except InputError:
            return ""

    def _log_line(self, task: dict[str, Any]) -> None:
        key = (task["task_id"], task["map_index"])
        path = self.log_file(task)
        if path is None:
            return
        tail = self._tails.get(key)
        if tail is None or tail.path != path:
            tail = self._tails[key] = Tail(path)
        text = tail.news()
        if text:
            line(name(task), "...", "", text)

    def log_file(self, task: dict[str, Any]) -> Path | None:
        """The log file of a task's latest try, or ``None`` where this machine has none."""
        if self.logs is None:
            return None
        folder = self.logs / f"dag_id={self.dag_id}" / f"run_id={self.run_id}" / f"task_id={task['task_id']}"
        if task["map_index"] >= 0:
            folder = folder / f"map_index={task['map_index']}"
        path = folder / f"attempt={task['try_number']}.log"
        return path if path.exists() else None


class Tail:
    """Follows a log file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._next = time.monotonic() + EVERY_S

    def news(self) -> str | None:
        """gate5's newest log line, if there is one and it is time to show one."""
        if time.monotonic() < self._next:
            return None
        with self.path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        whole = data.rpartition(b"\n")[0]
        self._position += len(whole)
        lines = [entry for entry in map(_entry, whole.splitlines()) if _worth_telling(entry)]
        if not lines:
            return None
        self._next = time.monotonic() + EVERY_S
        return str(lines[-1].get("event", ""))


def log_tail(path: Path, count: int = 15) -> list[str]:
    """The last messages of a task's log, for a person."""
    lines = []
    for raw in path.read_bytes().splitlines():
        entry = _entry(raw)
        if entry.get("event"):
            lines.append(f"{entry.get('level', '')}: {entry['event']}")
        for detail in entry.get("error_detail") or []:
            frames = detail.get("frames") or []
            lines += [f"  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in frames[-3:]]
            lines.append(f"  {detail.get('exc_type')}: {detail.get('exc_value')}")
    return lines[-count:]


def name(task: dict[str, Any]) -> str:
    """A task's name; a mapped one's with what it is about."""
    if task["map_index"] < 0:
        return str(task["task_id"])
    return f"{task['task_id']} {task['map_index'] if _nameless(task) else task['rendered_map_index']}"


def line(who: str, what: str, duration: str, text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"{datetime.now():%H:%M:%S}  {who:<30} {what:<9} {duration:>9}  {text}".rstrip() + "\n")
    sys.stdout.flush()


def _worth_telling(entry: dict[str, Any]) -> bool:
    """gate5's own lines, but not the stage's result, which the line for the task's end shows."""
    logger = str(entry.get("logger", ""))
    return logger.startswith("gate5") and logger != "gate5.dag"


def _entry(raw: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(raw)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _nameless(task: dict[str, Any]) -> bool:
    return task["map_index"] >= 0 and task.get("rendered_map_index") in (None, "", str(task["map_index"]))


def _when(task: dict[str, Any]) -> str:
    return str(task["end_date"] or task["start_date"] or "9")
