"""Links on a task's page: from the gate, the report, promote and reject to the report, and to the release."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from gate5_dag.origin import base_url, run_url


class ReportLink(BaseOperatorLink):
    """The tab with the run's report."""

    name = "Report of Gate 5"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        url = run_url(ti_key.dag_id, ti_key.run_id)
        return f"{url}/plugin/gate5" if url else ""


class ReleaseLink(BaseOperatorLink):
    """The page of the release that the run made; nothing where it made none."""

    name = "Release"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        from gate5.workspace.address import find_run_workspace

        base, workspace = base_url(), find_run_workspace(ti_key.dag_id, ti_key.run_id)
        if not base or workspace is None or not workspace.exists("release.json"):
            return ""
        made = workspace.read_json("release.json")
        channel, release = (quote(str(made[name]), safe="") for name in ("channel", "release_id"))
        return f"{base}/plugin/releases/gate5/releases/{channel}/{release}"


def link(*tasks: Any) -> None:
    """Give tasks the links; ``tasks`` are what calling a decorated function gave."""
    for task in tasks:
        task.operator.operator_extra_links = (ReportLink(), ReleaseLink())
