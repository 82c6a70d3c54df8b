"""A task that carries out a stage: Airflow's ``@task``, and it tells OpenLineage what it read and wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory


class StageOperator(DecoratedOperator, PythonOperator):
    """Runs a function, as ``@task`` does; the name of the task is the name of the stage."""

    template_fields = ("templates_dict", "op_args", "op_kwargs")
    template_fields_renderers: ClassVar[dict[str, str]] = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}
    custom_operator_name = "@stage_task"

    def __init__(self, *, python_callable: Callable[..., Any], op_args: Any, op_kwargs: Any, **kwargs: Any) -> None:
        given = {"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs}
        super().__init__(kwargs_to_upstream=given, **given, **kwargs)

    def get_openlineage_facets_on_complete(self, ti: Any) -> Any:
        """What OpenLineage's provider asks when the task has ended, well or not; nobody asks where it is not used."""
        from gate5_dag.lineage import lineage

        return lineage(ti.dag_id, ti.run_id, self.task_id, dict(self.op_kwargs).get("scenario"))


def stage_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a stage of a function; with the arguments of ``@task``."""
    return task_decorator_factory(python_callable, decorated_operator_class=StageOperator, **kwargs)
