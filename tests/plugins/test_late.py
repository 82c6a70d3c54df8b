"""People are told of a run that is late: by a worker or by the triggerer, and not of one that has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow]

NOTIFIERS = """
from airflow.sdk.bases.notifier import BaseNotifier

class Own(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, path, text="{{ gate5.event }}: {{ gate5.title }}: {{ gate5.text }}", context=None):
        super().__init__(context=context)
        self.path, self.text = path, text

    def notify(self, context):
        with open(self.path, "a") as file:
            print(f"sync {self.text!r}", file=file)

class Both(Own):
    async def async_notify(self, context):
        with open(self.path, "a") as file:
            print(f"async {self.text!r}", file=file)

class Failing(Own):
    def notify(self, context):
        raise OSError("the mail server is gone")

    async def async_notify(self, context):
        raise OSError("the mail server is gone")
"""
RUN = {"dag_id": "policy_release", "dag_run_id": "nightly {{ 7 * 7 }}", "state": "running"}
TEXT = ("late: gate5: policy_release takes too long: It has not ended 30 minutes after it was queued.\\nrun nightly "
        "{{ 7 * 7 }} of policy_release\\nhttps://a.example/dags/policy_release/runs/nightly%20%7B%7B%207%20%2A%207%20"
        "%7D%7D")  # fmt: skip


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """What the notifiers have written, and the arguments of the callback."""
    (tmp_path / "late_notifiers.py").write_text(NOTIFIERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://a.example/")
    said = {"path": str(tmp_path / "said")}
    names = ("Failing", "Missing", "Own", "Both")
    return tmp_path / "said", {"notifiers": [[f"late_notifiers.{name}", said] for name in names], "minutes": 30.0}


def in_a_worker(kwargs: dict[str, Any], run: dict[str, Any]) -> None:
    """As the executor's process calls it."""
    import structlog
    from airflow.sdk.execution_time.callback_supervisor import execute_callback

    call = {**kwargs, "context": {"dag_run": run}}
    done, why = execute_callback("gate5_plugin.late.LateNotifier", call, Path(), None, structlog.get_logger())
    assert done, why


def in_the_triggerer(kwargs: dict[str, Any], run: dict[str, Any]) -> None:
    """As the triggerer runs it."""
    from airflow.triggers.callback import CallbackTrigger

    async def all_events() -> list[Any]:
        call = {**kwargs, "context": {"dag_run": run}}
        return [event.payload["state"] async for event in CallbackTrigger("gate5_plugin.late.LateNotifier", call).run()]

    assert asyncio.run(all_events())[-1] == "success"


@pytest.mark.parametrize(("where", "both"), [(in_a_worker, "sync"), (in_the_triggerer, "async")])
def test_everybody_is_told_once(called: tuple[Path, dict[str, Any]], where: Any, both: str) -> None:
    file, kwargs = called
    where(kwargs, RUN)
    assert file.read_text().splitlines() == [f"sync '{TEXT}'", f"{both} '{TEXT}'"]


@pytest.mark.parametrize("where", [in_a_worker, in_the_triggerer])
@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_has_ended_is_not_late(called: tuple[Path, dict[str, Any]], where: Any, state: str) -> None:
    """Airflow keeps the deadline of a run that failed in time."""
    file, kwargs = called
    where(kwargs, {**RUN, "state": state})
    assert not file.exists()
