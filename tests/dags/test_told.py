"""Who is told what becomes of a run: each message caught by a real receiver on this machine."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate5.config.models import ReleaseConfig
from gate5.config.notify import EVENTS
from gate5.errors import ConfigError
from tests.support.receiver import Receiver, receiver

__all__ = ["receiver"]
pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("dag_modules")]


@dataclass
class Run:
    """A run, as far as a message names it."""

    dag_id: str = "policy_release"
    run_id: str = "nightly 1"


def tell(settings: dict[str, Any], event: Any, sentence: str, verdict: str | None = None) -> None:
    from gate5_dag import told  # type: ignore[import-not-found,unused-ignore]

    said = told.message(event, sentence, Run(), verdict)
    told.tell_about({"dag_run": Run()}, ReleaseConfig.parse({"notify": settings}).notify, said)


@pytest.fixture
def apprise(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    connection = {
        "conn_type": "apprise",
        "extra": {"config": {"path": f"json://127.0.0.1:{receiver.port}/", "tag": "all"}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_GATE5_PEOPLE", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org")
    return {"connection": "gate5_people"}


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_reaches_the_receiver_with_verdict_reason_and_link(
    receiver: Receiver, apprise: dict[str, Any], event: str
) -> None:
    tell(apprise, event, "no_violations: 3 in load_rejection", "fail")
    (got,) = receiver.got
    assert got["title"].startswith("gate5: policy_release ")
    assert "no_violations: 3 in load_rejection" in got["message"]
    assert "Gate 5: fail" in got["message"]
    assert "https://airflow.example.org/dags/policy_release/runs/nightly%201" in got["message"]


def test_what_a_candidate_is_called_is_no_template(receiver: Receiver, apprise: dict[str, Any]) -> None:
    tell(apprise, "refused", "{{ 7 * 7 }} {% raw %}")
    assert "{{ 7 * 7 }} {% raw %}" in receiver.got[0]["message"]


def test_an_event_that_is_not_asked_for_is_not_told(receiver: Receiver, apprise: dict[str, Any]) -> None:
    tell({**apprise, "events": ["broken"]}, "promoted", "x is now in production")
    tell({**apprise, "events": ["broken"]}, "broken", "the store does not answer")
    assert [got["title"] for got in receiver.got] == ["gate5: policy_release broken"]


def test_nothing_configured_is_no_notification_and_no_error(
    receiver: Receiver, apprise: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is there, so that only the configuration keeps it from being used."""
    assert apprise
    tell({}, "promoted", "x is now in production")
    assert receiver.got == []
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_any_class_is_called_and_one_that_fails_or_hangs_keeps_no_other_from_it(
    receiver: Receiver,
    apprise: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "own_notifiers.py").write_text(
        "import time\n"
        "from airflow.sdk.bases.notifier import BaseNotifier\n"
        "class Own(BaseNotifier):\n"
        "    template_fields = ('text',)\n"
        "    def __init__(self, text, path):\n"
        "        super().__init__()\n"
        "        self.text, self.path = text, path\n"
        "    def notify(self, context):\n"
        "        open(self.path, 'w').write(self.text)\n"
        "class Failing(BaseNotifier):\n"
        "    def notify(self, context):\n"
        "        raise OSError('the mail server is gone')\n"
        "class Hanging(BaseNotifier):\n"
        "    def notify(self, context):\n"
        "        time.sleep(600)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("gate5_dag.told.PATIENCE_S", 1)
    arguments = {"text": "{{ gate5.event }} {{ gate5.sentence }}", "path": str(tmp_path / "said")}
    own = [
        {"notifier": "own_notifiers.Failing"},
        {"notifier": "own_notifiers.Hanging"},
        {"notifier": "own_notifiers.Missing"},
        {"notifier": "nowhere.Own"},
        {"notifier": "own_notifiers.Own", "arguments": arguments},
    ]
    began = time.monotonic()
    tell({**apprise, "notifiers": own}, "promoted", "x is now in production")
    assert (tmp_path / "said").read_text() == "promoted x is now in production"
    assert len(receiver.got) == 1
    assert time.monotonic() - began < 60
    assert len([r for r in caplog.records if "could not tell" in r.message]) == 4


def test_a_connection_that_is_not_there_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tell({"connection": "nowhere"}, "promoted", "x")
    assert "could not tell that this run is promoted" in caplog.text


@pytest.mark.parametrize("settings", [{"events": ["exploded"]}, {"notifiers": [{"notifier": "NoModule"}]}])
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"notify\.(events|notifiers)"):
        ReleaseConfig.parse({"notify": settings})
