"""The tab's page: how far the run is, what became of it, and the report in a sandbox of its own."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from gate5_plugin.run import RunStatus

MARKS = {"success": "✓", "failed": "✗", "running": "…", "awaiting_input": "?", "up_for_retry": "↻"}
#: What is said of a task that has measured nothing yet.
SAID = {
    "waiting": "not yet",
    "scheduled": "not yet",
    "queued": "waits for a free worker",
    "running": "at work",
    "awaiting_input": "waits for a person",
    "up_for_retry": "failed, is tried again",
    "deferred": "waits",
}


def _file(name: str) -> str:
    return files("gate5_plugin").joinpath(name).read_text(encoding="utf-8")


def status_json(status: RunStatus, base: str = "/gate5") -> dict[str, object]:
    """What the page's script draws; ``base``: the address prefix of the plugin."""
    data = status.to_dict()
    stages = [
        {**stage, "mark": MARKS.get(stage["state"], "·"), "said": SAID.get(stage["state"], "")}
        for stage in data["stages"]
    ]
    found = status.outcome
    done = ",".join(stage.name for stage in status.stages if stage.state in ("success", "failed"))
    return {
        **data,
        "stages": stages,
        "headline": headline(status),
        "word": found.word if found else "WAITS FOR AN ANSWER" if status.waits else "",
        "colour": found.colour if found else "warn" if status.waits else "",
        "shown": _links(status, base),
        "key": f"{status.state}:{done}",
        # Where all is measured and the report is there, the stages are there on demand.
        "whole": (status.final or status.waits) and status.has_report,
    }


def headline(status: RunStatus) -> str:
    """One sentence: how the run is, or what became of it, and what is still to come."""
    by = f" Started by {status.started_by}." if status.started_by else ""
    if status.outcome is not None:
        return f"{status.outcome.sentence}{by}"
    if status.final:
        return f"The run has ended ({status.state}).{by}"
    if status.waits:
        return f"Gate 5 passed, and the run waits for a person: promote or reject.{by}"
    report = "The report below is provisional" if status.has_report else "There is no report yet"
    missing = ", ".join(status.missing)
    return f"The run goes on ({status.state}). {report}; still to come: {missing or 'nothing'}.{by}"


def _links(status: RunStatus, base: str) -> list[dict[str, str]]:
    root = base.removesuffix("/gate5")
    links = []
    if "answer" in status.links:
        links.append({"name": "Answer", "href": f"{root}/{status.links['answer']}", "kind": "answer"})
    found = status.outcome
    if found is not None and found.release and found.channel:
        page = f"gate5/releases/{quote(found.channel, safe='')}/{quote(found.release, safe='')}"
        links.append({"name": "Release", "href": f"{root}/plugin/releases/{page}", "kind": ""})
    if "run" in status.links:
        links.append({"name": "Run", "href": f"{root}/{status.links['run']}", "kind": ""})
    return links


def run_page(dag_id: str, run_id: str, status: RunStatus, base: str, nonce: str) -> str:
    """The whole page; ``base`` is the address prefix of the plugin (``/gate5``)."""
    here = f"{base}/run/{quote(dag_id, safe='')}/{quote(run_id, safe='')}"
    at = json.dumps({"status": f"{here}/status", "report": f"{here}/report", "now": status_json(status, base)})
    at = at.replace("<", "\\u003c")
    return Template(_file("run.html")).substitute(
        run_id=escape(run_id),
        nonce=nonce,
        style=_file("run.css"),
        headline=escape(headline(status)),
        here=escape(here),
        at=at,
        script=_file("frame.js") + _file("run.js"),
    )


def message_page(text: str) -> str:
    """A page that only says one sentence."""
    return Template(_file("message.html")).substitute(text=escape(text))
