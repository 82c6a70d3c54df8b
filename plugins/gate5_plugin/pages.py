"""The tab's page: how far the run is, and the report in a sandbox of its own."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from gate5_plugin.run import RunStatus

MARKS = {"success": "✓", "failed": "✗", "upstream_failed": "–", "running": "…", "awaiting_input": "?"}


def _file(name: str) -> str:
    return files("gate5_plugin").joinpath(name).read_text(encoding="utf-8")


def status_json(status: RunStatus) -> dict[str, object]:
    """What the page's script draws."""
    data = status.to_dict()
    stages = [{**stage, "mark": MARKS.get(stage["state"], "·")} for stage in data["stages"]]
    # A finished run whose report is there and whose every stage is done is the report and nothing else.
    return {**data, "stages": stages, "headline": headline(status), "whole": status.final and status.has_report}


def headline(status: RunStatus) -> str:
    """One sentence: how the run is and what is still missing."""
    missing = ", ".join(status.missing)
    if status.final and not status.has_report:
        return f"The run ended ({status.state}) before there was anything to report. Not done: {missing or 'nothing'}."
    if status.final:
        return f"The run has ended ({status.state})."
    report = "The report below is provisional" if status.has_report else "There is no report yet"
    return f"The run goes on ({status.state}). {report}; still missing: {missing or 'nothing'}."


def run_page(dag_id: str, run_id: str, status: RunStatus, base: str, nonce: str) -> str:
    """The whole page; ``base`` is the address prefix of the plugin (``/gate5``)."""
    here = f"{base}/run/{quote(dag_id, safe='')}/{quote(run_id, safe='')}"
    at = json.dumps({"status": f"{here}/status", "report": f"{here}/report", "now": status_json(status)})
    at = at.replace("<", "\\u003c")
    return Template(_file("run.html")).substitute(
        run_id=escape(run_id),
        nonce=nonce,
        style=_file("run.css"),
        headline=escape(headline(status)),
        here=escape(here),
        at=at,
        script=_file("run.js"),
    )


def message_page(text: str) -> str:
    """A page that only says one sentence."""
    return Template(_file("message.html")).substitute(text=escape(text))
