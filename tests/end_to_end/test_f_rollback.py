"""A person puts an earlier release back through the DAG."""

from __future__ import annotations

from typing import Any

import pytest

from gate5 import store
from gate5.cli.store import history
from gate5.config.models import ReleaseConfig

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_the_release_before_comes_back_with_name_and_reason(site: Any, runs: Any) -> None:
    path = str(site.folder / "announced.yaml")
    config = ReleaseConfig.load(path)
    before = history(config).to_dict()["entries"]
    assert before, "the announced candidate was released"
    opened = store.open_store(config.store)
    provenance = {"plant": "sco2", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    worse = store.publish(opened, {"policy.onnx": b"worse"}, provenance, identity=("policy.onnx",))
    store.promote(opened, config.release.channel, worse, approved_by="ada")
    run_id = site.start("back", dag_id="policy_rollback", reason="oscillates at part load", config=path)
    assert site.wait_for_run(run_id, "policy_rollback") == "success"
    newest = history(config).to_dict()["entries"][0]
    assert (newest["kind"], newest["release"]) == ("rollback", before[0]["release"])
    assert (newest["by"], newest["reason"]) == ("ada", "oscillates at part load")


def test_a_release_that_never_was_is_refused_with_a_sentence(site: Any, runs: Any) -> None:
    path = str(site.folder / "announced.yaml")
    config = ReleaseConfig.load(path)
    before = history(config).to_dict()["entries"]
    form = {"reason": "no such release", "release_id": "sco2-000000000000", "config": path}
    run_id = site.start("nowhere", dag_id="policy_rollback", **form)
    assert site.wait_for_run(run_id, "policy_rollback") == "failed"
    error = site.api.xcom("policy_rollback", run_id, "rollback", "error")
    assert error["exit_code"] == 2
    assert "sco2-000000000000" in error["text"]
    assert history(config).to_dict()["entries"] == before


def test_a_rollback_without_a_reason_does_not_start(site: Any) -> None:
    from gate5.io.airflow import ApiError

    with pytest.raises(ApiError) as refused:
        site.start("why", dag_id="policy_rollback")
    assert refused.value.status in (400, 422)
