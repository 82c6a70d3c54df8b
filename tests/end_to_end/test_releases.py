"""Releases in Airflow's navigation: who sees them and who may act."""

from __future__ import annotations

import pytest

from tests.support.site import DAG, Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


@pytest.mark.parametrize(("user", "code"), [(None, 401), ("stranger", 403), ("viewer", 200), ("ada", 200)])
@pytest.mark.parametrize("path", ["releases", "releases/announced", "act/rollback?channel=announced"])
def test_releases_are_as_open_as_the_results_of_their_dag(
    site: Site, promoted: str, path: str, user: str | None, code: int
) -> None:
    answer = site.page(path, user)
    assert answer.status_code == code
    if code != 200:
        assert "announced" not in answer.text


def test_a_viewer_sees_all_and_may_start_nothing(site: Site, promoted: str) -> None:
    index = site.page("releases", "viewer").text
    # The last candidates, however many runs other tests have started since those two.
    last = site.api.call("GET", f"dags/{DAG}/dagRuns?order_by=-run_after&limit=5")["dag_runs"]
    assert [run["dag_run_id"] for run in last if run["dag_run_id"] not in index] == []
    channel = site.page("releases/announced", "viewer").text
    assert promoted in channel
    assert "needs the permission to start policy_rollback" in channel
    assert "/act/rollback" not in channel
    assert "/act/rollback" in site.page("releases/announced", "ada").text
