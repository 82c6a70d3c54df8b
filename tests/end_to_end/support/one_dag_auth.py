"""An auth manager for a test: the user ``stranger`` may see another DAG, but not policy_release.

Airflow's simple auth manager knows no permissions per DAG; those of production do. Everything else is the simple one's.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class OneDagAuthManager(SimpleAuthManager):
    """Refuses ``stranger`` every DAG but policy_rollback."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **named: Any) -> bool:
        """Airflow's question; ``details`` names the DAG, where one is meant."""
        if user.get_name() == "stranger" and (details is None or details.id != "policy_rollback"):
            return False
        return bool(super().is_authorized_dag(user=user, details=details, **named))
