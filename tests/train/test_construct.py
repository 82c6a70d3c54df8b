"""Loops without memory, written into a network's weights, are those loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gate5.control import PIDBaseline, parse_gains
from gate5.control.memoryless import memoryless
from gate5.errors import ConfigError
from gate5.plant.sco2 import SCO2Plant
from gate5.train.construct import ramps_of, write_into


def loops(plant: SCO2Plant) -> Any:
    gains = plant.baseline_gains()
    assert gains is not None
    return memoryless(parse_gains(gains), plant.integrals, plant.observation_space)


def test_the_network_answers_as_the_loops_do_along_whole_episodes() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecNormalize

    from gate5.train.vec_env import Curriculum, plant_vec_env

    plant = SCO2Plant(observation="measured")
    space, actions = plant.observation_space, plant.action_space
    gains = loops(plant)
    pid = PIDBaseline(gains, space.names, actions.low, actions.high, actions.names)
    names = ["cold_startup", "emergency_trip", "load_rejection"]
    obs, seen, wanted = plant.reset_mixed(names, [1, 2, 3]), [], []
    pid.reset(3)
    for _ in range(360):
        action, _ = pid.predict(obs)
        seen.append(obs)
        wanted.append(action)
        obs = plant.step(action).obs
    venv = VecNormalize(plant_vec_env(plant, Curriculum(plant, 0, 0), 4))
    model = PPO("MlpPolicy", venv, n_steps=8, batch_size=8, device="cpu", policy_kwargs=network())
    write_into(model, venv, ramps_of(gains, space, actions, plant.errors, plant.rates), np.concatenate(seen))
    state = model.policy.mlp_extractor.policy_net.state_dict()
    largest = max(float(value.abs().max()) for name, value in state.items() if name.endswith("weight"))
    assert largest < 100.0, "FP16 has to hold them, ramps that nothing reached too"
    venv.training = False
    answered, _ = model.predict(venv.normalize_obs(np.concatenate(seen)), deterministic=True)
    difference = np.abs(answered - np.concatenate(wanted))
    # Where an error or a slope leaves its sensor's range the loops see more than the network does.
    assert np.quantile(difference, 0.99) < 1e-3
    assert np.ptp(np.concatenate(wanted), axis=0).min() > 0.05


def network() -> dict[str, Any]:
    import torch

    return {"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": torch.nn.ReLU}


def test_loops_that_remember_are_refused() -> None:
    plant = SCO2Plant(observation="measured")
    gains = plant.baseline_gains()
    assert gains is not None
    with pytest.raises(ConfigError, match="loops that remember"):
        ramps_of(parse_gains(gains), plant.observation_space, plant.action_space, plant.errors, plant.rates)
