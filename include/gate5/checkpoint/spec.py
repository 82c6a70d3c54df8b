"""What a policy computes, as plain arrays: the form in which a checkpoint is understood."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """``activation(weight @ x + bias)``; weight ``[out, in]``; activation ``None`` is the identity."""

    weight: Float32
    bias: Float32 | None
    activation: str | None


@dataclass(frozen=True)
class PolicySpec:
    """A deterministic policy without its normaliser.

    Attributes:
        algorithm: ``PPO``, ``A2C``, ``SAC``, ``TD3``, ``DDPG``, ``TRPO`` or ``TQC``.
        layers: from the observation to the mean action.
        clip_mean: gSDE's bound on the mean before the squash (SAC with ``use_sde``), else ``None``.
        squash: tanh, then scaled from [-1, 1] to the action space; otherwise clipped to the action space.
        low, high: the action space.
        observation_low, observation_high: the observation space as the policy was trained with it.
        notes: what a reader of the report should know.
    """

    algorithm: str
    layers: tuple[Layer, ...]
    clip_mean: float | None
    squash: bool
    low: Float32
    high: Float32
    observation_low: Float32
    observation_high: Float32
    use_sde: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def obs_dim(self) -> int:
        return int(self.layers[0].weight.shape[1])

    @property
    def act_dim(self) -> int:
        return int(self.layers[-1].weight.shape[0])

    @property
    def parameters(self) -> int:
        return sum(layer.weight.size + (0 if layer.bias is None else layer.bias.size) for layer in self.layers)


@dataclass(frozen=True)
class NormaliserSpec:
    """``clip((obs - mean) / sqrt(var + epsilon), -clip, clip)``, as ``VecNormalize.normalize_obs`` does it.

    Attributes:
        mean, var: float64 ``[obs_dim]``.
        count: how many observations the statistics were made of.
    """

    mean: Float64
    var: Float64
    epsilon: float
    clip: float
    count: float
