"""The forms of all DAGs can tighten what a channel demands, and never loosen it; nor can another file in the form."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gate5.cli.main import main
from gate5.config.site import refuse_between_kinds
from gate5.errors import ConfigError, InputError, RefusedError

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("dag_modules")]

SITE: dict[str, Any] = {
    "store": {"uri": "store"},
    "release": {"channel": "production", "approval": "required"},
    "gate": {"sla_p99_ms": 1.0},
    "channels": {"production": {"approvers": ["ada", "bob"], "two_person": True, "episodes": 20}},
}
#: What somebody may choose in a form's field `config` in place of the site's file.
LAX: dict[str, Any] = {
    "store": {"uri": "store/"},
    "gate": {"sla_p99_ms": 50.0},
    "evaluation": {"episodes": 1},
    "channels": {"production": {"approvers": ["bob", "eve"], "quick": True}},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.setenv("GATE5_CONFIG", "site.yaml")
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(SITE))
    (tmp_path / "lax.yaml").write_text(yaml.safe_dump(LAX))
    return tmp_path


def loaded(**params: Any) -> Any:
    from gate5_dag.tasks import load_config

    return load_config(params)


FORMS: dict[str, dict[str, Any]] = {
    "policy_release": {"channel": None, "sla_p99_ms": 7, "approval": "none"},
    "policy_release, the channel named": {"channel": "production", "sla_p99_ms": 7, "approval": "none"},
    "policy_retrain": {"steps": 1, "seed": 2},
    "policy_promote": {"channel": "production"},
    "policy_rollback": {"channel": "production", "release_id": None},
}


@pytest.mark.parametrize("name", ["site.yaml", "lax.yaml", "./site.yaml"])
@pytest.mark.parametrize("form", FORMS)
def test_no_form_loosens_what_the_channel_demands(home: Path, form: str, name: str) -> None:
    config = loaded(config=name, **FORMS[form])
    assert (config.release.approval, config.gate.sla_p99_ms) == ("required", 1.0)
    assert config.evaluation.episodes >= 20
    demands = config.channels["production"]
    assert set(demands.approvers) <= {"ada", "bob"}
    assert (demands.two_person, demands.quick) == (True, False)
    if form == "policy_retrain":
        assert (config.retrain.steps, config.retrain.seed) == (1, 2)


def test_a_form_may_ask_for_more(home: Path) -> None:
    config = loaded(config="lax.yaml", sla_p99_ms=0.5, approval="required")
    assert (config.gate.sla_p99_ms, config.channels["production"].approvers) == (0.5, ("bob",))


@pytest.mark.parametrize("other", [{"store": {"uri": "elsewhere"}}, {"release": {"channel": "trial"}}])
def test_another_store_or_channel_is_the_other_files_own(home: Path, other: dict[str, Any]) -> None:
    (home / "other.yaml").write_text(yaml.safe_dump({**LAX, **other}))
    config = loaded(config="other.yaml", approval="none", sla_p99_ms=60)
    assert (config.release.approval == "required") == ("store" in other), "its own section names approvers"
    assert (config.gate.sla_p99_ms, config.evaluation.episodes) == (50, 1)


def test_what_nothing_can_meet_is_told(home: Path) -> None:
    (home / "other.yaml").write_text(yaml.safe_dump({**LAX, "channels": {"production": {"approvers": ["eve"]}}}))
    with pytest.raises(ConfigError, match="approvers none of whom both name"):
        loaded(config="other.yaml")


def test_a_freeze_counts_that_came_after_the_run_began(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gate5_dag import tasks

    context = {"params": {"config": "lax.yaml", "channel": None}}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    config = loaded(**context["params"])
    tasks.check_freeze(config)
    site = {**SITE, "channels": {"production": {"freeze": "outage of unit 2"}}}
    (home / "site.yaml").write_text(yaml.safe_dump(site))
    with pytest.raises(RefusedError, match=r"frozen \(outage of unit 2"):
        tasks.check_freeze(config)
    (home / "lax.yaml").unlink()
    with pytest.raises(RefusedError, match=r"frozen \(outage of unit 2"):  # whoever takes the run's file away
        tasks.check_freeze(config)
    (home / "site.yaml").write_text(yaml.safe_dump(SITE))
    tasks.check_freeze(config)
    context["params"]["config"] = "site.yaml"
    (home / "site.yaml").unlink()
    tasks.check_freeze(config)  # nothing to read: what the run began with stands


def test_policy_promote_asks_of_its_target_what_the_file_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gate5_dag import between

    params = {"config": "lax.yaml", "to_channel": "production"}
    monkeypatch.setattr(between, "get_current_context", lambda: {"params": params, "dag_run": SimpleNamespace()})
    config = between.target_config()
    assert config.release.channel == "production"
    assert [each.approval for each in config.demands("production")] == ["required", "required"]
    assert config.demands("production")[0].approvers == ("bob",)


KINDS = {**SITE, "other_gpus": {"l4": {"channel": "l4"}}}


@pytest.mark.parametrize(
    ("dag_id", "channel", "owner"),
    [
        ("policy_release", "production", None),
        ("policy_release", "trial", None),
        ("policy_release", "l4", "policy_release_l4"),
        ("policy_release_l4", "l4", None),
        ("policy_release_l4", "trial", None),
        ("policy_release_l4", "production", "policy_release"),
        ("policy_rollback", "l4", None),
    ],
)
def test_no_form_sends_an_engine_to_the_channel_of_another_kind_of_gpu(
    home: Path, monkeypatch: pytest.MonkeyPatch, dag_id: str, channel: str, owner: str | None
) -> None:
    """Its plants have another GPU, and would refuse every engine of it: nothing would come to them any more."""
    from gate5_dag import gpus

    (home / "site.yaml").write_text(yaml.safe_dump(KINDS))
    monkeypatch.setattr(gpus, "get_current_context", lambda: {"dag_run": SimpleNamespace(dag_id=dag_id)})
    config = loaded(config="site.yaml", channel=channel)
    if owner is None:
        gpus.refuse_other_kind(config)
        return
    with pytest.raises(InputError, match=f"'{channel}' is for engines that {owner} releases.*start {owner}, or choose"):
        gpus.refuse_other_kind(config)


@pytest.mark.parametrize(
    ("source", "target", "refused"),
    [
        ("l4", "production", True),
        ("production", "l4", True),
        ("trial", "l4", False),
        ("l4", "trial", False),
        ("production", "trial", False),
    ],
)
def test_no_release_goes_from_the_channel_of_one_kind_of_gpu_to_that_of_another(
    home: Path, source: str, target: str, refused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["promote", "--from", source, "--to", target, "--config", str(home / "site.yaml")]
    refuse_between_kinds(source, target)  # with one kind of GPU, the channels are anybody's
    (home / "site.yaml").write_text(yaml.safe_dump(KINDS))
    with pytest.raises(InputError, match="those of policy_release") if refused else contextlib.nullcontext():
        refuse_between_kinds(source, target)
    capsys.readouterr()
    assert main(command) in (2, 3), "there is no release on any of them"
    assert ("those of policy_release" in capsys.readouterr().err) == refused
