"""The whole policy function as a torch module: raw observation -> action that the plant receives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gate5.checkpoint.spec import NormaliserSpec, PolicySpec

if TYPE_CHECKING:
    import torch


def build_module(policy: PolicySpec, normaliser: NormaliserSpec | None) -> torch.nn.Module:
    """Build the module: float32 ``[B, obs_dim]`` raw observations -> float32 ``[B, act_dim]`` actions.

    Its three children, ``normaliser``, ``body`` (the linear layers) and ``head`` (squash, unscale, clip), keep their
    names in the exported graph, where the names say which part may run in a lower precision.
    """
    import torch
    from torch import Tensor, nn

    class Normaliser(nn.Module):
        """``((x - mean_hi) - mean_lo) / std``: the mean in two float32 parts, or a tiny variance costs 1e-3."""

        mean_hi: Tensor
        mean_lo: Tensor
        std: Tensor

        def __init__(self, spec: NormaliserSpec) -> None:
            super().__init__()
            high = spec.mean.astype(np.float32)
            low = (spec.mean - high.astype(np.float64)).astype(np.float32)
            self.register_buffer("mean_hi", torch.from_numpy(high))
            self.register_buffer("mean_lo", torch.from_numpy(low))
            self.register_buffer("std", torch.from_numpy(np.sqrt(spec.var + spec.epsilon).astype(np.float32)))
            self.clip = spec.clip

        def forward(self, x: Tensor) -> Tensor:
            return torch.clamp(((x - self.mean_hi) - self.mean_lo) / self.std, -self.clip, self.clip)

    class Head(nn.Module):
        """SB3's ``predict`` after the network: squash and unscale, or clip."""

        low: Tensor
        high: Tensor

        def __init__(self, spec: PolicySpec) -> None:
            super().__init__()
            self.register_buffer("low", torch.from_numpy(spec.low.copy()))
            self.register_buffer("high", torch.from_numpy(spec.high.copy()))
            self.squash, self.clip_mean = spec.squash, spec.clip_mean
            uniform = bool((spec.low == spec.low[0]).all() and (spec.high == spec.high[0]).all())
            self.bounds = (float(spec.low[0]), float(spec.high[0])) if uniform else None

        def forward(self, x: Tensor) -> Tensor:
            if self.clip_mean is not None and self.clip_mean > 0:
                x = torch.clamp(x, -self.clip_mean, self.clip_mean)
            if self.squash:
                return self.low + 0.5 * (torch.tanh(x) + 1.0) * (self.high - self.low)
            if self.bounds is not None:
                return torch.clamp(x, *self.bounds)
            return torch.minimum(torch.maximum(x, self.low), self.high)

    class PolicyFunction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.normaliser = Normaliser(normaliser) if normaliser is not None else nn.Identity()
            self.body = _body(policy)
            self.head = Head(policy)

        def forward(self, obs: Tensor) -> Tensor:
            result: Tensor = self.head(self.body(self.normaliser(obs)))
            return result

    module = PolicyFunction().eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _body(policy: PolicySpec) -> torch.nn.Sequential:
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for layer in policy.layers:
        linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], bias=layer.bias is not None)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight))
            if layer.bias is not None:
                linear.bias.copy_(torch.from_numpy(layer.bias))
        modules.append(linear)
        if layer.activation is not None:
            modules.append(getattr(nn, layer.activation)())
    return nn.Sequential(*modules)
