"""Observations on which two forms of a policy are compared: from the plant, and where nobody has been yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

KINDS = ("rollout", "interior", "corners", "far")


def probes(rollout: Float32, low: Float32, high: Float32, samples: int, seed: int) -> dict[str, Float32]:
    """Observations of four kinds, float32 ``[n, obs_dim]`` each, the same for the same arguments.

    Args:
        rollout: observations from closed-loop runs, ``[N, obs_dim]``, N > 0; at most ``samples`` are taken.
        low, high: the observation space; where it is unbounded (or wider than float32 squares can be), the range that
            ``rollout`` covers, widened by its own width on both sides, stands for it.
        samples: how many of each kind.
        seed: of the random ones.

    Returns:
        ``rollout``; ``interior``: uniform in the space; ``corners``: every component at one of its bounds;
        ``far``: up to 1000 widths outside of it.
    """
    rng = np.random.default_rng(seed)
    low64, high64 = _bounds(rollout, low, high)
    width = high64 - low64
    shape = (samples, rollout.shape[1])
    index = np.unique(np.linspace(0, len(rollout) - 1, min(samples, len(rollout))).astype(np.int64))
    interior = low64 + width * rng.random(shape)
    corners = np.where(rng.random(shape) < 0.5, low64, high64)
    corners[:2] = low64, high64
    distance = 10.0 ** rng.uniform(0.0, 3.0, shape) * rng.choice((-1.0, 1.0), shape)
    far = (low64 + high64) / 2 + width * distance
    return {
        "rollout": np.ascontiguousarray(rollout[index], dtype=np.float32),
        "interior": interior.astype(np.float32),
        "corners": corners.astype(np.float32),
        "far": far.astype(np.float32),
    }


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
