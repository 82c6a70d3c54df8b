"""``GradientAscent``: exact gradients through the plant move all of the policy's weights.

Back-propagation through time on the plant's own equations (``gate5.plant.sco2.torch_plant``), as in Xu and others,
Accelerated Policy Learning with Parallel Differentiable Simulation, ICLR 2022. Episodes are cut into windows that are
driven side by side; where a window ends, the gradient that its successor had at its start the last time these episodes
were driven goes on backwards (the costate of optimal control), so that a cause has its effect beyond its window.

What is made large is that of ``gate5.train.ascent``: the gain over the baseline and its soft minimum over the
scenarios, less squared prices of thin margins and of terms that come near the margin of non-inferiority.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.control.closed_loop import QuickScore, pairs, quick
from gate5.errors import PlantError
from gate5.plant.base import Controller
from gate5.plant.perturbed import PerturbedPlant
from gate5.seeds import seeds_of
from gate5.train.actor import Actor
from gate5.train.schedule import fall
from gate5.train.vec_env import Shaping
from gate5.train.windows import Differentiable, Loop, Windows, record
from gate5.train.worth import Tally, worth

LAST = 0.05  # of the learning rate, at the end
CLIP, RECENT = 2.0, 30  # a gradient is cut to so many times the median norm of so many before it


@dataclass(frozen=True)
class GradientConfig:
    """How it is done.

    Attributes:
        iterations: steps of Adam; 0: none.
        episodes: of each scenario in an iteration, drawn as they come.
        hardest, among: further ones of each scenario in an iteration: those of ``among`` in which the policy comes
            closest to a limit.
        sets: sets of such episodes, taken in turn; each remembers its costates.
        renew: iterations after which all sets are drawn anew.
        window: steps through which a gradient goes at once.
        learning_rate: at the start; it falls along a cosine.
        validate: iterations between two validations.
    """

    iterations: int = 0
    episodes: int = 3
    hardest: int = 1
    among: int = 48
    sets: int = 4
    renew: int = 40
    window: int = 120
    learning_rate: float = 3e-4
    validate: int = 10
    seed: int = seeds_of("search", 2).start


def differentiable(plant: Any) -> Differentiable:
    """The plant that training disturbs, on torch tensors.

    Raises:
        PlantError: it has no such form.
    """
    if not isinstance(plant, PerturbedPlant) or not hasattr(plant.plant, "differentiable"):
        raise PlantError(
            f"The plant {plant.name} has no differentiable(), which gradients need: train without --gradient."
        )
    form: Differentiable = plant.plant.differentiable()
    return form


class GradientAscent:
    """Adam on all of a policy's weights.

    Args:
        plant: disturbed as in training; the plant within has ``differentiable()``.
        policy, normaliser: of Stable-Baselines3, on the CPU.
        expert: whom gains are measured from; ``None``: from nothing.
        shaping: training's buffers before the limits.

    Raises:
        PlantError: the plant has no gradients.
    """

    def __init__(
        self,
        plant: Any,
        policy: Any,
        normaliser: Any,
        expert: Controller | None,
        shaping: Shaping,
        config: GradientConfig,
    ) -> None:
        import torch

        self._torch: Any = torch
        self._plant, self._expert, self._shaping, self._config = plant, expert, shaping, config
        self._inner = differentiable(plant)
        self._actor = Actor(policy, normaliser)
        seen = record(plant, self._actor, *pairs(plant, 2, config.seed), config.window).start[-1].T
        self._actor.scale_to(np.ascontiguousarray(seen))
        self.optimiser = torch.optim.Adam(self._actor.steps, lr=config.learning_rate, betas=(0.9, 0.98))
        self._sets: list[tuple[list[str], list[int]]] = []
        self._costates: dict[int, list[Any]] = {}
        self._known: dict[int, QuickScore] = {}
        self.norms: list[float] = []

    def iterate(self, iteration: int) -> float:
        """One step of Adam; returns what the policy was worth before it, hundredths of the reward per step."""
        torch, config = self._torch, self._config
        if iteration % config.renew == 0 or not self._sets:
            self._draw(iteration // config.renew)
        which = iteration % config.sets
        names, seeds = self._sets[which]
        if which not in self._known and self._expert is not None:
            self._known[which] = quick(self._plant, self._expert, names, seeds)
        windows = record(self._plant, self._actor, names, seeds, config.window)
        start = [torch.from_numpy(values).requires_grad_(True) for values in windows.start]
        loop = Loop(self._inner, windows, start)
        tally = Tally(self._plant, self._shaping, windows)
        for k in range(loop.steps):
            tally.add(k, loop.step(k, self._actor.act(loop.seen)))
        value = worth(self._plant, tally, names, self._known.get(which))
        costs = -value
        for after, costate in zip(loop.end, self._costates.get(which, ()), strict=False):
            costs = costs - (after * costate).sum()
        self.optimiser.zero_grad()
        torch.autograd.backward(costs, inputs=[*self._actor.steps, *start])
        self._costates[which] = _handed_on(windows, start, config.window)
        self._step(iteration)
        return float(value.detach())

    def _draw(self, time: int) -> None:
        """New sets of episodes, on seeds that no earlier ones had."""
        config, plant = self._config, self._plant
        usual, hard = config.sets * config.episodes, config.sets * config.hardest
        first = config.seed + time * (usual + config.among)
        hardest = _hardest(plant, self._actor, self._shaping, hard, *pairs(plant, config.among, first + usual))
        self._sets, self._costates, self._known = [], {}, {}
        for i in range(config.sets):
            names, seeds = pairs(plant, config.episodes, first + i * config.episodes)
            for name, found in hardest.items():
                mine = found[i :: config.sets]
                names, seeds = names + [name] * len(mine), seeds + mine
            self._sets.append((names, seeds))

    def _step(self, iteration: int) -> None:
        """One step of Adam along the cut gradient."""
        config = self._config
        norm = float(self._torch.nn.utils.clip_grad_norm_(self._actor.steps, float("inf")))
        self.norms = [*self.norms, norm][-RECENT:]
        most = CLIP * float(np.median(self.norms))
        if not np.isfinite(norm):
            return
        self._torch.nn.utils.clip_grad_norm_(self._actor.steps, most)
        fall(self.optimiser, config.learning_rate, iteration / max(config.iterations, 1), LAST)
        self.optimiser.step()
        self._actor.take()


def _hardest(
    plant: Any, controller: Controller, shaping: Shaping, count: int, names: list[str], seeds: list[int]
) -> dict[str, list[int]]:
    """By scenario: the seeds of the episodes that come closest to a limit, in units of its buffer."""
    if not count:
        return {}
    score = quick(plant, controller, names, seeds)
    buffers = np.array([buffer for _, buffer in shaping.buffers])
    closest = score.by_scenario((score.margins / buffers[:, None]).min(axis=0))
    own = score.by_scenario(np.array(seeds))
    return {name: own[name][np.argsort(m, kind="stable")[:count]].tolist() for name, m in closest.items()}


def _handed_on(windows: Windows, start: list[Any], length: int) -> list[Any]:
    """For each window, the gradient at the start of the one that follows it in its episode; zero for the last."""
    import torch

    at = {(int(e), int(f)): i for i, (e, f) in enumerate(zip(windows.episode, windows.first, strict=True))}
    follower = [at.get((int(e), int(f) + length), -1) for e, f in zip(windows.episode, windows.first, strict=True)]
    there, index = torch.tensor(follower) >= 0, torch.tensor(follower).clamp(min=0)
    gradients = [torch.zeros_like(s) if s.grad is None else torch.nan_to_num(s.grad) for s in start]
    return [torch.where(there, -g[..., index], 0.0) for g in gradients]
