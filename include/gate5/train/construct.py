"""Tuned loops without memory written into a network's weights, exactly: where training starts.

A table is a sum of ramps ``relu(x - x_i)``, an error's two signs are two ramps, and a loop that holds only where a
switch is on is a ramp shifted out of reach while it is off. The first hidden layer makes the ramps, the second hands
them on, and the output layer weighs them: a search over the output layer then moves the loops' own numbers, and every
ramp's say in every other actuator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gate5.control.gains import Gains, LoopGains, Table
from gate5.errors import ConfigError
from gate5.plant.base import Box, Float32, Float64


@dataclass
class Ramps:
    """Ramps over an observation, and each action's weights of them.

    ``action = bias + weight @ relu(direction @ obs + offset)``
    """

    space: Box
    actions: int
    direction: list[Float64] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)
    weight: list[Float64] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bias = np.zeros(self.actions)

    def add(self, terms: Mapping[str, float], offset: float, action: int, weight: float) -> None:
        """One more ramp ``relu(sum of factor * component + offset)``."""
        direction = np.zeros(self.space.size)
        for name, factor in terms.items():
            if name not in self.space.names:
                raise ConfigError(f"A network cannot be like these loops: the observation has no {name!r}.")
            direction[self.space.names.index(name)] = factor
        if weight == 0.0:
            return
        column = np.zeros(self.actions)
        column[action] = weight
        for i, other in enumerate(self.direction):  # one ramp may have a say in several actions
            if self.offset[i] == offset and np.array_equal(other, direction):
                self.weight[i] = self.weight[i] + column
                return
        self.direction.append(direction)
        self.offset.append(offset)
        self.weight.append(column)

    def features(self, obs: Float32) -> Float64:
        """The ramps' heights, ``[B, ramps]``."""
        heights = np.asarray(obs, dtype=np.float64) @ np.stack(self.direction).T + np.array(self.offset)
        return np.asarray(np.maximum(heights, 0.0))


def ramps_of(gains: Gains, space: Box, actions: Box, errors: Mapping[str, str], rates: Mapping[str, str]) -> Ramps:
    """The loops as ramps.

    Args:
        gains: loops without integral terms, added (``gate5.control.memoryless``).
        space, actions: the plant's.
        errors, rates: measurement to the component that is its error, and to the one that is its filtered slope.

    Raises:
        ConfigError: a loop remembers, or needs a component that the observation does not have.
    """
    ramps = Ramps(space, actions.size)
    for channel in gains.channels:
        k = actions.names.index(channel.action)
        ramps.bias[k] += channel.bias
        for table in channel.feedforward:
            _table(ramps, table, k)
        for loop in channel.loops:
            if loop.ki != 0.0 or loop.select != "add":
                raise ConfigError("A network cannot be like loops that remember: give loops without integral terms.")
            _loop(ramps, loop, k, errors, rates)
    return ramps


def _table(ramps: Ramps, table: Table, action: int) -> None:
    """A table as ramps away from the middle of what is seen.

    From the middle and not from one end: near the middle all ramps are small, and so is what FP16 rounds of their sum.
    """
    points = table.points
    where = ramps.space.names.index(table.observation) if table.observation in ramps.space.names else 0
    middle = 0.5 * (float(ramps.space.low[where]) + float(ramps.space.high[where]))
    x, y = np.array(points, np.float64).T
    slopes = np.concatenate([[0.0], np.diff(y) / np.diff(x), [0.0]])  # constant outside of the points
    ramps.bias[action] += float(np.interp(middle, x, y))
    before = after = float(slopes[np.searchsorted(x, middle)])
    if after:
        ramps.add({table.observation: 1.0}, -middle, action, after)
        ramps.add({table.observation: -1.0}, middle, action, -before)
    for knot in np.flatnonzero(x >= middle):
        ramps.add({table.observation: 1.0}, -x[knot], action, float(slopes[knot + 1] - slopes[knot]))
    for knot in np.flatnonzero(x < middle):
        ramps.add({table.observation: -1.0}, x[knot], action, float(slopes[knot + 1] - slopes[knot]))


def _loop(ramps: Ramps, loop: LoopGains, action: int, errors: Mapping[str, str], rates: Mapping[str, str]) -> None:
    gate: dict[str, float] = {}
    for switch in loop.schedule:  # only a switch: nothing while it is 0, the loop as it is while it is 1
        if switch.points != ((0.0, 0.0), (1.0, 1.0)):
            raise ConfigError("A network cannot be like a loop with a schedule other than a switch.")
        gate[switch.observation] = 1.0
    for sign in (1.0, -1.0):
        if isinstance(loop.setpoint, str):
            name, offset, along = errors[loop.measurement], 0.0, sign
        else:
            name, offset, along = loop.measurement, sign * float(loop.setpoint), -sign
        reach = 2.0 * max(abs(float(v[ramps.space.names.index(name)])) for v in (ramps.space.low, ramps.space.high))
        shifted = offset - reach * len(gate)
        ramps.add({name: along, **dict.fromkeys(gate, reach)}, shifted, action, sign * loop.kp)
        if loop.kd:
            ramps.add({rates[loop.measurement]: sign}, 0.0, action, -sign * loop.kd)


def write_into(model: Any, normaliser: Any, ramps: Ramps, seen: Float32) -> None:
    """Set a network of two hidden ReLU layers, and the normaliser before it, so that it is the ramps' function.

    Args:
        model: of Stable-Baselines3, both hidden layers at least as wide as there are ramps.
        normaliser: its ``VecNormalize``; nothing that a sensor can show reaches its clip.
        ramps: the function.
        seen: observations, for the size of each ramp: the output layer's weights are then of one size, too.

    Raises:
        ConfigError: there are more ramps than units.
    """
    import torch

    low, high = ramps.space.low.astype(np.float64), ramps.space.high.astype(np.float64)
    middle, scale = 0.5 * (low + high), (high - low) / 16.0
    normaliser.obs_rms.mean, normaliser.obs_rms.var, normaliser.obs_rms.count = middle, scale**2, 1e12
    count = len(ramps.direction)
    direction, offset = np.stack(ramps.direction), np.array(ramps.offset)
    # A ramp that no observation here has reached is as high as the normaliser's unit makes it: divided by the nothing
    # that was seen of it, its weights would be more than FP16 can hold.
    unit = np.abs(direction * scale).max(axis=1)
    size = np.maximum(np.sqrt((ramps.features(seen) ** 2).mean(axis=0)), unit)
    direction, offset = direction / size[:, None], offset / size
    first, second = (layer for layer in model.policy.mlp_extractor.policy_net if hasattr(layer, "weight"))
    if min(first.out_features, second.out_features) < count:
        raise ConfigError(f"The loops make {count} ramps: give ppo.hidden two layers of at least that many units.")
    out = model.policy.action_net
    with torch.no_grad():
        first.weight[:count] = torch.as_tensor(direction * np.sqrt(scale**2 + normaliser.epsilon))
        first.bias[:count] = torch.as_tensor(offset + direction @ middle)
        second.weight[:count] = 0.0
        second.weight[:count, :count] = torch.eye(count)
        second.bias[:count] = 0.0
        out.weight.zero_()
        out.weight[:, :count] = torch.as_tensor(np.stack(ramps.weight, axis=1) * size)
        out.bias[:] = torch.as_tensor(ramps.bias)
