"""``worth``: what a policy's windows are worth, on torch tensors with gradients; as ``gate5.train.ascent.value``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gate5.control.closed_loop import QuickScore
from gate5.plant.base import Constraint, Plant, objective
from gate5.train.ascent import WORST
from gate5.train.vec_env import Shaping
from gate5.train.windows import Windows

THIN = 1.0  # price of a margin at its limit
WORSE, EARLY = 1.0, 0.3  # price of a term at the margin of no inferiority, and where in the margin it begins
_FAR = 1e3  # margins, in buffers, where a constraint does not apply


class Tally:
    """Sums of windows' steps.

    Attributes:
        returns, terms: sums over the steps that count, ``[W]`` and ``[terms, W]``.
        nearest: smallest margin of each constraint, in its buffer, ``[constraints, W]``.
    """

    def __init__(self, plant: Plant, shaping: Shaping, windows: Windows) -> None:
        import torch

        self._torch: Any = torch
        self._declared, self._buffers = objective(plant), shaping.buffers
        self._live = torch.from_numpy(windows.live)
        self.episode = torch.from_numpy(windows.episode)
        count = windows.live.shape[1]
        self.returns = torch.zeros(count, dtype=torch.float64)
        self.terms = torch.zeros((len(self._declared), count), dtype=torch.float64)
        self.nearest = torch.full((len(self._buffers), count), _FAR, dtype=torch.float64)

    def add(self, k: int, values: dict[str, Any]) -> None:
        """The variables after step ``k``."""
        torch, live = self._torch, self._live[k]
        self.returns = self.returns + torch.where(live, values["reward"], 0.0)
        shown = torch.stack([values[term.variable] for term in self._declared])
        self.terms = self.terms + torch.where(live, shown, 0.0)
        margins = []
        for constraint, buffer in self._buffers:
            margin = self._margin(constraint, values[constraint.variable]) / buffer
            applies = live if constraint.applies is None else live & (values[constraint.applies] != 0.0)
            margins.append(torch.where(applies, margin, _FAR))
        self.nearest = torch.minimum(self.nearest, torch.stack(margins))

    def by_episode(self, values: Any, count: int) -> Any:
        """Sums over the windows of each episode, ``[.., episodes]``."""
        whole = values.new_zeros((*values.shape[:-1], count))
        return whole.index_add(-1, self.episode, values)

    def _margin(self, constraint: Constraint, value: Any) -> Any:
        sides = [] if constraint.low is None else [value - constraint.low]
        sides += [] if constraint.high is None else [constraint.high - value]
        return sides[0] if len(sides) == 1 else self._torch.minimum(*sides)


def worth(plant: Plant, tally: Tally, names: Sequence[str], reference: QuickScore | None) -> Any:
    """Hundredths of the reward per step: the gain over the reference, mean over scenarios plus a soft minimum, less
    squared prices of margins thinner than their buffers and of terms that come near their margin of no inferiority.

    Unlike the ascent's, a margin's price has no upper end and is paid in every window, so that each has a slope.

    Args:
        names: each episode's scenario.
        reference: of the baseline on the same episodes.
    """
    import torch

    steps = torch.tensor([float(plant.scenarios[name].steps) for name in names], dtype=torch.float64)
    returns, terms = tally.by_episode(tally.returns, len(names)), tally.by_episode(tally.terms, len(names)) / steps
    if reference is not None:
        returns = returns - torch.from_numpy(reference.returns)
        terms = terms - torch.from_numpy(reference.terms)
    of_scenario = [torch.from_numpy(np.array(names) == name) for name in dict.fromkeys(names)]
    gains = torch.stack([(100.0 * returns / steps)[mine].mean() for mine in of_scenario])
    low = gains.detach().min()
    least = low - WORST * torch.log(torch.exp(-(gains - low) / WORST).mean())
    thin = ((1.0 - tally.nearest).clamp(min=0.0) ** 2).sum() * (len(of_scenario) / len(names))
    price = THIN * thin
    if reference is not None:
        for mine in of_scenario:
            for term, delta in zip(objective(plant), terms[:, mine].mean(1), strict=True):
                by = (-delta if term.reported_only else delta) / max(term.margin, 1e-9)
                price = price + WORSE * ((by - EARLY) / (1.0 - EARLY)).clamp(min=0.0) ** 2
    return gains.mean() + least - price
