"""What half precision takes of a policy: measured as it is, made smaller, and the policy stays the one it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gate5.control.randomised import randomised
from gate5.plant.base import Float64
from gate5.train import train
from gate5.train.actor import Actor
from gate5.train.half import HalfConfig, bear_half, probes
from gate5.train.run import HALF
from tests.train.test_gradient import SETTINGS, OneScenario

PLANT = OneScenario()
SPACE = PLANT.observation_space


def policy(activation: type[torch.nn.Module], seed: int = 0) -> Any:
    """A policy as Stable-Baselines3 lays it out, whose large values cancel: a wide shift through a hidden layer."""
    torch.manual_seed(seed)
    n = SPACE.size
    second = torch.nn.Linear(24, 24)
    net = torch.nn.Sequential(torch.nn.Linear(n, 24), activation(), second, activation())
    last = torch.nn.Linear(24, 4)
    with torch.no_grad():
        last.weight.mul_(0.3)
        if activation is torch.nn.ReLU:
            second.bias[:2] += 12.0  # two units far up, which the output takes off again
            last.weight[:, 0], last.weight[:, 1] = 0.5, -0.5
    low, high = -np.ones(4, np.float32), np.ones(4, np.float32)
    space = SimpleNamespace(low=low, high=high)
    return SimpleNamespace(mlp_extractor=SimpleNamespace(policy_net=net), action_net=last, action_space=space)


def normaliser() -> Any:
    middle = (np.asarray(SPACE.low, np.float64) + SPACE.high) / 2
    rms = SimpleNamespace(mean=middle, var=((np.asarray(SPACE.high, np.float64) - SPACE.low) / 2) ** 2)
    return SimpleNamespace(obs_rms=rms, epsilon=1e-8, clip_obs=10.0)


def in_half(actor: Actor, net: Any, obs: Float64) -> Float64:
    """The actions with every value between two layers rounded to half precision, the weights as they are."""
    values = torch.from_numpy((obs - normaliser().obs_rms.mean) / np.sqrt(normaliser().obs_rms.var + 1e-8))
    values = values.half().double()
    for module in [*net.mlp_extractor.policy_net, net.action_net]:
        if hasattr(module, "weight"):
            values = values @ module.weight.double().T + module.bias.double()
        else:
            values = module(values).half().double()
    return np.asarray(values.detach().numpy())


@pytest.mark.parametrize("activation", [torch.nn.ReLU, torch.nn.Tanh])
def test_what_rounding_does_is_bounded_by_what_is_computed(activation: type[torch.nn.Module]) -> None:
    net = policy(activation)
    actor, obs = Actor(net, normaliser()), probes(SPACE, 500, np.random.default_rng(3))
    spread, action = actor.rounding(obs)
    error = np.abs(in_half(actor, net, obs) - action.detach().numpy())
    computed = 2.0**-11 * spread.detach().numpy()
    assert (error <= 2.0 * computed + 1e-6).mean() > 0.999
    assert 0.15 < error.max() / computed.max() < 1.5  # the largest error is of that size, and not far below it


def test_it_becomes_small_and_the_policy_stays_the_same() -> None:
    net, obs = policy(torch.nn.ReLU), probes(SPACE, 500, np.random.default_rng(4))
    plant = randomised(PLANT)
    before = Actor(net, normaliser())
    seen = PLANT.reset("steady_state", [1, 2, 3]).astype(np.float64)
    wanted = before.predict(seen.astype(np.float32))[0]
    settings = HalfConfig(steps=600, episodes=2, batch=128, probes=64, bearable=4.0, learning_rate=0.01)
    found = bear_half(plant, SPACE, net, normaliser(), settings)
    assert max(found["after"]) < 0.75 * max(found["before"])
    after = Actor(net, normaliser())
    assert np.abs(after.predict(seen.astype(np.float32))[0] - wanted).max() < 0.03
    error = np.abs(in_half(after, net, obs) - after.rounding(obs)[1].detach().numpy())
    assert error.max() < 0.7 * 2.0**-11 * max(found["before"])
    for weight in net.mlp_extractor.policy_net.parameters():
        assert torch.equal(weight, weight.half().float())


def test_a_training_with_gradients_ends_with_it_and_says_so(tmp_path: Path) -> None:
    settings = replace(
        SETTINGS, gradient=replace(SETTINGS.gradient, iterations=1), half=HalfConfig(steps=5, episodes=2, probes=8)
    )
    train(PLANT, tmp_path, settings, progress=False)
    record = json.loads((tmp_path / "train.json").read_text())
    assert [row["by"] for row in record["log"]] == ["PPO", "gradient", HALF]
    assert record["half"]["steps"] == 5
    assert len(record["half"]["before"]) == len(record["half"]["after"]) == 4
