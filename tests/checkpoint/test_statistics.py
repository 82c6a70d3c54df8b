"""Where the statistics of VecNormalize lie: known layouts are found, nothing is guessed or left out in silence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.checkpoint import fetch, read
from gate5.checkpoint.spec import LstmLayer
from gate5.checkpoint.statistics import find
from gate5.errors import CheckpointError
from tests.support.saved import Saved

LAYOUTS = [
    ("policy.zip", "vecnormalize.pkl"),
    ("model.zip", "model_vecnormalize.pkl"),
    ("model.zip", "vec_normalize.pkl"),
    ("ppo_cheetah.zip", "ppo_cheetah_vec_normalize.pkl"),
    ("ppo-cheetah.zip", "vec_normalize_ppo-cheetah.pkl"),
    ("model.zip", "VecNormalize.pkl"),
    ("model.zip", "vecnorm.pkl"),
    ("model.zip", "normalizer.pickle"),
    ("model.zip", "env.pkl"),
    ("model.zip", "vec_env_stats.pkl"),
    ("HalfCheetah-v3.zip", "HalfCheetah-v3/vecnormalize.pkl"),  # RL Zoo
    ("best_model.zip", "HalfCheetah-v3/vecnormalize.pkl"),  # RL Zoo's best model
    ("rl_model_128_steps.zip", "HalfCheetah-v3/vecnormalize.pkl"),  # RL Zoo's checkpoints
    ("ppo-HalfCheetah-v3.zip", "vec_normalize.pkl"),  # RL Zoo on the Hugging Face hub
    ("rl_model_128_steps.zip", "rl_model_vecnormalize_128_steps.pkl"),  # SB3's CheckpointCallback
    ("run7_5000_steps.zip", "run7_vecnormalize_5000_steps.pkl"),
    ("model_5000.zip", "vec_normalize_5000.pkl"),
    ("model_5000_steps.zip", "vecnormalize_5000.pkl"),
    ("final_model.zip", "final_vecnormalize.pkl"),
    ("best_model.zip", "vec_normalize_best.pkl"),
    ("model.zip", "training_env.pkl"),
    ("model.zip", "vecnormalize"),  # VecNormalize.save adds no ending
    ("best_model/best_model.zip", "vecnormalize.pkl"),  # EvalCallback with a folder of its own
]


@pytest.mark.parametrize(("policy", "statistics"), LAYOUTS, ids=[f"{a}+{b}" for a, b in LAYOUTS])
def test_layout(tmp_path: Path, save: Callable[..., Saved], policy: str, statistics: str) -> None:
    """The policy with its normaliser, and where it was found; at 61a9b98 most were read without it, exit code 0."""
    saved = save("PPO")
    for name, content in ((policy, saved.policy), (statistics, saved.vecnormalize)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    checkpoint = read(fetch(tmp_path / policy))
    assert checkpoint.normaliser is not None
    assert checkpoint.statistics == str(tmp_path / statistics)
    np.testing.assert_allclose(
        checkpoint.reference(saved.observations)[0], saved.predict(saved.observations), atol=1e-6
    )


def test_checkpoint_callback_itself(tmp_path: Path) -> None:
    """What SB3's own callback writes, each step with its own statistics."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import CheckpointCallback
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from .conftest import Tiny

    env = VecNormalize(DummyVecEnv([Tiny]))
    callback = CheckpointCallback(64, str(tmp_path), save_vecnormalize=True, save_replay_buffer=True)
    PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, device="cpu", policy_kwargs={"net_arch": [4]}).learn(
        128, callback
    )
    counts = []
    for steps in (64, 128):
        normaliser = read(fetch(tmp_path / f"rl_model_{steps}_steps.zip")).normaliser
        assert normaliser is not None
        counts.append(normaliser.count)
    assert counts[1] - counts[0] == 64


def test_by_content_whatever_its_name(tmp_path: Path, save: Callable[..., Saved]) -> None:
    """A pickle that names VecNormalize is one, and is asked for if its name does not say whose it is."""
    saved = save("PPO")
    (tmp_path / "model.zip").write_bytes(saved.policy)
    (tmp_path / "tuesday.pkl").write_bytes(saved.vecnormalize)
    (tmp_path / "replay_buffer.pkl").write_bytes(b"VecNormalize")
    with pytest.raises(CheckpointError, match=r"tuesday\.pkl .*checkpoint\.vecnormalize"):
        read(fetch(tmp_path / "model.zip"))


@pytest.mark.parametrize(
    "names",
    [("vecnormalize.pkl", "vec_normalize.pkl"), ("model_vecnormalize.pkl", "model/vecnormalize.pkl"),
     ("a/vecnormalize.pkl", "b/vecnormalize.pkl"), ("vecnormalize.pkl", "old_vecnormalize.pkl")],
)  # fmt: skip
def test_several_are_asked_about(tmp_path: Path, names: tuple[str, str]) -> None:
    (tmp_path / "model.zip").write_bytes(b"P")
    for i, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"%d" % i)
    with pytest.raises(CheckpointError) as caught:
        fetch(tmp_path / "model.zip")
    assert all(name in str(caught.value) for name in names)
    assert caught.value.exit_code == 2
    named = fetch(tmp_path / "model.zip", vecnormalize=str(tmp_path / names[1]))
    assert named.vecnormalize == b"1"


