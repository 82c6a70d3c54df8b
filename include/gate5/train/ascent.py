"""``ascend``: what the search over the output layer cannot reach in time: a quasi-Newton ascent on the same numbers.

Candidates drive the same disturbed episodes and are judged by what a release is judged by: the gain over the baseline,
the worst scenario, violations, thin margins, and every term that got worse. One gradient over the whole output layer
says which of its numbers matter; the ascent (``gate5.control.climb``) then moves those together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.control.climb import climb
from gate5.control.closed_loop import QuickScore, pairs, quick, worst_margins
from gate5.plant.base import Controller, Float32, Float64, Plant, objective
from gate5.seeds import seeds_of
from gate5.train.polish import Heads
from gate5.train.vec_env import Shaping

CHUNK = 1500  # episodes that are driven in one batch
WORST = 0.05  # hundredths of the reward per step by which scenarios are told apart in the soft minimum
VIOLATING, THIN, WORSE = 20.0, 0.3, 0.01  # prices; of a term: at the margin of no inferiority, squared beyond
EARLY = 0.5  # of a term's margin: where its price begins


@dataclass(frozen=True)
class AscentConfig:
    """How it is done.

    Attributes:
        iterations: gradients at most; 0: none.
        episodes: of each scenario, per candidate; the same for all.
        directions: how many of the output layer's numbers move.
        unit: what one unit of a candidate's number is, in the action's unit per unit of a ramp.
    """

    iterations: int = 0
    episodes: int = 3
    directions: int = 96
    unit: float = 0.02
    seed: int = seeds_of("search", 1).start


def ascend(
    plant: Plant,
    policy: Any,
    normalise: Callable[[Float32], Float32],
    expert: Controller | None,
    shaping: Shaping,
    config: AscentConfig,
    keep: Callable[[int, float], None],
) -> None:
    """Move ``policy.action_net`` uphill.

    Args:
        plant: with ``reset_mixed``.
        policy: of Stable-Baselines3, on the CPU.
        normalise: the observation's normaliser.
        expert: whom gains are measured from, on the same episodes; ``None``: from nothing.
        shaping: training's buffers before the limits.
        config: how.
        keep: called after every iteration with its number and value; the policy is then at the new point.
    """
    import torch

    layer = policy.action_net
    start = torch.cat([layer.weight.detach().reshape(-1), layer.bias.detach()]).clone()
    shape = layer.weight.shape
    names, seeds = pairs(plant, config.episodes, config.seed)
    reference = None if expert is None else quick(plant, expert, names, seeds)

    def features(obs: Float32) -> Any:
        return policy.mlp_extractor.forward_actor(torch.from_numpy(normalise(obs)))

    def values(points: Float64, every: int = 1) -> Float64:
        moved = start + torch.from_numpy((config.unit * points).astype(np.float32))
        weights = moved[:, : shape.numel()].reshape(-1, *shape).contiguous()
        found = _scores(plant, features, weights, moved[:, shape.numel() :], names[::every], seeds[::every])
        known = None if reference is None else reference.part(slice(None, None, every))
        return np.array([value(plant, score, known, shaping) for score in found])

    def put(point: Float64) -> None:
        moved = start + torch.from_numpy((config.unit * point).astype(np.float32))
        with torch.no_grad():
            layer.weight.copy_(moved[: shape.numel()].reshape(shape))
            layer.bias.copy_(moved[shape.numel() :])

    # One episode of each scenario is enough to say which numbers matter.
    some = _steepest(lambda x: values(x, config.episodes), start.numel(), config.directions)

    def whole(points: Float64) -> Float64:
        spread = np.zeros((*points.shape[:-1], start.numel()))
        spread[..., some] = points
        return spread

    def say(iteration: int, found: float, point: Float64) -> None:
        put(whole(point))
        keep(iteration, found)

    put(whole(climb(lambda x: values(whole(x)), len(some), iterations=config.iterations, say=say)))


def _steepest(values: Callable[[Float64], Float64], n: int, count: int, difference: float = 0.05) -> Any:
    """The numbers whose change changes the value most."""
    if count >= n:
        return np.arange(n)
    found = values(np.vstack([np.zeros(n), difference * np.eye(n)]))
    return np.sort(np.argsort(-np.abs(np.nan_to_num(found[1:] - found[0])))[:count])


def _scores(
    plant: Plant, features: Callable[[Float32], Any], weights: Any, biases: Any, names: list[str], seeds: list[int]
) -> list[QuickScore]:
    each, scores = max(CHUNK // len(seeds), 1), []
    for first in range(0, len(weights), each):
        part = slice(first, first + each)
        heads = Heads(features, weights[part], biases[part], plant.action_space)
        count = len(weights[part])
        score = quick(plant, heads, names * count, seeds * count)
        scores += [score.part(slice(i * len(seeds), (i + 1) * len(seeds))) for i in range(count)]
    return scores


def value(plant: Plant, score: QuickScore, reference: QuickScore | None, shaping: Shaping) -> float:
    """What a candidate is worth, hundredths of the reward per step: the gain over the reference, mean over scenarios
    plus a soft minimum, less smooth prices of violations, thin margins and terms that got worse."""
    net = score.returns if reference is None else score.returns - reference.returns
    gains = np.array([100.0 * n.mean() / plant.scenarios[s].steps for s, n in score.by_scenario(net).items()])
    low = float(gains.min())
    least = low - WORST * float(np.log(np.exp(-(gains - low) / WORST).mean()))
    violating = np.mean([float((v > 0).mean()) for v in score.by_scenario(score.violations).values()])
    thin = 0.0
    for margins in worst_margins(plant, score).values():
        for constraint, buffer in shaping.buffers:
            if constraint.name in margins:
                thin += float(np.clip(1.0 - margins[constraint.name] / buffer, 0.0, 3.0)) ** 2
    worse = 0.0 if reference is None else _worse(plant, score, reference)
    return float(gains.mean()) + least - VIOLATING * float(violating) - THIN * thin - WORSE * worse


def _worse(plant: Plant, score: QuickScore, reference: QuickScore) -> float:
    """Over all terms and scenarios: how far each came beyond ``EARLY`` of its margin, in margins, squared."""
    total = 0.0
    for deltas in score.by_scenario(score.terms - reference.terms).values():
        for term, delta in zip(objective(plant), deltas.mean(axis=1), strict=True):
            if term.weight:
                total += float(np.clip(delta / max(term.margin, 1e-9) + 1.0 - EARLY, 0.0, 10.0)) ** 2
    return total
