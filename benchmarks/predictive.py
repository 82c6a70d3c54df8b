"""``Predictive``: a model-predictive controller that knows the plant perfectly and the future not at all.

It shoots: at every decision it drives copies of the plant from its true state with sequences of commands, everything
that acts from outside held as it is now, and moves the sequences toward the best (cross-entropy method, de Boer and
others, Annals of Operations Research 134, 2005). No plant can have it: it needs the state that no sensor shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.plant.base import Controller, Float32, Float64
from gate5.train.settings import BUFFERS
from gate5.train.vec_env import Shaping


@dataclass(frozen=True)
class Shooting:
    """How it searches.

    Attributes:
        knots: control steps at which a correction may change.
        horizon: control steps that are looked ahead.
        samples, best, rounds: sequences per round, how many make the next, rounds per decision.
        spread, least: standard deviation of a correction at first, and its smallest, in units of the action.
        every: control steps between two decisions.
    """

    knots: tuple[int, ...] = (0, 3, 9)
    horizon: int = 24
    samples: int = 24
    best: int = 5
    rounds: int = 2
    spread: float = 0.03
    least: float = 0.001
    every: int = 4
    seed: int = 0


class Predictive:
    """A ``Controller`` for a plant with ``fork``: loops without memory, and corrections on their commands.

    The corrections end with the last knot's part; the loops drive on to the horizon and show what came of it.
    No correction at all is always one of the candidates, so that in the model it is never worse than its loops.

    Args:
        plant: the one that is driven; its state is read.
        loops: makes the loops that it corrects; called anew for the copies.
        shooting: how it searches.
    """

    def __init__(self, plant: Any, loops: Callable[[], Controller], shooting: Shooting | None = None) -> None:
        self._plant, self._make, self._how = plant, loops, shooting or Shooting()
        self._loops = loops()
        self._shaping = Shaping(plant.constraints, BUFFERS, 0.3)
        self._low, self._high = plant.action_space.low, plant.action_space.high

    def reset(self, batch: int) -> None:
        """Forget the past; ``batch`` episodes start."""
        self._loops.reset(batch)
        self._random = np.random.default_rng(self._how.seed)
        self._plan: Float64 = np.zeros((batch, len(self._how.knots), self._low.size))
        self._t = 0

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """The loops' commands and the first correction of the best sequence."""
        base, _ = self._loops.predict(obs)
        if self._t % self._how.every == 0:
            self._decide(obs)
        self._t += 1
        return np.clip(base + self._plan[:, 0], self._low, self._high).astype(np.float32), None

    def _decide(self, obs: Float32) -> None:
        how, mean = self._how, self._plan
        spread = np.full(mean.shape, how.spread)
        for _ in range(how.rounds):
            noise = self._random.standard_normal((mean.shape[0], how.samples, *mean.shape[1:]))
            drawn = mean[:, None] + spread[:, None] * noise
            drawn[:, 0], drawn[:, 1] = mean, 0.0
            order = np.argsort(self._costs(obs, drawn), axis=1)[:, : how.best]
            chosen = np.take_along_axis(drawn, order[:, :, None, None], axis=1)
            mean, spread = chosen.mean(axis=1), np.maximum(chosen.std(axis=1), how.least)
            self._plan = chosen[:, 0]

    def _costs(self, obs: Float32, drawn: Float64) -> Float64:
        """What each sequence of corrections ``[batch, samples, knots, act_dim]`` costs until the horizon."""
        batch, samples = drawn.shape[:2]
        model, loops = self._plant.fork(samples), self._make()
        flat = drawn.reshape(batch * samples, *drawn.shape[2:])
        seen = np.repeat(obs, samples, axis=0)
        loops.reset(batch * samples)
        total, knot = np.zeros(batch * samples), 0
        part = self._how.knots[-1] - self._how.knots[-2]
        for t in range(self._how.horizon):
            if knot + 1 < len(self._how.knots) and t == self._how.knots[knot + 1]:
                knot += 1
            over = t >= self._how.knots[-1] + 2 * part
            wanted = loops.predict(seen)[0] + (0.0 if over else flat[:, knot])
            step = model.step(np.clip(wanted, self._low, self._high).astype(np.float32))
            total += self._shaping.cost(step.variables) - step.reward
            seen = step.obs
        return np.nan_to_num(total, nan=1e6, posinf=1e6).reshape(batch, samples)
