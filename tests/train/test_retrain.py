"""Retraining without Airflow: what is sane, what is new, what goes on after a kill, and which options there are."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate5 import store
from gate5.checkpoint import fetch, read
from gate5.config.models import ReleaseConfig
from gate5.errors import CheckpointError, ConfigError
from gate5.evaluation.evaluator import Evaluator
from gate5.plant.sco2.plant import SCO2Plant
from gate5.seeds import STREAMS
from gate5.train import TrainingSettings, retrain
from gate5.train.options import settings_of
from tests.support.s3_server import S3Server

ROOT = Path(__file__).parents[2]
CHECKPOINTS = ROOT / "examples" / "checkpoints"
PPO = {"envs": 4, "n_steps": 64, "batch_size": 64, "chunk": 256, "hidden": [8]}


def configured(folder: str | Path, **retraining: Any) -> ReleaseConfig:
    """A small training on Pendulum."""
    return ReleaseConfig.parse(
        {
            "plant": {"id": "gymnasium:Pendulum-v1", "options": {"steps": 40}},
            "store": {"uri": str(folder) if "://" not in str(folder) else "var/store"},
            "retrain": {
                "folder": str(folder), "steps": 256, "imitation": False, "options": {"ppo": PPO}, **retraining,
            },
        }
    )  # fmt: skip


def trained(config: ReleaseConfig, run_id: str, **changes: Any) -> retrain.Trained:
    uri = retrain.candidate_uri(config, run_id)
    done = retrain.train_candidate(config, uri, retrain.seed_of(config, run_id), lambda text, share: None)
    return replace(done, **changes)


def test_a_candidate_names_its_files_and_what_it_computes(tmp_path: Path) -> None:
    config = configured(tmp_path, seed=7)
    found = trained(config, "scheduled__2026-01-01T03:00:00+00:00")
    checkpoint = read(fetch(found.uri))
    assert (found.policy_sha256, found.vecnormalize_sha256) == (
        checkpoint.policy_sha256,
        checkpoint.vecnormalize_sha256,
    )
    assert (found.seed, found.steps, found.resumed_at) == (7, 256, [])
    assert Path(found.uri).parent == tmp_path, "the run's name is one folder's name, whatever is in it"
    extra = found.announcement("policy_retrain x")
    assert (extra["uri"], extra["sha256"], extra["vecnormalize_sha256"]) == (
        found.uri,
        found.policy_sha256,
        found.vecnormalize_sha256,
    )
    assert retrain.Trained.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_same_training_twice_is_the_same_policy_in_other_files(tmp_path: Path) -> None:
    """The archive holds the time of its making: by its hash, every candidate would be new."""
    first, second = (trained(configured(tmp_path, seed=7), run) for run in ("a", "b"))
    assert first.policy_sha256 != second.policy_sha256
    assert first.identity == second.identity
    assert trained(configured(tmp_path, seed=8), "c").identity != first.identity


def test_each_run_has_a_seed_of_its_own_that_stays() -> None:
    """A retry that drew another seed could not go on; a schedule with one seed would train the same policy for ever."""
    config = ReleaseConfig()
    seeds = [retrain.seed_of(config, f"scheduled__{day}") for day in range(200)]
    assert len(set(seeds)) > 190
    assert seeds == [retrain.seed_of(config, f"scheduled__{day}") for day in range(200)]
    assert all(0 <= seed < STREAMS for seed in seeds)
    assert retrain.seed_of(ReleaseConfig.parse({"retrain": {"seed": 5}}), "x") == 5


def test_a_second_attempt_keeps_the_configuration_and_does_not_train_again(tmp_path: Path) -> None:
    """Somebody edits the file between two tries of a task: the run goes on as it began."""
    config = configured(tmp_path, seed=7)
    uri = retrain.candidate_uri(config, "run")
    assert retrain.freeze(config, uri) == config
    first = trained(config, "run")
    again = retrain.freeze(configured(tmp_path, seed=8, steps=512), uri)
    assert again == config
    assert trained(again, "run") == first


def test_a_candidate_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server() as server:
        server.bucket("candidates")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        config = configured("s3://candidates/gate5", seed=7)
        found = trained(config, "run")
        assert found.uri == "s3://candidates/gate5/run"
        assert read(fetch(found.uri)).policy_sha256 == found.policy_sha256
        assert retrain.quick_check(config, found.uri).reasons == []


def test_the_good_policy_is_sane_and_the_check_is_kept(tmp_path: Path) -> None:
    config = ReleaseConfig.parse({"retrain": {"episodes": 1}})
    uri = shutil.copytree(CHECKPOINTS / "good", tmp_path / "good")
    checked = retrain.quick_check(config, str(uri))
    assert checked.reasons == []
    assert set(checked.returns) == set(SCO2Plant().scenarios)
    assert retrain.Checked.from_dict(json.loads((uri / "check.json").read_text())) == checked


class Full:
    """Holds every actuator at its upper end."""

    def reset(self, batch: int) -> None: ...

    def predict(self, obs: Any) -> Any:
        import numpy as np

        return np.ones((len(obs), SCO2Plant().action_space.size), dtype=np.float32), None


class Lost(Full):
    """Says what is no number."""

    def predict(self, obs: Any) -> Any:
        action, _ = super().predict(obs)
        return action * float("nan"), None


def test_an_episode_that_ends_early_is_not_sane() -> None:
    row, _ = Evaluator(SCO2Plant()).run(Full(), "steady_state", [1])
    (reason,) = retrain.sanity_failures("steady_state", row)
    assert reason.startswith("steady_state: 1 episode(s) ended early (constraint ")


def test_actions_that_are_no_numbers_are_not_sane() -> None:
    row, _ = Evaluator(SCO2Plant()).run(Lost(), "steady_state", [1])
    assert any("action(s) were not finite" in reason for reason in retrain.sanity_failures("steady_state", row))


def test_a_failing_solver_and_a_return_that_is_no_number_are_not_sane() -> None:
    row, _ = Evaluator(SCO2Plant()).run(Full(), "steady_state", [1])
    row = replace(row, solver_failures=3, return_mean=None, end_reasons={"solver failure": 1})
    assert retrain.sanity_failures("s", row) == [
        "s: the plant's solver failed in 3 step(s)",
        "s: the return is not finite",
        "s: 1 episode(s) ended early (solver failure)",
    ]


def test_a_candidate_of_another_plant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"takes .* observations"):
        retrain.quick_check(configured(tmp_path), str(CHECKPOINTS / "good"))


NEW = retrain.Trained("/c", "a" * 64, "b" * 64, "c" * 64, 1, 2, [])


@pytest.mark.parametrize(
    ("extra", "same"),
    [
        ({"uri": "/x", "identity": "c" * 64, "sha256": "0" * 64}, True),
        ({"uri": "/x", "sha256": "a" * 64, "vecnormalize_sha256": "b" * 64}, True),
        ({"uri": "/x", "sha256": "a" * 64}, False),  # another normaliser is another policy
        ({"uri": "/x", "identity": "d" * 64, "sha256": "0" * 64}, False),
        ({}, False),
    ],
)
def test_what_was_announced_before_is_known(extra: dict[str, Any], same: bool) -> None:
    found = retrain.known(NEW, [{"uri": "/y", "sha256": "1" * 64}, extra])
    assert found == ("It was announced before, as /x." if same else None)


def test_what_was_released_before_is_known(tmp_path: Path) -> None:
    config = ReleaseConfig.parse({"store": {"uri": str(tmp_path / "store"), "signing_key": str(tmp_path / "key.pem")}})
    assert retrain.released(config, NEW) is None
    store.keygen(tmp_path / "key.pem")
    opened = store.open_store(config.store)
    for policy in ("d" * 64, NEW.policy_sha256):
        provenance = {
            "plant": "sco2", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"},
            "checkpoint": {"policy_sha256": policy, "vecnormalize_sha256": NEW.vecnormalize_sha256},
        }  # fmt: skip
        release = store.publish(opened, {"policy.engine": policy.encode()}, provenance)
        store.promote(opened, "production", release, approved_by="ada")
    assert retrain.released(config, NEW) == f"It was released before, as {release.id}."
    assert retrain.released(config, replace(NEW, vecnormalize_sha256=None)) is None


def test_options_change_the_defaults_of_a_training() -> None:
    from gate5.train.settings import FROM_NOTHING, PPOConfig

    made = asked({"ppo": {"hidden": [32, 32], "target_kl": None}, "polish": {"generations": 0}})
    assert made.ppo == replace(PPOConfig(), hidden=(32, 32), target_kl=None)
    assert made.polish.generations == 0
    assert asked({}, imitation=False).ppo == FROM_NOTHING


def asked(options: dict[str, Any], **others: Any) -> TrainingSettings:
    return settings_of(ReleaseConfig.parse({"retrain": {"options": options, **others}}), seed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pqo": {}}, "no retrain.options.pqo: did you mean 'ppo'"),
        ({"ppo": {"gama": 0.9}}, "no retrain.options.ppo.gama: did you mean 'gamma'"),
        ({"ppo": {"gamma": "much"}}, "retrain.options.ppo.gamma is 'much'"),
        ({"ppo": {"gamma": None}}, "retrain.options.ppo.gamma is None"),
        ({"ppo": {"hidden": [8, "x"]}}, "retrain.options.ppo.hidden.1 is 'x'"),
        ({"ppo": {"envs": 0}}, "retrain.options.ppo.envs is 0: give 1 or more"),
        ({"ppo": {"activation": "sin"}}, "activation is 'sin': give tanh or relu"),
        ({"polish": {"generations": -1}}, "retrain.options.polish.generations is -1: give 0 or more"),
    ],
)
def test_an_option_that_is_none_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(options)
    assert words in str(caught.value)
