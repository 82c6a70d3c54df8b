"""Run by the cluster's interpreter: two tasks report success in the same instant, on a database that has seen no event.

Prints one line of JSON: what became of both reports where they emit what the task `promote` of policy_release does, and
where they emit another asset through an alias.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    from airflow import models, settings
    from airflow.models.base import Base
    from airflow.sdk import Asset, AssetAlias
    from airflow.sdk.execution_time.context import OutletEventAccessors

    sys.path.insert(0, str(ROOT / "dags"))
    settings.initialize()  # type: ignore[no-untyped-call]
    models.import_all_models()  # type: ignore[no-untyped-call]
    Base.metadata.create_all(settings.engine)
    (asset,), events = outlets_of_promote(), OutletEventAccessors()
    events[asset].extra = {"release": "r-1"}
    said = [both([asset], events)]
    alias, events = AssetAlias("of a test"), OutletEventAccessors()
    events[alias].add(Asset("another", uri="test://another"), extra={})
    print("\n" + json.dumps([*said, both([alias], events)]))


def outlets_of_promote() -> list[Any]:
    """Read the DAG, and write to the database what the DAG processor does."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]
    bag = BundleDagBag(str(ROOT / "dags/policy_release.py"), bundle_path=ROOT / "dags", bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    return list(bag.dags["policy_release"].get_task("promote").outlets)


def both(outlets: list[Any], events: Any) -> dict[str, str]:
    """Two reports, the second begun before the first is written; for each what became of it."""
    from airflow import settings
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.execution_time.task_runner import _build_asset_profiles, _serialize_outlet_events
    from sqlalchemy.orm import Session

    said: dict[str, str] = {}

    def report(run: str, then: Callable[[], None] = lambda: None) -> None:
        log, of_run = logging.getLogger("report"), SimpleNamespace(partition_key=None, partition_date=None)
        about = {"task_id": "promote", "dag_id": "policy_release", "run_id": run, "map_index": -1}
        ti: Any = SimpleNamespace(**about, log=log, dag_run=of_run)
        sent: Any = list(_build_asset_profiles(outlets)), list(_serialize_outlet_events(events))
        try:
            with Session(settings.engine) as session:
                TaskInstance.register_asset_changes_in_db(ti, *sent, session=session)
                then()
                session.commit()
            said[run] = "done"
        except Exception as error:  # noqa: BLE001 - whatever it is, Airflow marks the task as failed
            said[run] = type(error).__name__

    second = threading.Thread(target=report, args=("second",))

    def meanwhile() -> None:
        second.start()
        time.sleep(0.5)

    report("first", meanwhile)
    second.join()
    return said


if __name__ == "__main__":
    main()
