"""What Airflow loads: "Releases" in the navigation, the tab on every run, and the pages behind them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

from gate5_plugin import listener
from gate5_plugin.app import app

TAB = {
    "name": "Gate 5",
    "href": "gate5/run/{DAG_ID}/{RUN_ID}",
    "destination": "dag_run",
    "url_route": "gate5",
}


def _icon(colour: str) -> str:
    """A box with an arrow into it, as a data address: the page needs nothing from elsewhere."""
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='{colour}' stroke-width='1.8' "
        "stroke-linecap='round' stroke-linejoin='round'><path d='M4 12v7h16v-7M12 3v11M8 10l4 4 4-4'/></svg>"
    )
    return f"data:image/svg+xml,{quote(drawn)}"


#: In the navigation; the page keeps its own address within Airflow's, so that it can be kept and sent.
RELEASES = {
    "name": "Releases",
    "href": "gate5/releases",
    "destination": "nav",
    "url_route": "releases",
    "nav_top_level": True,
    "icon": _icon("#7d8fa6"),
    "icon_dark_mode": _icon("#a9b8ca"),
}


class Gate5Plugin(AirflowPlugin):
    """Releases, and a tab per run with the release's report."""

    name = "gate5"
    fastapi_apps: list[Any] = [{"app": app, "url_prefix": "/gate5", "name": "gate5"}]  # noqa: RUF012
    listeners: list[Any] = [listener]  # noqa: RUF012
    external_views: list[Any] = [RELEASES, TAB]  # noqa: RUF012 - so the base class declares them
