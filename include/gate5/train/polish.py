"""The last step of training: an evolution strategy on the policy's output layer, against the whole plant.

PPO's gradient is as noisy as its exploration, and near the optimum the noise wins: what one scenario gains another
loses. Here candidates drive the same episodes without exploration and are ranked by what a release is judged by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.control.closed_loop import QuickScore, pairs, quick, worst_margins
from gate5.control.search import Search
from gate5.plant.base import Box, Controller, Float32, Float64, Plant, objective
from gate5.seeds import seeds_of
from gate5.train.vec_env import Shaping

WORSE = 0.03  # price of a term that got worse than the reference's by its margin, in hundredths of the reward per step


@dataclass(frozen=True)
class PolishConfig:
    """How it is done.

    Attributes:
        generations, population: of the search; 0 generations: none.
        episodes: of each scenario per candidate; every generation takes another of ``sets`` sets of seeds, the same
            for all candidates.
        sigma: first standard deviation of a candidate's action, in the action's unit.
    """

    generations: int = 40
    population: int = 20
    episodes: int = 4
    sigma: float = 0.006
    sets: int = 12
    seed: int = seeds_of("search").start


class Heads:
    """Several output layers on one body, each driving its own part of the batch."""

    def __init__(self, features: Callable[[Float32], Any], weight: Any, bias: Any, actions: Box) -> None:
        self._features, self._weight, self._bias = features, weight, bias
        self._low, self._high = actions.low, actions.high

    def reset(self, batch: int) -> None:
        """A feed-forward policy has no past."""

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Each head's actions for its own rows."""
        import torch

        with torch.no_grad():
            body = self._features(obs).reshape(self._weight.shape[0], -1, self._weight.shape[2])
            action = torch.baddbmm(self._bias[:, None, :], body, self._weight.transpose(1, 2))
        return np.clip(action.reshape(len(obs), -1).numpy(), self._low, self._high), None


def polish(
    plant: Plant,
    policy: Any,
    normalise: Callable[[Float32], Float32],
    expert: Controller | None,
    shaping: Shaping,
    config: PolishConfig,
    say: Callable[[int, float], None],
    begin: Callable[[Search], int] = lambda search: 0,
    keep: Callable[[Search], None] = lambda search: None,
) -> None:
    """Move ``policy.action_net`` to the mean of the search.

    Args:
        plant: with ``reset_mixed``.
        policy: of Stable-Baselines3, on the CPU.
        normalise: the observation's normaliser.
        expert: whom gains are measured from, on the same episodes; ``None``: from nothing.
        shaping: training's costs and buffers.
        config: how.
        say: called with the generation and the mean's value.
        begin: called with the search before its first generation; may put an earlier one's state into it, and returns
            how many generations that has had.
        keep: called with the search after every generation.
    """
    import torch

    layer = policy.action_net
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    size = weight.numel() + bias.numel()
    scale = config.sigma / float(np.sqrt(weight.shape[1] + 1))
    search = Search(size, population=config.population, seed=config.seed)

    def features(obs: Float32) -> Any:
        return policy.mlp_extractor.forward_actor(torch.from_numpy(normalise(obs)))

    def heads(x: Float64) -> Heads:
        moved = torch.from_numpy((scale * x).astype(np.float32))
        weights = (weight + moved[:, : weight.numel()].reshape(-1, *weight.shape)).contiguous()
        return Heads(features, weights, bias + moved[:, weight.numel() :], plant.action_space)

    known: dict[int, QuickScore] = {}
    for generation in range(begin(search), config.generations):
        which = generation % config.sets
        names, seeds = pairs(plant, config.episodes, config.seed + which * config.episodes)
        if expert is not None and which not in known:
            known[which] = quick(plant, expert, names, seeds, shaping.cost)
        candidates = np.vstack([search.ask(), search.mean])
        whole = quick(plant, heads(candidates), names * len(candidates), seeds * len(candidates), shaping.cost)
        parts = [whole.part(slice(i * len(seeds), (i + 1) * len(seeds))) for i in range(len(candidates))]
        values = [value(plant, part, known.get(which), shaping) for part in parts]
        say(generation, values[-1])
        search.tell(np.array(values[:-1]))
        keep(search)
    moved = torch.from_numpy((scale * search.mean).astype(np.float32))
    with torch.no_grad():
        layer.weight.add_(moved[: weight.numel()].reshape(weight.shape))
        layer.bias.add_(moved[weight.numel() :])


def value(plant: Plant, score: QuickScore, reference: QuickScore | None, shaping: Shaping) -> float:
    """What a candidate is worth: its gain over the reference in hundredths of the reward per step, mean over scenarios
    plus the worst one; less violations, thin margins, and terms of the objective that got worse than the reference's.
    """
    net = score.returns - score.costs
    if reference is not None:
        net = net - (reference.returns - reference.costs)
    gains = [100.0 * float(n.mean()) / plant.scenarios[s].steps for s, n in score.by_scenario(net).items()]
    violating = np.mean([float((v > 0).mean()) for v in score.by_scenario(score.violations).values()])
    thin = 0.0
    for margins in worst_margins(plant, score).values():
        for constraint, buffer in shaping.buffers:
            if constraint.name in margins:
                thin += float(np.clip(1.0 - margins[constraint.name] / buffer, 0.0, 3.0))
    worse = 0.0 if reference is None else _worse(plant, score, reference)
    return float(np.mean(gains)) + min(gains) - 20.0 * float(violating) - 0.3 * thin - WORSE * worse


def _worse(plant: Plant, score: QuickScore, reference: QuickScore) -> float:
    """By how many of its margins each term got worse, at most ten each, over all terms and scenarios."""
    total = 0.0
    for deltas in score.by_scenario(score.terms - reference.terms).values():
        for term, delta in zip(objective(plant), deltas.mean(axis=1), strict=True):
            by = -delta if term.reported_only else delta
            total += float(np.clip(by / max(term.margin, 1e-9), 0.0, 10.0)) * (1.0 if term.weight else 0.0)
    return total
