"""Imitation of the baseline: behaviour cloning, then DAgger: the student drives and the expert corrects.

Ross, Gordon and Bagnell, A Reduction of Imitation Learning to No-Regret Online Learning, AISTATS 2011.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gate5.control.pid import PIDBaseline
from gate5.plant.base import Float32, Plant
from gate5.seeds import seeds_of


@dataclass(frozen=True)
class ImitationConfig:
    """How the imitation is done.

    Attributes:
        rounds: rounds of driving and fitting; in the first, the expert drives.
        episodes: episodes of each scenario and round.
        epochs: passes over all data so far, per round; the last round makes ``final_epochs``.
        noise: standard deviation of the disturbance put on the driver's action, so that recoveries are seen too.
        keep: share of the steps that is kept, drawn at random (neighbouring steps say the same).
    """

    rounds: int = 4
    episodes: int = 10
    epochs: int = 6
    final_epochs: int = 60
    batch: int = 1024
    learning_rate: float = 1e-3
    noise: float = 0.05
    keep: float = 0.5
    seed: int = seeds_of("imitation").start


@dataclass
class Demonstrations:
    """Observations and the expert's answers to them."""

    obs: list[Float32] = field(default_factory=list)
    action: list[Float32] = field(default_factory=list)

    def arrays(self) -> tuple[Float32, Float32]:
        """All of them, ``[N, obs_dim]`` and ``[N, act_dim]``."""
        return np.concatenate(self.obs), np.concatenate(self.action)


def demonstrate(
    plant: Any, expert: PIDBaseline, student: Any | None, config: ImitationConfig, round_: int, data: Demonstrations
) -> None:
    """Drive ``config.episodes`` episodes of every scenario and append what the expert said at each step.

    Half the student's episodes are disturbed by slowly varying noise; the expert is told every action that was applied,
    so that its integrals fit the state it is asked about.
    """
    random = np.random.default_rng([config.seed, round_])
    names = [name for name in plant.scenarios for _ in range(config.episodes)]
    first = config.seed + round_ * config.episodes
    obs = plant.reset_mixed(names, [first + i % config.episodes for i in range(len(names))])
    expert.reset(len(names))
    live = np.ones(len(names), dtype=np.bool_)
    low, high = plant.action_space.low, plant.action_space.high
    disturbed = np.arange(len(names)) % 2 == 1
    drift = np.zeros((len(names), plant.action_space.size))
    for _ in range(max(s.steps for s in plant.scenarios.values())):
        wanted = expert.propose(obs)
        driven = wanted if student is None else student.predict(obs)[0]
        drift = 0.9 * drift + config.noise * 0.44 * random.standard_normal(drift.shape)
        applied = np.clip(driven + np.where(disturbed[:, None], drift, 0.0), low, high).astype(np.float32)
        kept = live & (random.random(len(names)) < config.keep)
        data.obs.append(obs[kept])
        data.action.append(wanted[kept])
        expert.track(applied)
        step = plant.step(applied)
        obs, live = step.obs, live & ~(step.terminated | step.truncated)
        if not live.any():
            return


def fit(model: Any, normalise: Callable[[Float32], Float32], data: Demonstrations, config: ImitationConfig,
        epochs: int, learning_rate: float) -> float:  # fmt: skip
    """Fit the policy's mean action to the expert's; returns the root mean square error of the last epoch."""
    import torch

    obs, action = data.arrays()
    x = torch.from_numpy(np.ascontiguousarray(normalise(obs), dtype=np.float32))
    y = torch.from_numpy(action)
    low = torch.as_tensor(model.action_space.low)
    high = torch.as_tensor(model.action_space.high)
    policy = model.policy
    parameters = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    batches = -(-len(x) // config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * batches, eta_min=learning_rate * 0.02)
    total = 0.0
    for _ in range(epochs):
        order = torch.randperm(len(x))
        total = 0.0
        for part in torch.split(order, config.batch):
            error = policy.action_net(policy.mlp_extractor.forward_actor(x[part])) - y[part]
            beyond = ((y[part] >= high) & (error > 0)) | ((y[part] <= low) & (error < 0))
            loss = torch.where(beyond, torch.zeros_like(error), error).square().mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(part)
    return float(np.sqrt(total / len(x)))


def scale_of(plant: Plant, obs: Float32) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Middle and squared scale for the observation's normaliser; a component that never moves gets the scale 1.

    The scale is that of the middle half of the values, but no less than a fifth of the standard deviation: an error is
    small nearly always and huge after a trip, and it is the small one that has to be seen.
    """
    values = obs.astype(np.float64)
    low, middle, high = np.percentile(values, [25.0, 50.0, 75.0], axis=0)
    scale = np.maximum((high - low) / 1.35, 0.2 * values.std(axis=0))
    return middle, np.where(scale > 1e-5, scale**2, 1.0)