def test_two_of_the_same_bytes_are_one(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"P")
    for name in ("vecnormalize.pkl", "vec_normalize.pkl"):
        (tmp_path / name).write_bytes(b"V")
    assert fetch(tmp_path / "model.zip").vecnormalize == b"V"


def test_another_policys_are_not_taken(tmp_path: Path, save: Callable[..., Saved]) -> None:
    saved = save("PPO")
    for name in ("a.zip", "b.zip", "rl_model_64_steps.zip", "rl_model_128_steps.zip"):
        (tmp_path / name).write_bytes(saved.policy)
    for name in ("b_vecnormalize.pkl", "rl_model_vecnormalize_64_steps.pkl"):
        (tmp_path / name).write_bytes(saved.vecnormalize)
    for name in ("a.zip", "rl_model_128_steps.zip"):
        with pytest.raises(CheckpointError, match="does not say that it belongs to this policy"):
            read(fetch(tmp_path / name))


@pytest.mark.parametrize("other", ["ppo.zip", "ppo_agent.zip"])
def test_name_without_its_general_word_is_of_one_policy_alone(tmp_path: Path, other: str) -> None:
    """``ppo_vecnormalize.pkl`` may be of ``ppo_model.zip``, unless another policy has as good a claim."""
    (tmp_path / "ppo_model.zip").write_bytes(b"P")
    (tmp_path / "ppo_vecnormalize.pkl").write_bytes(b"V")
    assert fetch(tmp_path / "ppo_model.zip").vecnormalize == b"V"
    (tmp_path / other).write_bytes(b"P")
    assert fetch(tmp_path / "ppo_model.zip").vecnormalize is None


def test_none_found_has_to_be_said(tmp_path: Path, save: Callable[..., Saved]) -> None:
    """At 61a9b98 such a policy was released as one that reads raw numbers, with exit code 0."""
    saved = save("PPO")
    (tmp_path / "model.zip").write_bytes(saved.policy)
    with pytest.raises(CheckpointError, match=r"checkpoint\.vecnormalize to their PATH, or to none") as caught:
        read(fetch(tmp_path / "model.zip"))
    assert caught.value.exit_code == 2
    checkpoint = read(fetch(tmp_path / "model.zip", vecnormalize="none"))
    assert checkpoint.normaliser is None
    assert checkpoint.statistics == "none, says checkpoint.vecnormalize"


def test_rl_zoo_says_that_there_is_none(tmp_path: Path, save: Callable[..., Saved]) -> None:
    (tmp_path / "Env-v1").mkdir()
    (tmp_path / "Env-v1.zip").write_bytes(save("PPO").policy)
    config = tmp_path / "Env-v1/config.yml"
    config.write_text("- - n_timesteps\n  - 100000.0\n- - policy\n  - MlpPolicy\n- - normalize_advantage\n  - true\n")
    assert read(fetch(tmp_path / "Env-v1.zip")).statistics == f"none, says {config}"
    config.write_text(config.read_text() + "- - normalize\n  - true\n")
    with pytest.raises(CheckpointError, match="No statistics"):
        read(fetch(tmp_path / "Env-v1.zip"))


def test_named_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"P")
    with pytest.raises(CheckpointError, match=r"nowhere\.pkl"):
        fetch(tmp_path / "model.zip", vecnormalize=str(tmp_path / "nowhere.pkl"))


def test_looks_as_if_it_had_one(save: Callable[..., Saved]) -> None:
    """Pascal and kelvin into weights that were trained on numbers of the size of 1."""
    from gate5.checkpoint import CheckpointFiles
    from gate5.checkpoint.looks import looks_normalised

    saved = save("PPO")
    checkpoint = read(CheckpointFiles(saved.policy, None, "x"))
    assert "observation 2" in (looks_normalised(checkpoint.policy, saved.observations) or "")
    normalised = saved.normalise.normalize_obs(saved.observations)
    assert looks_normalised(checkpoint.policy, normalised) is None
    rng = np.random.default_rng(0)
    gates = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in ((32, 6), (32, 8), (32,), (32,))]
    memory = replace(checkpoint.policy, lstm=(LstmLayer(*gates),))
    behind = np.concatenate([saved.observations, np.zeros((len(saved.observations), 16), np.float32)], axis=1)
    assert "observation 2" in (looks_normalised(memory, behind) or "")
    own = replace(checkpoint.policy, standard=(np.zeros(6, np.float32), np.ones(6, np.float32)))
    assert looks_normalised(own, saved.observations) is None


@given(st.lists(st.sampled_from([b for _, b in LAYOUTS] + ["x.pkl", "other.zip", "a/b_vecnormalize.pkl"]), unique=True))
def test_never_one_that_is_not_there(files: list[str]) -> None:
    """Whatever lies around: one of the files, several of them, or none; and the order of a listing changes nothing."""
    answers = set()
    for order in itertools.islice(itertools.permutations(files), 4):
        found = find("model", order, lambda name: name.encode(), lambda _: b"VecNormalize")
        assert found.path is None or found.path in files
        assert set(found.several) <= set(files)
        answers.add((found.path, frozenset(found.several)))
    assert len(answers) == 1
