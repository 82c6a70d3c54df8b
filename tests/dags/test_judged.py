"""What a run came to is told to whoever asks later: the record is there, and says with what was compared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.store import judgements, open_store
from gate5.workspace.artifacts import open_workspace
from tests.pipeline.test_to_the_plant import CONFIG, GOOD

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("dag_modules")]
RUN = {"dag_id": "policy_release", "run_id": "nightly", "workspace": "w"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release, and a run of the DAG that has its workspace."""
    from gate5_dag import judged, tasks  # type: ignore[import-not-found,unused-ignore]

    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["keygen"]) == 0
    said = ["--config", str(tmp_path / "release.yaml"), "--workspace", str(tmp_path / "w")]
    assert main(["release", str(GOOD), *said]) == 0
    left: dict[str, Any] = {"look_up": {"asked": "q", "run": RUN}}
    ti = SimpleNamespace(xcom_pull=lambda task_ids, key=None: left.get(task_ids))
    monkeypatch.setattr(judged, "get_current_context", lambda: {"ti": ti})
    for module in (judged, tasks):
        monkeypatch.setattr(module, "run_workspace", lambda: open_workspace(str(tmp_path / "w")))
    return tmp_path


def test_a_promotion_is_recorded(home: Path) -> None:
    """A failure to record fails no run, so that only this sees it."""
    from gate5_dag.judged import tell_end

    config = ReleaseConfig.load(home / "release.yaml")
    opened = open_store(config.store)
    assert judgements.find(opened, "q", config) is None
    tell_end("promoted", "done.", release="sco2-000000000000")
    found = judgements.find(opened, "q", config)
    assert found is not None
    assert (found.outcome, found.release, dict(found.run)) == ("promoted", "sco2-000000000000", RUN)
    assert found.current is None, "the channel's first release was compared with none, whatever is there by now"
