"""An experiment that identifies the plant: the baseline drives, and every actuator gets a random signal besides.

What a closed loop does by itself says little about the plant: all that it ever applied follows from what it saw. A
signal of its own on each actuator tells what that actuator does from what the controller does (persistent excitation:
Ljung, System Identification, 1999, sections 13.3 and 13.4). It is an amplitude-modulated pseudo-random binary signal
(Nelles, Nonlinear System Identification, 2001, section 17.7): a random level, kept for a random while.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.plant.base import Controller, Float32, Plant
from gate5.seeds import seeds_of

#: The highest level, as a share of an actuator's range.
AMPLITUDE = 0.05
#: Periods for which a level is kept: 1 to this.
LONGEST = 8
#: Of each scenario, at most: no more than are judged.
EPISODES = 6


def excite(plant: Plant, baseline: Controller | None, scenario: str, episodes: int) -> dict[str, NDArray[Any]]:
    """Drive some episodes with a random signal on every actuator.

    Args:
        plant: it steps.
        baseline: it drives; ``None``: there is no experiment, for nobody would drive by a forecast.
        scenario: of the plant.
        episodes: how many, in one batch, on seeds that judge nothing.

    Returns:
        ``obs2`` ``[N, obs_dim]``, ``action2`` ``[N, act_dim]`` (applied) and ``episode2`` ``[N]``, in order
        of time within each episode; an episode that is not finite, or has ended, adds nothing more.
    """
    if baseline is None:
        return {}
    seeds = [seeds_of("identification").start + i for i in range(episodes)]
    chance = np.random.default_rng([zlib.crc32(scenario.encode()), episodes])
    low, high = plant.action_space.low.astype(np.float64), plant.action_space.high.astype(np.float64)
    span = np.where(np.isfinite(high - low), high - low, 0.0)
    level = np.zeros((episodes, low.size))
    left = np.zeros((episodes, low.size), np.int64)
    obs, running = plant.reset(scenario, seeds), np.ones(episodes, np.bool_)
    baseline.reset(episodes)
    seen: list[Float32] = []
    applied: list[Float32] = []
    live = []
    for _ in range(plant.scenarios[scenario].steps):
        new = left == 0
        level = np.where(new, chance.uniform(-AMPLITUDE, AMPLITUDE, level.shape) * span, level)
        left = np.where(new, chance.integers(1, LONGEST, left.shape, endpoint=True), left) - 1
        action = np.clip(baseline.predict(obs)[0] + level, low, high).astype(np.float32)
        seen.append(np.array(obs, np.float32))
        applied.append(action)
        running = running & np.isfinite(obs).all(axis=1) & np.isfinite(action).all(axis=1)
        live.append(running)
        step = plant.step(action)
        running = running & ~(step.terminated | step.truncated)
        if not running.any():
            break
        obs = step.obs
    kept = np.stack(live).T  # [episodes, T]
    return {
        "obs2": np.moveaxis(np.stack(seen), 0, 1)[kept],
        "action2": np.moveaxis(np.stack(applied), 0, 1)[kept],
        "episode2": np.repeat(np.arange(episodes), kept.sum(axis=1)),
    }
