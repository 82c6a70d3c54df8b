"""Take the picture docs/images/dag-run.png: the newest release that this folder's Airflow ran (needs Chromium).

Run `make release` first; then `python -m local_airflow.picture`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile

from gate5.errors import Gate5Error, OperationError
from local_airflow.components import LocalAirflow, exit_on_signals
from local_airflow.environment import ROOT

DAG = "policy_release"
IMAGES = ROOT / "docs" / "images"
#: What Airflow's page keeps in the browser (3.3.2): the graph, downwards, its boxes closed, in a third of the width.
BOXES = {
    "default_dag_view": json.dumps("graph"),
    f"direction-{DAG}": json.dumps("DOWN"),
    "react-resizable-panels:graph-ltr": json.dumps(
        {"details-panel,main-panel": {"expandToSizes": {}, "layout": [30, 70]}}
    ),
}
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")


def main() -> int:
    """Returns the exit code."""
    exit_on_signals()
    try:
        with LocalAirflow(ROOT / "var" / "airflow", "take_picture", extra={"GATE5_SCHEDULE": "off"}) as airflow:
            airflow.wait_until_ready(DAG)
            runs = airflow.api.get(f"dags/{DAG}/dagRuns", state="success", order_by="-run_after", limit=1)["dag_runs"]
            if not runs:
                raise OperationError("No release run has succeeded here yet: run `make release` first.")
            take(airflow, runs[0]["dag_run_id"])
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def take(airflow: LocalAirflow, run_id: str) -> None:
    """The run's tasks in their boxes, and its tab with the report."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise OperationError("There is no Chromium on the PATH: apt-get install chromium.")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=list(QUIET), viewport={"width": 1500, "height": 900}
        )
        context.add_cookies([{"name": "_token", "value": airflow.api.token, "url": airflow.address}])
        page = context.new_page()
        page.goto(f"{airflow.address}/dags")
        page.evaluate("kept => Object.entries(kept).forEach(one => localStorage.setItem(...one))", BOXES)
        page.goto(f"{airflow.address}/dags/{DAG}/runs/{run_id}/plugin/gate5")
        page.locator(".react-flow__node").nth(3).wait_for()
        page.add_style_tag(content=".react-flow__minimap { visibility: hidden }")  # it lies over the last box
        page.get_by_label("Fit View").click()
        report = page.frame_locator("iframe[title='Gate 5']").frame_locator("iframe")
        report.locator("h1").first.wait_for()
        page.wait_for_timeout(3000)
        page.screenshot(path=IMAGES / "dag-run.png")
        context.close()


if __name__ == "__main__":
    sys.exit(main())
