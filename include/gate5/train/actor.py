"""``Actor``: a policy's mean action on torch tensors, with gradients of its weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from gate5.plant.base import Float32, Float64

SPREAD = 0.02  # least spread of a normalised observation by which its weights' steps are scaled


class Actor:
    """The policy's mean action in float64, with the steps of its weights scaled to what they see.

    A step on a first weight means as much for an observation that hardly moves as for one that moves much: what is
    stepped are weights of the observation less its mean, over its spread.
    """

    def __init__(self, policy: Any, normaliser: Any) -> None:
        import torch

        self._torch: Any = torch
        self._mean = torch.as_tensor(normaliser.obs_rms.mean, dtype=torch.float64)
        self._scale = torch.sqrt(torch.as_tensor(normaliser.obs_rms.var + normaliser.epsilon, dtype=torch.float64))
        self._most = float(normaliser.clip_obs)
        self._body = [*policy.mlp_extractor.policy_net, policy.action_net]
        self._low, self._high = policy.action_space.low, policy.action_space.high
        self._layers = [module for module in self._body if hasattr(module, "weight")]
        self._known = [p.detach().to(torch.float64) for layer in self._layers for p in (layer.weight, layer.bias)]
        self.steps = [torch.zeros_like(p, requires_grad=True) for p in self._known]
        self._middle, self._spread = torch.zeros_like(self._mean), torch.ones_like(self._mean)

    def scale_to(self, seen: Float64) -> None:
        """Scale steps to observations ``[N, n]``."""
        shown = self._normalise(self._torch.from_numpy(seen))
        self._middle, self._spread = shown.mean(0), shown.std(0).clamp(min=SPREAD)

    def act(self, seen: Any) -> Any:
        """Actions ``[a, W]`` for observations ``[n, W]``, before they are clipped."""
        values, weights = self._normalise(seen.T), iter(self._weights())
        for module in self._body:
            values = values @ next(weights).T + next(weights) if hasattr(module, "weight") else module(values)
        return values.T

    def rounding(self, seen: Float64) -> tuple[Any, Any]:
        """What rounding the values between layers does to actions, for observations ``[N, n]``.

        Returns:
            ``[N, a]``, the root of the sum of squares over all rounded values (the normalised observation's among them)
            of value times the action's slope in it; and the actions ``[N, a]`` before they are clipped.
        """
        torch = self._torch
        values, weights = self._normalise(torch.from_numpy(seen)).requires_grad_(True), iter(self._weights())
        rounded, slopes = [values], []
        for module in self._body:
            if hasattr(module, "weight"):
                weight = next(weights)
                values = values @ weight.T + next(weights)
                slopes.append(weight)
            else:
                bent = module(values)
                slopes.append(torch.autograd.grad(bent.sum(), values, create_graph=True)[0][:, None])
                values = bent
                rounded.append(values)
        squares, gain = 0.0, torch.eye(values.shape[1], dtype=torch.float64)[None]
        for slope in reversed(slopes):
            if slope.dim() == 3:
                gain = gain * slope
            else:
                gain = gain @ slope
                squares = squares + ((gain * rounded.pop()[:, None]) ** 2).sum(-1)
        return torch.sqrt(squares + 1e-12), values

    def clipped(self, action: Any, beyond: float = 0.0) -> Any:
        """Actions ``[N, a]`` clipped to their space and ``beyond``."""
        low, high = (self._torch.from_numpy(bound.astype(np.float64)) for bound in (self._low, self._high))
        return self._torch.minimum(self._torch.maximum(action, low - beyond), high + beyond)

    def within(self, action: Any) -> Any:
        """Which of the actions ``[N, a]`` are not clipped."""
        return self.clipped(action) == action

    def reset(self, batch: int) -> None:
        """A feed-forward policy has no past."""

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions ``[W, a]`` for observations ``[W, n]``, as a plant takes them."""
        with self._torch.no_grad():
            action = self.act(self._torch.from_numpy(obs.T.astype(np.float64)))
        return np.clip(action.T.numpy(), self._low, self._high).astype(np.float32), None

    def take(self) -> None:
        """Put the steps into the policy's weights."""
        with self._torch.no_grad():
            self._put(self._weights())

    def round_to_half(self) -> None:
        """Round the policy's weights to what half precision has."""
        with self._torch.no_grad():
            self._put([value.half().double() for value in self._weights()])

    def _put(self, weights: list[Any]) -> None:
        """Without gradients."""
        self._known = weights
        for step in self.steps:
            step.zero_()
        targets = [p for layer in self._layers for p in (layer.weight, layer.bias)]
        for target, value in zip(targets, self._known, strict=True):
            target.copy_(value)

    def _normalise(self, obs: Any) -> Any:
        return ((obs - self._mean) / self._scale).clamp(-self._most, self._most)

    def _weights(self) -> list[Any]:
        first, offset, *others = (known + step for known, step in zip(self._known, self.steps, strict=True))
        stepped = self.steps[0] / self._spread
        return [first - self.steps[0] + stepped, offset - stepped @ self._middle, *others]
