"""The module is the whole policy function: what ``model.predict`` gives on normalised observations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint.archive import open_archive
from gate5.checkpoint.layout import understand
from gate5.checkpoint.module import build_module
from gate5.checkpoint.reference import normalise
from tests.support.saved import Saved

WIDE = (np.array([-2.0, 10.0]), np.array([3.0, 40.0]))
CASES: list[tuple[str, dict[str, Any]]] = [
    ("PPO", {}),
    ("PPO", {"policy_kwargs": {"net_arch": {"pi": [32], "vf": [8, 8]}, "activation_fn": torch.nn.ReLU}}),
    ("PPO", {"policy_kwargs": {"net_arch": [], "share_features_extractor": False}}),
    ("PPO", {"use_sde": True, "policy_kwargs": {"squash_output": True, "net_arch": [16]}}),
    ("PPO", {"use_sde": True, "policy_kwargs": {"full_std": False, "net_arch": [16]}}),
    ("A2C", {"policy_kwargs": {"net_arch": [16], "activation_fn": torch.nn.ELU}}),
    ("SAC", {}),
    ("SAC", {"use_sde": True, "policy_kwargs": {"net_arch": [16], "clip_mean": 0.3}}),
    ("SAC", {"policy_kwargs": {"net_arch": [16], "activation_fn": torch.nn.SiLU}}),
    ("TD3", {}),
    ("DDPG", {"policy_kwargs": {"net_arch": [16], "activation_fn": torch.nn.LeakyReLU}}),
]


@pytest.mark.parametrize("bounds", ["symmetric", "wide"])
@pytest.mark.parametrize(("algorithm", "kwargs"), CASES, ids=[f"{name}{i}" for i, (name, _) in enumerate(CASES)])
def test_module_is_predict(save: Callable[..., Saved], algorithm: str, kwargs: dict[str, Any], bounds: str) -> None:
    """A missing normaliser, clip, squash, unscale, gSDE bound or a wrong activation shows here."""
    low, high = WIDE if bounds == "wide" else (-1.0, 1.0)
    saved = save(algorithm, low=low, high=high, **kwargs)
    checkpoint = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x"))
    rng = np.random.default_rng(0)
    observations = np.concatenate(
        [
            saved.observations,
            (saved.observations * rng.normal(1.0, 0.5, saved.observations.shape)).astype(np.float32),
            (saved.observations * 1e3).astype(np.float32),
        ]
    )
    expected = saved.predict(observations)
    actual = checkpoint.module(torch.from_numpy(observations)).numpy()
    assert np.ptp(expected) > 0.01  # a constant policy would prove nothing
    np.testing.assert_allclose(actual, expected, atol=6.1e-5)
    reference, how = checkpoint.reference(observations)
    assert "stable_baselines3" in how
    np.testing.assert_allclose(reference, expected, atol=1e-6)
    np.testing.assert_allclose(checkpoint.reference_numpy(observations), expected, atol=1e-4)
    assert checkpoint.algorithm == algorithm


def test_clip_is_reached(save: Callable[..., Saved]) -> None:
    """The test above would not see a missing clip if no action reached it."""
    saved = save("PPO")
    assert np.mean(np.abs(saved.predict(saved.observations)) == 1.0) > 0.05


def test_tiny_variance_needs_the_split_mean(save: Callable[..., Saved]) -> None:
    """Normalising in plain float32 breaks 1e-4 on a variable with a large mean and a tiny variance."""
    saved = save("PPO")
    checkpoint = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x"))
    spec = checkpoint.normaliser
    assert spec is not None
    mean, var = spec.mean.copy(), spec.var.copy()
    mean[5], var[5] = 700.000017, 1e-6  # float32 is 6e-5 apart there
    obs = np.repeat(saved.observations, 2, axis=0)
    obs[1::2, 5] += np.float32(1.2e-4)
    sharp = replace(spec, mean=mean, var=var)
    exact = normalise(sharp, obs)
    module: Any = build_module(checkpoint.policy, sharp)
    split = module.normaliser(torch.from_numpy(obs)).numpy()
    naive = np.clip((obs - mean.astype(np.float32)) / np.sqrt(var + spec.epsilon).astype(np.float32), -5, 5)
    assert np.abs(split - exact).max() < 6.1e-5
    assert np.abs(naive - exact).max() > 1e-4


def test_without_vecnormalize(save: Callable[..., Saved]) -> None:
    """No statistics: observations go in as they are, and the description says so."""
    saved = save("PPO")
    checkpoint = read(CheckpointFiles(saved.policy, None, "x"))
    expected, _ = saved.model.predict(saved.observations, deterministic=True)
    np.testing.assert_allclose(checkpoint.module(torch.from_numpy(saved.observations)).numpy(), expected, atol=1e-5)
    description = checkpoint.describe()
    assert description["normaliser"] is None
    assert "No vecnormalize.pkl" in description["notes"][0]


def test_norm_obs_off(save: Callable[..., Saved]) -> None:
    """``VecNormalize(norm_obs=False)`` leaves observations alone."""
    saved = save("PPO", norm_obs=False)
    checkpoint = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x"))
    assert checkpoint.normaliser is None
    np.testing.assert_allclose(
        checkpoint.module(torch.from_numpy(saved.observations)).numpy(), saved.predict(saved.observations), atol=1e-5
    )
    assert "norm_obs off" in checkpoint.describe()["notes"][0]


def test_description(save: Callable[..., Saved]) -> None:
    """Plain JSON types with the layers, hashes and bounds."""
    saved = save("SAC", low=WIDE[0], high=WIDE[1])
    description = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x")).describe()
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    assert description["layers"] == [[6, 16], [16, 16], [16, 2]]
    assert description["parameters"] == 6 * 16 + 16 + 16 * 16 + 16 + 16 * 2 + 2
    assert description["policy_sha256"] == hashlib.sha256(saved.policy).hexdigest()
    assert description["action_low"] == [-2.0, 10.0]
    assert description["normaliser"]["count"] > 60


def test_trpo_like_shared_layers(save: Callable[..., Saved]) -> None:
    """Archives older than SB3 1.8 have layers that actor and critic share; they come first."""
    archive = open_archive(save("PPO").policy, "x")
    weights = {
        key.replace("policy_net.0", "shared_net.0").replace("policy_net.2", "policy_net.0"): value
        for key, value in archive.weights.items()
    }
    old = understand(replace(archive, weights=weights), "x")
    new = understand(archive, "x")
    for one, other in zip(old.layers, new.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
