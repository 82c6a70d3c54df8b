"""Does a policy without a normaliser look as if it had been trained with one? A warning, never a verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from gate5.checkpoint.spec import Float32, PolicySpec

_LARGE = 20.0
_SATURATED = 30.0


def looks_normalised(policy: PolicySpec, observations: Float32 | None = None) -> str | None:
    """One sentence that says what looks so, or ``None``.

    A network on normalised observations has first-layer weights near 1/sqrt(n) and expects numbers of the size of 1.
    Where the observations are in physical units (20 C, 2e7 Pa), such weights drive the first layer hundreds of units
    away from zero.

    Args:
        observations: raw ones from the plant ``[N, obs_dim]``; ``None``: the middle and the ends of the space.
    """
    if policy.standard is not None or any(encoder.space.kind != "Box" or encoder.scale for encoder in policy.encoders):
        return None  # CrossQ has statistics of its own; what is one-hot or an image has no physical unit
    weight, bias = _first(policy)
    rows = _typical(policy) if observations is None or not len(observations) or policy.frames > 1 else observations
    if rows is None or weight is None or rows.shape[1] < weight.shape[1]:
        return None
    rows = rows[:, : weight.shape[1]].astype(np.float64)  # a state lies behind the observation
    size = np.median(np.abs(rows), axis=0)
    reached = rows @ weight.T.astype(np.float64) + bias
    typical = float(np.median(np.abs(reached)))
    if float(size.max()) < _LARGE or typical < _SATURATED:
        return None
    where = int(size.argmax())
    return (
        f"It looks as if the policy was trained with VecNormalize: observation {where} is of the size "
        f"{size[where]:.3g}, and the first layer's numbers of the size {typical:.3g}, where a network works near 1. "
        "If it was, give its statistics (checkpoint.vecnormalize: PATH)."
    )


def _first(policy: PolicySpec) -> tuple[Any, Any]:
    """Weight and bias of what reads the observation first; ``None`` of what is not known or an image's network."""
    if any(encoder.convolutions for encoder in policy.encoders):
        return None, None
    if policy.lstm:
        return policy.lstm[0].weight_ih, policy.lstm[0].bias_ih
    if not policy.layers:
        return None, None
    first = policy.layers[0]
    return first.weight, 0.0 if first.bias is None else first.bias


def _typical(policy: PolicySpec) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    low, high = policy.observation_low.astype(np.float64), policy.observation_high.astype(np.float64)
    if not ((np.abs(low) < 1e15) & (np.abs(high) < 1e15)).all():
        return None
    return np.stack([low + part * (high - low) for part in (0.25, 0.5, 0.75)])
