"""What a person does to channels through the forms: roll back, hold, lift, promote from one to another.

Each tells the people of the configuration, through a real Apprise connection, and emits the event that others follow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from local_airflow.patience import wait_for
from tests.end_to_end.test_rollback import released_twice
from tests.support.site import Site, say

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def told(site: Site) -> Iterator[list[dict[str, Any]]]:
    """What a web server on this machine is sent; the connection ``gate5_people`` leads there."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    extra = json.dumps({"config": {"path": f"json://127.0.0.1:{server.server_port}/", "tag": "all"}})
    body = {"connection_id": "gate5_people", "conn_type": "apprise", "extra": extra}
    site.api.call("POST", "connections", body)
    yield got
    server.shutdown()
    server.server_close()


def telling(path: str, **more: Any) -> str:
    """The configuration, with people to be told."""
    with open(path) as file:
        values = yaml.safe_load(file)
    with open(path, "w") as file:
        yaml.safe_dump({**values, "notify": {"connection": "gate5_people"}, **more}, file)
    return path


def events(site: Site, dag_id: str) -> list[dict[str, Any]]:
    """The extras of what a DAG has emitted, which is on the asset ``gate5_release`` alone."""
    found = site.api.get("assets/events", source_dag_id=dag_id, limit=100)["asset_events"]
    assert {event["name"] for event in found} <= {"gate5_release"}
    return [event["extra"] for event in found]


def test_rolled_back_held_lifted_and_told(site: Site, told: list[dict[str, Any]]) -> None:
    path = telling(released_twice(site, "forms"))
    newer, older = (entry["release"] for entry in site.channel("forms"))
    run = site.start("forms-back", dag_id="policy_rollback", reason="oscillates", config=path)
    assert site.wait_for_run(run, "policy_rollback") == "success"
    assert {"release": older, "channel": "forms", "entry": 3, "kind": "rollback"} in events(site, "policy_rollback")
    (message,) = [each for each in told if "forms-back" in each["message"]]
    assert message["title"] == "gate5: policy_rollback rolled back"
    assert f"{older} is again in forms" in message["message"]
    assert "/dags/policy_rollback/runs/forms-back" in message["message"]

    form = {"release_id": newer, "reason": "seen on the rig: it holds now", "config": path}
    assert site.wait_for_run(site.start("forms-lift", dag_id="policy_lift", **form), "policy_lift") == "success"
    form["reason"] = "a second look is wanted"
    assert site.wait_for_run(site.start("forms-hold", dag_id="policy_hold", **form), "policy_hold") == "success"
    log = [(entry["kind"], entry["by"], entry["reason"]) for entry in site.channel("forms")][:2]
    assert log == [("hold", "ada", form["reason"]), ("lift", "ada", "seen on the rig: it holds now")]

    broken = {**form, "release_id": "sco2-000000000000"}
    assert site.wait_for_run(site.start("forms-none", dag_id="policy_hold", **broken), "policy_hold") == "failed"
    # Airflow calls back after the run's state is known.
    message = wait_for("nobody is told", lambda: next((e for e in told if "forms-none" in e["message"]), None))
    assert (message["title"], "sco2-000000000000" in message["message"]) == ("gate5: policy_hold broken", True)


def test_a_worker_proves_a_release_once(site: Site, promoted: str) -> None:
    """What the announced run released, measured on this machine's device; the second run finds the proof."""
    path, found = str(site.folder / "announced.yaml"), []
    for run in ("prove-first", "prove-again"):
        site.start(run, dag_id="policy_prove", episodes=1, config=path)
        assert site.wait_for_run(run, "policy_prove") == "success"
        found.append(site.api.xcom("policy_prove", run, "prove", "return_value"))
    first, again = found
    assert (first["made"], first["verdict"], first["release"]) == (
        True,
        "pass",
        site.channel("announced")[0]["release"],
    )
    assert (site.folder / "store" / first["stored"]).is_file()
    assert (again["made"], again["at"]) == (False, first["at"])
    site.start("prove-none", dag_id="policy_prove", release_id="sco2-000000000000", config=path)
    assert site.wait_for_run("prove-none", "policy_prove") == "failed"
    assert "sco2-000000000000" in site.api.xcom("policy_prove", "prove-none", "prove", "error")["text"]


def test_from_channel_to_channel_by_another_person(site: Site, promoted: str, told: list[dict[str, Any]]) -> None:
    """The release that the announced run made goes on, as it is, with a second person's yes."""
    path = str(site.folder / "further.yaml")
    with open(site.folder / "announced.yaml") as file:
        values = yaml.safe_load(file)
    demands = {"further": {"two_person": True, "approvers": ["ada", "bob"]}}
    values["release"]["channel"] = "further"  # what `site.channel` reads; the form names both channels
    with open(path, "w") as file:
        yaml.safe_dump({**values, "channels": demands, "notify": {"connection": "gate5_people"}}, file)
    dag_id, run = "policy_promote", "onwards"
    site.start(run, dag_id=dag_id, from_channel="announced", to_channel="further", config=path)
    site.wait_for_task(run, "approval", "awaiting_input", dag_id)
    site.wait_until_left(run, "approval", dag_id)
    say(site.api_of("bob"), dag_id, run, "Promote", comment="as agreed")
    assert site.wait_for_run(run, dag_id) == "success"
    (entry,) = site.channel("further")
    assert entry["release"] == site.channel("announced")[0]["release"]
    approval = entry["details"]["approval"]
    assert (approval["approved_by"], approval["started_by"], approval["comment"]) == ("bob", "ada", "as agreed")
    titles = [each["title"] for each in told if run in each["message"]]
    assert titles == ["gate5: policy_promote waits for an approval", "gate5: policy_promote promoted"]
    assert {"release": entry["release"], "channel": "further", "entry": 1, "kind": "promote"} in events(site, dag_id)
