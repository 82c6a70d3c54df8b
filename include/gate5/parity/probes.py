"""Observations on which two forms of a policy are compared: from the plant, and where nobody has been yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.signature import Signature

Float32 = NDArray[np.float32]

KINDS = ("rollout", "interior", "corners", "far")


def probes(
    rollout: Float32, low: Float32, high: Float32, samples: int, seed: int, signature: Signature | None = None
) -> dict[str, Float32]:
    """Observations of four kinds, float32 ``[n, obs_dim]`` each, the same for the same arguments.

    Args:
        rollout: observations from closed-loop runs, ``[N, obs_dim]``, N > 0; at most ``samples`` are taken.
        low, high: the observation space; where it is unbounded (or wider than float32 squares can be), the range that
            ``rollout`` covers, widened by its own width on both sides, stands for it.
        samples: how many of each kind.
        seed: of the random ones.
        signature: what the columns are: whole numbers stay whole and in their space, a mask allows something.

    Returns:
        ``rollout``; ``interior``: uniform in the space; ``corners``: every component at one of its bounds;
        ``far``: up to 1000 widths outside of it.
    """
    rng = np.random.default_rng(seed)
    if signature is not None and len(low) < rollout.shape[1]:  # the space is of observations; states are behind them
        more = np.full(rollout.shape[1] - len(low), np.inf, dtype=np.float32)
        low, high = np.concatenate([low, -more]), np.concatenate([high, more])
    low64, high64 = _bounds(rollout, low, high)
    width = high64 - low64
    shape = (samples, rollout.shape[1])
    index = np.unique(np.linspace(0, len(rollout) - 1, min(samples, len(rollout))).astype(np.int64))
    interior = low64 + width * rng.random(shape)
    corners = np.where(rng.random(shape) < 0.5, low64, high64)
    corners[:2] = low64, high64
    distance = 10.0 ** rng.uniform(0.0, 3.0, shape) * rng.choice((-1.0, 1.0), shape)
    far = (low64 + high64) / 2 + width * distance
    if signature is not None:
        for array in (interior, corners, far):
            _make_whole(array, low64, high64, signature, rng)
    return {
        "rollout": np.ascontiguousarray(rollout[index], dtype=np.float32),
        "interior": interior.astype(np.float32),
        "corners": corners.astype(np.float32),
        "far": far.astype(np.float32),
    }


def _make_whole(
    rows: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    signature: Signature,
    rng: np.random.Generator,
) -> None:
    whole = signature.whole_columns()
    if whole.any():
        rows[:, whole] = np.clip(np.round(rows[:, whole]), np.ceil(low[whole]), np.floor(high[whole]))
    start = 0
    for port in signature.inputs:
        if port.role == "mask":
            rows[:, start : start + port.size] = rng.random((len(rows), port.size)) < 0.5
            for size in signature.choices:
                rows[np.arange(len(rows)), start + rng.integers(size, size=len(rows))] = 1.0
                start += size
        else:
            start += port.size


def _bounds(rollout: Float32, low: Float32, high: Float32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    seen_low, seen_high = rollout.min(axis=0).astype(np.float64), rollout.max(axis=0).astype(np.float64)
    spread = np.maximum(seen_high - seen_low, np.maximum(1e-3 * np.abs(seen_high), 1e-6))
    wide = 1e15
    given_low, given_high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    bounded = (np.abs(given_low) < wide) & (np.abs(given_high) < wide)
    return (
        np.where(bounded, given_low, seen_low - spread),
        np.where(bounded, given_high, seen_high + spread),
    )
