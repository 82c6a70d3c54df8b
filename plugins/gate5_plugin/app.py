"""The pages behind the tab. Every route asks Airflow whether the user may see plugins and this DAG's results."""

from __future__ import annotations

import secrets

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from gate5.errors import Gate5Error
from gate5.workspace.address import find_run_workspace
from gate5_plugin.pages import message_page, run_page, status_json
from gate5_plugin.releases.routes import router
from gate5_plugin.run import RunStatus
from gate5_plugin.security import HEADERS, REPORT_POLICY, may_see_plugins, may_see_run, page_policy
from gate5_plugin.status import OTHERS, find_run, report_in_store, run_status

app = FastAPI(title="gate5", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_see_plugins)])
app.include_router(router)
MAY_READ = [Depends(may_see_run)]


@app.get("/run/{dag_id}/{run_id}", dependencies=MAY_READ)
def run(request: Request, dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """The tab's page."""
    found = _status(session, dag_id, run_id)
    if isinstance(found, HTMLResponse):
        return found
    nonce = secrets.token_urlsafe(16)
    policy = page_policy(nonce)
    page = run_page(dag_id, run_id, found, _base(request), nonce)
    return HTMLResponse(page, headers={**HEADERS, "Content-Security-Policy": policy})


@app.get("/run/{dag_id}/{run_id}/status", dependencies=MAY_READ, response_model=None)
def status(request: Request, dag_id: str, run_id: str, session: SessionDep) -> JSONResponse | HTMLResponse:
    """How far the run is, for the page's script."""
    found = _status(session, dag_id, run_id)
    if isinstance(found, HTMLResponse):
        return found
    return JSONResponse(status_json(found, _base(request)), headers=HEADERS)


@app.get("/run/{dag_id}/{run_id}/report", dependencies=MAY_READ)
def report(dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """The report: as the run left it, as it can be drawn by now, or from the store where the workspace is gone."""
    found = _status(session, dag_id, run_id)
    if isinstance(found, HTMLResponse):
        return found
    try:
        data = _report(session, dag_id, run_id)
    except Gate5Error as error:
        return _say(f"The report cannot be read: {error}", 503)
    if data is None:
        return _say("There is no report of this run: its workspace is gone, and it released nothing.", 404)
    return HTMLResponse(data, headers={**HEADERS, "Content-Security-Policy": REPORT_POLICY})


def _report(session: SessionDep, dag_id: str, run_id: str) -> bytes | str | None:
    workspace = find_run_workspace(dag_id, run_id)
    if workspace is None:
        found = find_run(session, dag_id, run_id)
        return None if found is None else report_in_store(found)
    if workspace.exists("report.html"):
        return workspace.find("report.html")
    from gate5.report import render  # drawn on demand: numpy and the sections are not loaded before

    return render(workspace)


def _status(session: SessionDep, dag_id: str, run_id: str) -> RunStatus | HTMLResponse:
    try:
        found = run_status(session, dag_id, run_id)
    except Gate5Error as error:
        return _say(str(error), 503)
    if found is None:
        return _say("Airflow has no such run.", 404)
    if not found.release and dag_id not in OTHERS:
        return _say("This run is not a release: it has no report of Gate 5.", 404)
    return found


def _say(text: str, code: int) -> HTMLResponse:
    headers = {**HEADERS, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'self'"}
    return HTMLResponse(message_page(text), code, headers=headers)


def _base(request: Request) -> str:
    """The plugin's address prefix as the browser sees it, behind a proxy's sub-path too."""
    return str(request.scope.get("root_path", "")).rstrip("/")
