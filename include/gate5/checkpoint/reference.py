"""What the policy function has to give, by ways that share no code with the module that is exported.

``numpy_reference`` computes in float64 from the archive's own arrays. ``sb3_reference`` builds Stable-Baselines3's own
policy class anew, loads the tensors into it and calls its ``predict``: the reference semantics itself, without the
unpickling that ``Algorithm.load`` would do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.checkpoint.spec import Float32, Float64, NormaliserSpec, PolicySpec

if TYPE_CHECKING:
    import torch


def normalise(normaliser: NormaliserSpec | None, obs: Float32) -> Float32:
    """``VecNormalize.normalize_obs``: float64 inside, float32 out."""
    if normaliser is None:
        return obs
    scaled = (obs - normaliser.mean) / np.sqrt(normaliser.var + normaliser.epsilon)
    return np.clip(scaled, -normaliser.clip, normaliser.clip).astype(np.float32)


def numpy_reference(policy: PolicySpec, normaliser: NormaliserSpec | None, obs: Float32) -> Float32:
    """Actions float32 ``[B, act_dim]`` for raw observations float32 ``[B, obs_dim]``, in float64 inside."""
    x: Float64 = normalise(normaliser, obs).astype(np.float64)
    for layer in policy.layers:
        x = x @ layer.weight.T.astype(np.float64)
        if layer.bias is not None:
            x = x + layer.bias
        if layer.activation is not None:
            x = _activate(layer.activation, x)
    low, high = policy.low.astype(np.float64), policy.high.astype(np.float64)
    if policy.clip_mean is not None and policy.clip_mean > 0:
        x = np.clip(x, -policy.clip_mean, policy.clip_mean)
    x = low + 0.5 * (np.tanh(x) + 1.0) * (high - low) if policy.squash else np.clip(x, low, high)
    return x.astype(np.float32)


def sb3_reference(
    policy: PolicySpec, normaliser: NormaliserSpec | None, tensors: dict[str, torch.Tensor], obs: Float32
) -> Float32 | None:
    """``predict(normalize_obs(obs), deterministic=True)`` of SB3's own class; ``None`` where SB3 is not there."""
    try:
        network = sb3_policy(policy, tensors)
    except ImportError:
        return None
    if network is None:
        return None
    actions, _ = network.predict(normalise(normaliser, obs), deterministic=True)
    return np.asarray(actions, dtype=np.float32).reshape(len(obs), policy.act_dim)


def sb3_policy(policy: PolicySpec, tensors: dict[str, torch.Tensor]) -> Any:
    from gymnasium.spaces import Box
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.sac.policies import Actor as SacActor
    from stable_baselines3.td3.policies import Actor as Td3Actor
    from torch import nn

    if any(key.startswith("mlp_extractor.shared_net.") for key in tensors):
        return None  # removed from SB3 in 1.8
    observations = Box(policy.observation_low, policy.observation_high, dtype=np.float32)
    actions = Box(policy.low, policy.high, dtype=np.float32)
    widths = [layer.weight.shape[0] for layer in policy.layers[:-1]]
    activation = getattr(nn, next((layer.activation for layer in policy.layers if layer.activation), "Identity"))
    network: Any
    if "action_net.weight" in tensors:
        critic = [value.shape[0] for key, value in tensors.items() if _is_weight(key, "mlp_extractor.value_net.")]
        network = ActorCriticPolicy(
            observations, actions, lambda _: 0.0, net_arch={"pi": widths, "vf": critic}, activation_fn=activation,
            use_sde=policy.use_sde, squash_output=policy.squash, full_std=_full_std(tensors),
        )  # fmt: skip
        network.load_state_dict(tensors)
        return network
    extractor = _flatten(observations)
    common = {"net_arch": widths, "features_extractor": extractor, "features_dim": policy.obs_dim}
    if policy.algorithm in ("TD3", "DDPG"):
        network = Td3Actor(observations, actions, activation_fn=activation, **common)
    else:
        clip = policy.clip_mean if policy.clip_mean is not None else 0.0
        network = SacActor(observations, actions, activation_fn=activation, use_sde=policy.use_sde,
                           clip_mean=clip, full_std=_full_std(tensors), **common)  # fmt: skip
    prefix = "actor."
    network.load_state_dict({key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)})
    return network


def _flatten(space: Any) -> Any:
    from stable_baselines3.common.torch_layers import FlattenExtractor

    return FlattenExtractor(space)


def _is_weight(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key.endswith(".weight")


def _full_std(tensors: dict[str, torch.Tensor]) -> bool:
    log_std = tensors.get("log_std", tensors.get("actor.log_std"))
    return log_std is None or log_std.ndim < 2 or log_std.shape[1] > 1


def _activate(name: str, x: Float64) -> Float64:
    functions: dict[str, Any] = {
        "ReLU": lambda v: np.maximum(v, 0.0),
        "Tanh": np.tanh,
        "Sigmoid": lambda v: 0.5 * (1.0 + np.tanh(0.5 * v)),
        "SiLU": lambda v: v * 0.5 * (1.0 + np.tanh(0.5 * v)),
        "ELU": lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0.0))),
        "LeakyReLU": lambda v: np.where(v > 0, v, 0.01 * v),
        "GELU": lambda v: 0.5 * v * (1.0 + np.vectorize(math.erf)(v / math.sqrt(2.0))),
        "Softplus": lambda v: np.logaddexp(0.0, v),
        "SELU": lambda v: (
            1.0507009873554804934193349852946 * np.where(v > 0, v, 1.6732632423543772 * np.expm1(np.minimum(v, 0.0)))
        ),
        "Hardtanh": lambda v: np.clip(v, -1.0, 1.0),
        "Identity": lambda v: v,
    }
    return np.asarray(functions[name](x), dtype=np.float64)
