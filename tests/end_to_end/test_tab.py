"""The pages behind the tab: who may read them, and what a page may do in the reader's browser."""

from __future__ import annotations

import pytest

from gate5.workspace.address import run_workspace_uri
from tests.support.site import Site

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

ROUTES = ("", "/status", "/report")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("user", "code"), [(None, 401), ("stranger", 403), ("viewer", 200), ("ada", 200)])
def test_a_login_and_the_dags_permission_are_required(
    site: Site, promoted: str, route: str, user: str | None, code: int
) -> None:
    answer = site.page(f"run/policy_release/{promoted}{route}", user)
    assert answer.status_code == code
    if code != 200:
        assert "Gate 5" not in answer.text


def test_the_stranger_can_log_in_and_see_another_dag(site: Site) -> None:
    """So that the 403 above is about the DAG and not about the user."""
    answer = site.page("run/policy_rollback/none", "stranger")
    assert (answer.status_code, "no such run" in answer.text) == (404, True)


def test_a_token_that_airflow_did_not_sign_is_refused(site: Site, promoted: str) -> None:
    token = site.login("ada")
    forged = token[:-6] + ("a" if token[-6] != "a" else "b") + token[-5:]
    assert site.page_with(f"run/policy_release/{promoted}", forged).status_code == 403


@pytest.mark.parametrize("user", [None, "ada"])
def test_the_api_description_is_not_published(site: Site, user: str | None) -> None:
    for path in ("docs", "redoc", "openapi.json"):
        assert "openapi" not in site.page(path, user).text


@pytest.mark.parametrize(
    "path",
    [
        "run/policy_release/..%2F..%2F..%2Fsecrets/report",
        "run/policy_release/%2e%2e/report",
        "run/policy_release/%2Fetc%2Fpasswd/report",
        "run/..%2Fpolicy_release/promote/report",
        "run/~/promote/report",
    ],
)
def test_no_path_leads_out_of_the_workspaces(site: Site, promoted: str, path: str) -> None:
    answer = site.page(path)
    assert answer.status_code == 404
    assert "<svg" not in answer.text


def test_the_report_is_the_one_of_its_run(site: Site, promoted: str, refused: str) -> None:
    for run_id in (promoted, refused):
        with open(f"{run_workspace_uri('policy_release', run_id)}/report.html", "rb") as file:
            assert site.page(f"run/policy_release/{run_id}/report").content == file.read()


def test_the_report_has_an_origin_of_its_own_and_no_network(site: Site, promoted: str) -> None:
    """A script that got into a report must not act on Airflow with the reader's login."""
    policy = site.page(f"run/policy_release/{promoted}/report").headers["content-security-policy"]
    sandbox = next(part for part in policy.split(";") if part.strip().startswith("sandbox"))
    assert "allow-same-origin" not in sandbox
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy, "default-src 'none' forbids it; nothing may allow it again"


def test_the_page_runs_no_script_but_its_own(site: Site, promoted: str) -> None:
    policies = [site.page(f"run/policy_release/{promoted}").headers["content-security-policy"] for _ in range(2)]
    assert "unsafe-inline" not in policies[0]
    assert policies[0] != policies[1], "the nonce is new each time"


def test_pages_are_not_kept_by_the_browser(site: Site, promoted: str) -> None:
    for route in ROUTES:
        assert site.page(f"run/policy_release/{promoted}{route}").headers["cache-control"] == "no-store"


def test_a_run_of_another_dag_has_a_page_and_no_report(site: Site) -> None:
    site.start("no-report", dag_id="policy_rollback", reason="a run of another DAG", channel="empty")
    assert site.page("run/policy_rollback/no-report/status").json()["has_report"] is False
    assert site.page("run/policy_rollback/no-report/report").status_code == 404
