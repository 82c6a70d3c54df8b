"""Observations that a plant really produces, for comparing functions and timing engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gate5.checkpoint.controller import TorchController
from gate5.checkpoint.signature import StatefulRows
from gate5.errors import EvaluationError
from gate5.plant.base import Controller, Float32, Plant

__all__ = ["Rowed", "TorchController", "collect_observations"]


class Rowed(Controller, Protocol):
    """A policy or its engine: what it was given is in ``rows``, where it has a state or several inputs."""

    rows: StatefulRows | None


def collect_observations(
    plant: Plant,
    controllers: Sequence[Controller],
    count: int,
    *,
    episodes: int = 2,
    seed: int = 7_000,
    policy: Rowed | None = None,
) -> Float32:
    """Closed-loop observations, the same number from every scenario and controller, evenly spread over the episodes.

    Args:
        plant: whose scenarios are driven.
        controllers: each drives ``episodes`` episodes of every scenario.
        count: how many observations at least; fewer only where the plant yields fewer.
        episodes: per scenario and controller.
        seed: of the first episode; distinct from the seeds that an evaluation uses.
        policy: one with a state, which follows every episode, whoever drives it, so that its states are real ones.

    Returns:
        float32 ``[n, obs_dim]``, finite; with ``policy`` its input rows, states included.

    Raises:
        EvaluationError: no finite observation was seen.
    """
    share = -(-count // (len(plant.scenarios) * len(controllers)))
    seeds = [seed + i for i in range(episodes)]
    # One batch of all scenarios takes hardly longer than one of them, where the plant can start one.
    names = list(plant.scenarios)
    groups = [names] if hasattr(plant, "reset_mixed") else [[name] for name in names]
    driven = [[_episode_observations(plant, each, group, seeds, policy) for each in controllers] for group in groups]
    parts = []
    for scenario, group in ((name, i) for i, each in enumerate(groups) for name in each):
        for found in driven[group]:
            seen = found[scenario]
            picked = np.unique(np.linspace(0, len(seen) - 1, min(share, len(seen))).round().astype(int))
            parts.append(seen[picked])
    observations = np.concatenate(parts)
    finite = observations[np.isfinite(observations).all(axis=1)]
    if len(finite) == 0:
        raise EvaluationError(f"The plant {plant.name} gave no finite observation in any scenario; check the plant.")
    return np.ascontiguousarray(finite, dtype=np.float32)


def _episode_observations(
    plant: Any, controller: Controller, scenarios: Sequence[str], seeds: list[int], policy: Rowed | None
) -> dict[str, Float32]:
    """What is seen in an episode of each scenario and seed, ``[n, obs_dim]`` by scenario, in the order of time."""
    batch = len(scenarios) * len(seeds)
    if len(scenarios) == 1:
        obs = plant.reset(scenarios[0], seeds)
    else:
        obs = plant.reset_mixed([name for name in scenarios for _ in seeds], seeds * len(scenarios))
    controller.reset(batch)
    if policy is not None:
        policy.reset(batch)
    running = np.ones(batch, dtype=bool)
    seen, live = [], []
    for _ in range(max(plant.scenarios[name].steps for name in scenarios) + 1):
        action, _ = controller.predict(obs)
        rows = obs
        if policy is not None and policy.rows is not None:
            if controller is not policy:
                policy.predict(obs)
            rows = policy.rows.given
        seen.append(np.array(rows))
        live.append(running)
        step = plant.step(action)
        running = running & ~(step.terminated | step.truncated)
        if not running.any():
            break
        obs = step.obs
    whole, kept = np.stack(seen), np.stack(live)  # [T, B, obs_dim] and [T, B]
    parts = {name: slice(i * len(seeds), (i + 1) * len(seeds)) for i, name in enumerate(scenarios)}
    return {name: whole[:, rows][kept[:, rows]] for name, rows in parts.items()}
