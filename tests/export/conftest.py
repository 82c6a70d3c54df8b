"""Checkpoints made of plain arrays: no training needed to export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gate5.checkpoint import Checkpoint
from gate5.checkpoint.module import build_module
from gate5.checkpoint.spec import Layer, NormaliserSpec, PolicySpec
from gate5.plant.base import Float32


@pytest.fixture
def checkpoint() -> Callable[..., Checkpoint]:
    """``checkpoint(obs=8, act=3, squash=False, normalise=True)``: random weights, fixed seed."""

    def make(obs: int = 8, act: int = 3, squash: bool = False, normalise: bool = True, **changes: Any) -> Checkpoint:
        rng = np.random.default_rng(1)

        def layer(out: int, inside: int, activation: str | None) -> Layer:
            weight = (rng.normal(size=(out, inside)) / np.sqrt(inside)).astype(np.float32)
            return Layer(weight, np.zeros(out, np.float32), activation)

        wide = np.full(obs, np.inf, np.float32)
        policy = PolicySpec(
            algorithm="SAC" if squash else "PPO",
            layers=(layer(32, obs, "Tanh"), layer(32, 32, "Tanh"), layer(act, 32, None)),
            clip_mean=None,
            squash=squash,
            low=np.linspace(-1, 0, act, dtype=np.float32),
            high=np.linspace(1, 9, act, dtype=np.float32),
            observation_low=-wide,
            observation_high=wide,
        )
        means = np.power(10.0, np.arange(obs, dtype=np.float64))
        normaliser = NormaliserSpec(means, np.square(0.1 * means), 1e-8, 10.0, 1e5)
        used = normaliser if normalise else None
        arguments: dict[str, Any] = {
            "module": build_module(policy, used), "policy": policy, "normaliser": used, "uri": "run7/policy.zip",
            "policy_sha256": "ab" * 32, "vecnormalize_sha256": "cd" * 32 if normalise else None,
            "sb3_version": "2.9.2", "tensors": {},
        }  # fmt: skip
        made = Checkpoint(**{**arguments, **changes})
        # without tensors SB3's own policy class cannot be built: the reference is float64 NumPy here
        object.__setattr__(made, "reference", lambda given: (made.reference_numpy(given), "numpy float64"))
        return made

    return make


@pytest.fixture
def rollout() -> Float32:
    """Observations that fit the normaliser of ``checkpoint()``."""
    rng = np.random.default_rng(2)
    return (10.0 ** np.arange(8) * (1 + 0.1 * rng.normal(size=(1500, 8)))).astype(np.float32)
