"""Windows of episodes: where a rollout stood every so many steps, so that each window can be driven with gradients.

A rollout of whole episodes in NumPy is cheap; a gradient through all of their steps, one after the other, is not. Cut
into windows that begin where the rollout stood, all of them are driven side by side (truncated back-propagation through
time: Williams and Peng, Neural Computation 2, 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gate5.errors import PlantError
from gate5.plant.base import Bool, Controller, Float32, Float64


class Differentiable(Protocol):
    """A plant on torch tensors; what ``plant.differentiable()`` returns (``gate5.plant.sco2.torch_plant``)."""

    @property
    def memory(self) -> list[Any]:
        """The states as they now stand, tensors ``[.., W]``."""
        ...

    @property
    def past(self) -> tuple[Any, ...]:
        """What the observer remembers."""
        ...

    def begin(self, memory: Sequence[Any], past: Sequence[Any], condition: Any, inputs: Any) -> None:
        """Take up windows."""
        ...

    def step(self, wanted: Any, inputs: Any) -> dict[str, Any]:
        """The variables one control step later, and ``reward`` and ``valid``."""
        ...

    def rows(self, values: dict[str, Any]) -> Any:
        """What sensors would show of them, ``[n, W]``."""
        ...

    def observe(self, rows: Any) -> Any:
        """The observation that the observer makes of readings."""
        ...


@dataclass(frozen=True)
class Windows:
    """``W`` windows of ``H`` steps.

    Attributes:
        episode, first: of each window, its place among the episodes and its first step, ``[W]``.
        start: where each began: the plant's memory, the observer's past, and ``[n, W]`` what the lags have let through,
            the last readings, and what the controller saw.
        condition, inputs: components ``[c, W]`` and inputs ``[H + 1, i, W]``.
        added: what the instruments put on the readings of each step, ``[H, n, W]``.
        share, late: of its way that a lag goes in a step ``[n, W]``; whether the controller sees a period late ``[W]``.
        live: which steps count, ``[H, W]``.
        rewards: of the rollout, ``[H, W]``.
    """

    episode: NDArray[np.intp]
    first: NDArray[np.intp]
    start: list[Float64]
    condition: Float64
    inputs: Float64
    added: Float64
    share: Float64
    late: Bool
    live: Bool
    rewards: Float64


def record(plant: Any, controller: Controller, names: Sequence[str], seeds: Sequence[int], length: int) -> Windows:
    """Drive whole episodes and cut them into windows.

    Args:
        plant: a ``PerturbedPlant``, none of whose episodes is more than one period late.
        controller: drives; it has no past.
        names, seeds: of the episodes; those of one length run in one batch, of at least two.
        length: steps of a window.
    """
    steps = np.array([plant.scenarios[name].steps for name in names])
    parts = []
    for n in np.unique(steps):
        places = np.flatnonzero(steps == n)
        some = places.tolist()
        parts += _drive(plant, controller, [names[i] for i in some], [seeds[i] for i in some], places, length)
    fields = [name for name in Windows.__dataclass_fields__ if name != "start"]
    joined = {name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in fields}
    start = [np.concatenate(rows, axis=-1) for rows in zip(*(part.start for part in parts), strict=True)]
    return Windows(start=start, **joined)


def _drive(
    plant: Any,
    controller: Controller,
    names: Sequence[str],
    seeds: Sequence[int],
    places: NDArray[np.intp],
    length: int,
) -> list[Windows]:
    obs = plant.reset_mixed(names, seeds)
    total, count = plant.scenarios[names[0]].steps, len(names)
    added, rewards = np.zeros((total, obs.shape[1], count)), np.zeros((total, count))
    live = np.ones((total + 1, count), dtype=np.bool_)
    starts = []
    for k in range(total):
        if k % length == 0:
            starts.append(_start(plant, obs))
        step = plant.step(controller.predict(obs)[0])
        rewards[k], added[k] = step.reward, plant.readings.added
        obs, live[k + 1] = step.obs, live[k] & ~(step.terminated | step.truncated)
    standing, (_, delay) = plant.standing
    if delay.max() > 1:
        raise PlantError(f"An episode is {delay.max()} periods late: gradients are known for one period at most.")
    windows = []
    for i, start in enumerate(starts):
        at = i * length + np.arange(length + 1)
        inside, shown = at[:-1] < total, np.minimum(at[:-1], total - 1)
        windows.append(
            Windows(
                episode=places, first=np.full(count, i * length), start=start, condition=standing.condition,
                inputs=standing.inputs[:, np.minimum(at, total)].transpose(1, 2, 0), added=added[shown],
                share=plant.readings.share, late=delay > 0, live=live[shown] & inside[:, None], rewards=rewards[shown],
            )
        )  # fmt: skip
    return windows


def _start(plant: Any, seen: Float32) -> list[Float64]:
    instruments, (standing, (readings, _)) = plant.readings, plant.standing
    rows = [*standing.memory, *instruments.past, instruments.slow, readings.T, seen.T]
    return [np.array(row, dtype=np.float64) for row in rows]


class Loop:
    """Windows on torch tensors: the plant, its instruments, and their lateness; float64 throughout."""

    def __init__(self, plant: Differentiable, windows: Windows, start: Sequence[Any]) -> None:
        import torch

        self._torch: Any = torch
        self.plant, self.steps = plant, windows.live.shape[0]
        self._inputs, self._added, self._share, self._late, condition = (
            torch.from_numpy(np.ascontiguousarray(values))
            for values in (windows.inputs, windows.added, windows.share, windows.late, windows.condition)
        )
        *known, self._slow, self._readings, self.seen = start
        past = len(known) - _PAST
        plant.begin(known[:past], known[past:], condition, self._inputs[0])

    def step(self, k: int, action: Any) -> dict[str, Any]:
        """The variables after step ``k``; ``seen`` is then the next observation ``[n, W]``."""
        values = self.plant.step(action, self._inputs[k + 1])
        self._slow = self._slow + self._share * (self.plant.rows(values) - self._slow)
        readings = self.plant.observe(self._slow + self._added[k])
        self.seen = self._torch.where(self._late, self._readings, readings)
        self._readings = readings
        return values

    @property
    def end(self) -> list[Any]:
        """Where the windows now stand, as ``Windows.start``."""
        return [*self.plant.memory, *self.plant.past, self._slow, self._readings, self.seen]


_PAST = 3  # arrays of an observer's past
