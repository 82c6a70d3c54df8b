"""What Airflow loads: the tab on every run and the pages behind it."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from gate5_plugin.app import app

TAB = {
    "name": "Gate 5",
    "href": "gate5/run/{DAG_ID}/{RUN_ID}",
    "destination": "dag_run",
    "url_route": "gate5",
}


class Gate5Plugin(AirflowPlugin):
    """A tab per run with the release's report."""

    name = "gate5"
    fastapi_apps: list[Any] = [{"app": app, "url_prefix": "/gate5", "name": "gate5"}]  # noqa: RUF012
    external_views: list[Any] = [TAB]  # noqa: RUF012 - so the base class declares them
