"""``PIDBaseline``: the loops of a whole plant; ``PIDController``: one loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gate5.control.channel import Channel
from gate5.control.controller import PIDController
from gate5.control.gains import Gains, parse_gains
from gate5.errors import ConfigError
from gate5.plant.base import Float32

__all__ = ["PIDBaseline", "PIDController"]


class PIDBaseline:
    """A PID controller for a whole plant: a ``Controller`` that reads names out of the raw observation.

    Args:
        gains: the loops (see ``gate5.control.gains``).
        observation_names: names of the observation's components, in order.
        action_low, action_high: the plant's action bounds, ``[act_dim]``.
        action_names: names of the action's components; empty: channels name them by index.

    Raises:
        ConfigError: the gains name an observation or action that the plant does not have, or leave an action out.
    """

    def __init__(
        self,
        gains: Gains,
        observation_names: Sequence[str],
        action_low: ArrayLike,
        action_high: ArrayLike,
        action_names: Sequence[str] = (),
    ) -> None:
        self.gains = gains
        self.action_low = np.atleast_1d(np.asarray(action_low, dtype=np.float64))
        self.action_high = np.atleast_1d(np.asarray(action_high, dtype=np.float64))
        self._names = list(observation_names)
        order = [_action_index(c.action, action_names, len(self.action_low)) for c in gains.channels]
        if sorted(order) != list(range(len(self.action_low))):
            raise ConfigError(
                f"The PID gains must drive each of the plant's {len(self.action_low)} actions once, "
                f"but their channels are {[c.action for c in gains.channels]}."
            )
        self.channels = [
            Channel(channel, index, gains.dt_s, self._names, self.action_low[index], self.action_high[index])
            for channel, index in zip(gains.channels, order, strict=True)
        ]
        self.reset()

    @classmethod
    def from_gains(
        cls,
        gains: Mapping[str, Any] | Gains,
        observation_names: Sequence[str],
        action_low: ArrayLike,
        action_high: ArrayLike,
        action_names: Sequence[str] = (),
    ) -> PIDBaseline:
        """Make a baseline from gains as plain data."""
        parsed = gains if isinstance(gains, Gains) else parse_gains(dict(gains))
        return cls(parsed, observation_names, action_low, action_high, action_names)

    def reset(self, batch: int = 1) -> None:
        """Forget the past; ``batch`` episodes start."""
        for channel in self.channels:
            channel.reset(batch)

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions float32 ``[B, act_dim]`` for raw observations ``[B, obs_dim]``; ``B`` may be missing."""
        action = self.propose(obs)
        self.track(action)
        return action, None

    def propose(self, obs: Float32) -> Float32:
        """The action that ``predict`` would give, without moving the integrals: ``track`` has to follow."""
        values = np.asarray(obs, dtype=np.float64)
        columns = np.atleast_2d(values)
        if columns.shape[-1] != len(self._names):
            raise ConfigError(
                f"An observation has {columns.shape[-1]} components, but the PID gains are for {len(self._names)}."
            )
        action = np.empty((columns.shape[0], len(self.action_low)))
        for channel in self.channels:
            action[:, channel.index] = channel.propose(columns)
        return action.reshape(*values.shape[:-1], -1).astype(np.float32)

    def track(self, action: Float32) -> None:
        """Say which actions the plant received; they may be another controller's (imitation learning)."""
        applied = np.atleast_2d(np.asarray(action, dtype=np.float64))
        for channel in self.channels:
            channel.track(applied[:, channel.index])


def _action_index(name: str, names: Sequence[str], size: int) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdigit() and int(name) < size:
        return int(name)
    known = ", ".join(names) if names else f"0 to {size - 1}"
    raise ConfigError(f"The PID gains drive the action {name!r}, which the plant does not have: use one of {known}.")
