"""Training on a small real plant: the VecEnv's episodes, imitation that imitates, PPO that may not spoil it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig
from gate5.control import PIDBaseline, open_baseline
from gate5.control.closed_loop import pairs, quick
from gate5.errors import ConfigError, PlantError
from gate5.plant.base import Constraint
from gate5.train import TrainingSettings, train
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.settings import PPOConfig
from gate5.train.vec_env import Curriculum, Shaping, plant_vec_env
from tests.support.tank import Tank

QUICK = ImitationConfig(rounds=3, episodes=4, epochs=4, final_epochs=12, batch=256)
NO_SEARCH = PolishConfig(generations=0)
SMALL = PPOConfig(envs=6, n_steps=64, batch_size=128, hidden=(16, 16), chunk=384)


def test_an_episode_that_ends_is_restarted_alone_and_its_last_observation_is_kept(tank: Tank) -> None:
    env = plant_vec_env(tank, Curriculum(tank, 0, 100), 5)
    env.reset()
    ends: dict[int, list[int]] = {i: [] for i in range(5)}
    starts = dict(enumerate(env.episodes.scenarios))
    for t in range(1, 260):
        obs, _, done, infos = env.step(np.full((5, 1), 0.25, dtype=np.float32))
        for i in np.flatnonzero(done).tolist():
            ends[i].append(t)
            assert infos[i]["TimeLimit.truncated"]
            assert infos[i]["terminal_observation"][0] > 2.0, "where the episode ended: above any start"
            assert 1.2 <= obs[i, 0] <= 1.8, "where the next one began"
    for i, name in starts.items():
        assert ends[i][0] == tank.scenarios[name].steps, "the others' ends do not cut this episode"


def test_a_fatal_end_is_no_time_limit(tank: Tank) -> None:
    env = plant_vec_env(tank, Curriculum(tank, 0, 100, {"hold": 0.0, "step": 0.0}), 2)
    env.reset()
    for _ in range(240):
        _, _, done, infos = env.step(np.ones((2, 1), dtype=np.float32))
        if done.any():
            break
    assert done.any()
    assert not infos[int(np.argmax(done))]["TimeLimit.truncated"], "a value function must not look past an overflow"


def test_the_curriculum_gives_each_scenario_the_same_time_and_fresh_seeds(tank: Tank) -> None:
    names, seeds = Curriculum(tank, 1, 500).draw(6000)
    steps = {n: names.count(n) * tank.scenarios[n].steps for n in tank.scenarios}
    assert max(steps.values()) < 1.15 * min(steps.values())
    assert seeds == list(range(500, 6500))


def test_shaping_costs_grow_inside_the_buffer_and_only_where_the_constraint_applies() -> None:
    shaping = Shaping(
        [Constraint("a", "x", None, 10.0, "C"), Constraint("b", "x", 5.0, None, "C", applies="on")], {"C": 2.0}, 0.5
    )
    variables = {"x": np.array([7.0, 9.0, 10.0, 4.0, 4.0, np.nan]), "on": np.array([1.0, 1, 1, 0, 1, 0])}
    assert shaping.cost(variables).tolist() == [0.0, 0.25, 0.5, 0.0, 0.75, 4.0]


def test_imitation_drives_like_the_pid_and_the_checkpoint_is_stable_baselines(tank: Tank, tmp_path: Path) -> None:
    import pickle

    from stable_baselines3 import PPO

    expert = open_baseline(BaselineConfig(), tank)
    assert isinstance(expert, PIDBaseline)
    out = train(
        tank,
        tmp_path / "good",
        TrainingSettings(steps=0, seed=1, ppo=SMALL, imitate=QUICK, polish=NO_SEARCH),
        progress=False,
    )
    record = json.loads((out / "train.json").read_text())
    assert [row["violations"] for row in record["held_out"]["policy"].values()] == [0, 0, 0]
    best = quick(tank, expert, *pairs(tank, 4, 77)).returns.mean()
    model = PPO.load(out / "policy.zip", device="cpu")
    normaliser = pickle.loads((out / "vecnormalize.pkl").read_bytes())

    class Policy:
        def reset(self, batch: int) -> None: ...

        def predict(self, obs: Any) -> Any:
            return model.predict(normaliser.normalize_obs(obs), deterministic=True)

    assert not normaliser.training
    assert quick(tank, Policy(), *pairs(tank, 4, 77)).returns.mean() > 0.9 * best


def test_ppo_keeps_the_best_state_and_logs_every_chunk(tank: Tank, tmp_path: Path) -> None:
    wild = PPOConfig(**{**SMALL.__dict__, "learning_rate": 0.3, "target_kl": 1e9, "clip_range": 0.9})
    out = train(
        tank,
        tmp_path / "x",
        TrainingSettings(steps=1500, seed=1, ppo=wild, imitate=QUICK, polish=NO_SEARCH),
        progress=False,
    )
    record = json.loads((out / "train.json").read_text())
    log = record["log"]
    assert len(log) == 5
    assert [row["steps"] for row in log] == [0, 384, 768, 1152, 1536]
    best = max(log, key=lambda row: (-row["violations"], np.mean(list(row["returns"].values()))))
    assert best["kept"]
    assert [row["violations"] for row in record["held_out"]["policy"].values()] == [0, 0, 0], (
        "a ruined state was not saved"
    )


def test_the_same_seed_gives_the_same_policy(tank: Tank, tmp_path: Path) -> None:
    tiny = ImitationConfig(rounds=1, episodes=2, epochs=1, final_epochs=1, batch=256)

    def log(name: str, seed: int) -> Any:
        out = train(
            tank,
            tmp_path / name,
            TrainingSettings(steps=400, seed=seed, ppo=SMALL, imitate=tiny, polish=NO_SEARCH),
            progress=False,
        )
        return json.loads((out / "train.json").read_text())["log"]

    first = log("a", 3)
    assert log("b", 3) == first
    assert log("c", 4) != first


def test_the_search_over_the_output_layer_gains_and_its_file_holds_it(tank: Tank, tmp_path: Path) -> None:
    from gate5.checkpoint import fetch, read
    from gate5.checkpoint.controller import TorchController

    rough = ImitationConfig(rounds=1, episodes=2, epochs=1, final_epochs=2, batch=256)

    def run(name: str, generations: int) -> Any:
        search = PolishConfig(generations=generations, population=8, episodes=2, sigma=0.05)
        out = train(
            tank,
            tmp_path / name,
            TrainingSettings(steps=0, seed=1, ppo=SMALL, imitate=rough, polish=search),
            progress=False,
        )
        return out, json.loads((out / "train.json").read_text())

    (plain, before), (searched, after) = run("a", 0), run("b", 15)
    assert before["polish"] is None
    assert after["log"][-1]["kept"]
    assert after["log"][-1]["gain"] > before["log"][-1]["gain"]

    def gain(path: Path) -> float:
        policy = TorchController(read(fetch(str(path))).module)
        return float(quick(tank, policy, *pairs(tank, 4, 999)).returns.mean())

    assert gain(searched) > gain(plain)


def test_without_imitation_it_starts_from_random_weights(tank: Tank, tmp_path: Path) -> None:
    out = train(tank, tmp_path / "raw", TrainingSettings(steps=384, seed=1, imitation=False, ppo=SMALL), progress=False)
    assert json.loads((out / "train.json").read_text())["imitation"] is None
    assert (out / "policy.zip").stat().st_size < 2_000_000


def test_what_cannot_be_trained_is_refused_in_a_sentence(tank: Tank, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no PID baseline for tank to imitate: train with --no-imitation"):
        train(tank, tmp_path, TrainingSettings(steps=1, seed=0, baseline=BaselineConfig(kind="none")), progress=False)

    class Plain:
        name = "plain"

    with pytest.raises(PlantError, match="plain has no reset_mixed"):
        train(Plain(), tmp_path, TrainingSettings(steps=1, seed=0))  # type: ignore[arg-type]
