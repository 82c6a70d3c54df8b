"""The tab's page: how far the run is, and the report in a sandbox of its own."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from gate5_plugin.status import RunStatus

MARKS = {"success": "✓", "failed": "✗", "upstream_failed": "–", "running": "…", "awaiting_input": "?"}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c5221f; --good: #188038; --now: #1a73e8; }
html, body { margin: 0; height: 100%; font: 14px/1.45 system-ui, sans-serif; }
body { display: flex; flex-direction: column; }
header { padding: 10px 16px; border-bottom: 1px solid var(--line); }
p { margin: 0 0 6px; }
ol { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 14px; }
li::before { content: attr(data-mark) " "; font-weight: 700; }
li[data-state=success]::before { color: var(--good); }
li[data-state=failed]::before, li[data-state=upstream_failed]::before { color: var(--bad); }
li[data-state=running]::before, li[data-state=awaiting_input]::before { color: var(--now); }
li[data-state=waiting], li[data-state=scheduled], li[data-state=queued] { opacity: .6; }
body.whole header { display: none; }
main { flex: 1; display: flex; }
iframe { flex: 1; border: 0; width: 100%; min-height: 200px; background: Canvas; }
"""

# All text reaches the page as text nodes; the report's frame has an origin of its own and cannot reach this one.
_SCRIPT = """
const at = JSON.parse(document.getElementById("at").textContent);
let shown = "";
function draw(status) {
  document.getElementById("headline").textContent = status.headline;
  const list = document.getElementById("stages");
  list.replaceChildren(...status.stages.map(stage => {
    const item = document.createElement("li");
    item.dataset.state = stage.state; item.dataset.mark = stage.mark; item.title = stage.state;
    item.textContent = stage.name;
    return item;
  }));
  document.body.classList.toggle("whole", status.whole);
  const key = status.has_report ? String(status.final) : "";
  if (key && key !== shown) {
    shown = key;
    const frame = document.createElement("iframe");
    frame.title = "Report of this release";
    frame.setAttribute("sandbox", "allow-scripts allow-downloads");
    frame.src = at.report + "?final=" + status.final;
    document.querySelector("main").replaceChildren(frame);
  }
}
async function poll() {
  let wait = 3000;
  try {
    const answer = await fetch(at.status, {credentials: "same-origin", cache: "no-store"});
    if (!answer.ok) throw new Error("the server answered " + answer.status);
    const status = await answer.json();
    draw(status);
    if (status.final) return;
  } catch (error) {
    const text = "The status cannot be read (" + error.message + "); trying again.";
    document.getElementById("headline").textContent = text;
    wait = 10000;
  }
  setTimeout(poll, wait);
}
draw(at.now);
if (!at.now.final) setTimeout(poll, 2000);
"""


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
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gate 5: {escape(run_id)}</title>
<style nonce="{nonce}">{_STYLE}</style></head>
<body><header><p id="headline" role="status">{escape(headline(status))}</p><ol id="stages"></ol></header><main></main>
<noscript><p>This page needs JavaScript to follow the run. <a href="{escape(here)}/report">The report</a></p></noscript>
<script type="application/json" id="at" nonce="{nonce}">{at}</script>
<script nonce="{nonce}">{_SCRIPT}</script></body></html>"""


def message_page(text: str) -> str:
    """A page that only says one sentence."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Gate 5</title>
<meta name="color-scheme" content="light dark"></head><body><p>{escape(text)}</p></body></html>"""
