"""A run for each candidate that was announced together with another one."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator


class HandOn(TriggerDagRunOperator):
    """Starts a run of the DAG, which is the task's own, for one more candidate; skipped where that run is there.

    The run's name follows from the announcement, so that however often it is handed on there is one run.
    """

    def __init__(self, **kwargs: Any) -> None:
        # logical_date: none, because no two runs of a DAG can have the same.
        super().__init__(
            **{"logical_date": None, "skip_when_already_exists": True, **kwargs},
            openlineage_inject_parent_info=False,
        )
