"""``bear_half``: weights of which half precision takes little, of a policy that does what it did.

An engine in FP16 rounds every value between two layers to 11 bits. Where large values cancel, an action moves by much
more than its own last bit. Many weights make the same function, so that this can be trained away, as in
quantisation-aware training (Jacob and others, Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, CVPR 2018): the policy learns its own actions on what it sees in disturbed episodes,
at a price of what rounding does to them all over the observation space. In the end the weights are rounded, so that the
engine's are the policy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.control.closed_loop import pairs
from gate5.plant.base import Float64
from gate5.seeds import seeds_of
from gate5.train.actor import Actor
from gate5.train.schedule import fall
from gate5.train.windows import record

LAST = 0.02  # of the learning rate, at the end
#: What an action may be off and hardly count, in its own unit.
SAME = 1e-3
#: An action this far outside of its space is clipped whatever rounding does to it.
BEYOND = 0.1


@dataclass(frozen=True)
class HalfConfig:
    """How it is done.

    Attributes:
        steps: of Adam; 0: none.
        episodes: of each scenario, disturbed as in training, whose observations the policy's actions are kept on.
        stride: control steps between two of these observations.
        batch, probes: observations in a step: of those, and of the space's interior and of its corners each.
        bearable: what costs nothing: root of the sum of squares over all rounded values of what each contributes to an
            action. Times 2**-11, half precision's rounding, it is about the largest error.
        price: of the square of what is beyond, against the mean square of the actions' changes in thousandths.
        learning_rate: at the start; it falls along a cosine.
    """

    steps: int = 4000
    episodes: int = 16
    stride: int = 5
    batch: int = 512
    probes: int = 256
    bearable: float = 6.0
    price: float = 1000.0
    learning_rate: float = 1e-3
    seed: int = seeds_of("search", 4).start


def bear_half(plant: Any, space: Any, policy: Any, normaliser: Any, config: HalfConfig) -> dict[str, list[float]]:
    """Move a policy's weights.

    Args:
        plant: disturbed as in training, a ``PerturbedPlant``.
        space: the observation space.
        policy, normaliser: of Stable-Baselines3, on the CPU; the policy's weights change.

    Returns:
        ``before``, ``after``: for each action what rounding does to it at most, as ``HalfConfig.bearable``, on probes
        that training does not see.
    """
    import torch

    actor = Actor(policy, normaliser)
    seen = np.ascontiguousarray(_seen(plant, actor, config).T)
    actor.scale_to(seen)
    inputs = torch.from_numpy(seen)
    with torch.no_grad():
        wanted = actor.act(inputs.T).T
    random, chosen = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed % 2**31)
    held_out = probes(space, 4000, np.random.default_rng(config.seed + 1))
    before = worst(actor, held_out)
    optimiser: Any = torch.optim.Adam(actor.steps, lr=config.learning_rate, betas=(0.9, 0.98))
    for step in range(config.steps):
        batch = torch.randint(len(inputs), (config.batch,), generator=chosen)
        moved = actor.clipped(actor.act(inputs[batch].T).T, BEYOND) - actor.clipped(wanted[batch], BEYOND)
        cost = ((moved / SAME) ** 2).mean() + config.price * _price(actor, probes(space, config.probes, random), config)
        optimiser.zero_grad()
        torch.autograd.backward(cost, inputs=actor.steps)
        fall(optimiser, config.learning_rate, step / config.steps, LAST)
        optimiser.step()
        actor.take()
    actor.round_to_half()
    return {"before": before, "after": worst(actor, held_out)}


def probes(space: Any, count: int, random: np.random.Generator) -> Float64:
    """``count`` observations of the space's interior, and as many of its corners, ``[2 count, n]``."""
    low, high = np.asarray(space.low, dtype=np.float64), np.asarray(space.high, dtype=np.float64)
    inside = low + (high - low) * random.random((count, low.size))
    return np.concatenate([inside, np.where(random.random((count, low.size)) < 0.5, low, high)])


def worst(actor: Actor, obs: Float64) -> list[float]:
    """For each action what rounding does to it at most, where it is not clipped."""
    spread, action = actor.rounding(obs)
    counted = np.where(actor.within(action).numpy(), spread.detach().numpy(), 0.0)
    return [float(value) for value in counted.max(axis=0)]


def _price(actor: Actor, obs: Float64, config: HalfConfig) -> Any:
    spread, action = actor.rounding(obs)
    counted = actor.within(action).to(spread)
    beyond = (spread / config.bearable - 1.0).clamp(min=0.0) ** 2
    return ((beyond * counted).sum(0) / counted.sum(0).clamp(min=1.0)).sum()


def _seen(plant: Any, actor: Actor, config: HalfConfig) -> Float64:
    """Observations of disturbed episodes, ``[n, N]``."""
    return record(plant, actor, *pairs(plant, config.episodes, config.seed), config.stride).start[-1]
