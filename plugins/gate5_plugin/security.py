"""Who may see a page: each of these asks Airflow, and a test can put its own answer in their place."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_access_view
from airflow.models.dag import DagModel
from sqlalchemy import select

from gate5.config.gpus import RELEASE_DAG, is_release
from gate5_plugin.releases.layout import ACTS

may_see_plugins = requires_access_view(AccessView.PLUGINS)
may_see_run = requires_access_dag("GET", DagAccessEntity.XCOM)
#: What is released is as open, or as closed, as the results of the DAG that releases it.
may_see_releases = requires_access_dag("GET", DagAccessEntity.XCOM, param_dag_id=RELEASE_DAG)

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
# The report runs its charts' scripts, but with an origin of its own (`sandbox` without `allow-same-origin`) and without
# any network: nothing in it can act on Airflow with the reader's login.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def page_policy(nonce: str) -> str:
    """What a page of ours may do: its own script and style, and questions to Airflow."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def release_dags(user: GetUserDep, session: SessionDep) -> list[str]:
    """The DAGs that release, one for each kind of GPU there is or was, as far as this reader may see their results."""
    named = select(DagModel.dag_id).where(DagModel.dag_id.startswith(RELEASE_DAG, autoescape=True))
    manager = get_auth_manager()
    return [
        dag_id
        for dag_id in session.scalars(named)
        if is_release(dag_id)
        and manager.is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.XCOM, user=user, details=DagDetails(id=dag_id)
        )
    ]


def acts(user: GetUserDep, session: SessionDep) -> Mapping[str, bool]:
    """Which buttons there are (their DAG is), and whether this reader may start it."""
    wanted = {dag_id: verb for verb, (dag_id, _) in ACTS.items()}
    asked = select(DagModel.dag_id).where(DagModel.dag_id.in_(wanted), DagModel.is_stale.is_(False))
    manager = get_auth_manager()
    return {
        wanted[dag_id]: manager.is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, user=user, details=DagDetails(id=dag_id)
        )
        for dag_id in session.scalars(asked)
    }
