"""Gymnasium's spaces as flat rows of numbers, in the order in which Stable-Baselines3 sees them.

A ``Dict`` is its keys one after the other; an image of bytes with the channels last is turned to channels first, as
``VecTransposeImage`` does it; what is chosen is its number; a mask of allowed actions (``env.action_masks()``, where it
is asked for) comes last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gate5.errors import PlantError
from gate5.plant.base import Box, Float32

_NAMED = 256


class FlatSpaces:
    """Makes rows of an environment's observations and actions of rows.

    Attributes:
        observation, action: bounds, one pair per number.

    Raises:
        PlantError: a space is of another kind, or the names do not fit.
    """

    def __init__(self, env: Any, env_id: str, names: tuple[str, ...], masks: bool) -> None:
        self._observation_space, self._action_space = env.observation_space, env.action_space
        self._masked = masks
        if masks and not callable(getattr(env.unwrapped, "action_masks", None)):
            raise PlantError(f"The environment {env_id} has no action_masks(): remove plant.options.action_masks.")
        low, high = _bounds(self._observation_space, f"observation space of {env_id}")
        if self._masked:
            size = len(np.asarray(_choices(self._action_space), dtype=bool))
            low, high = np.concatenate([low, np.zeros(size)]), np.concatenate([high, np.ones(size)])
        if names and len(names) != len(low):
            raise PlantError(
                f"observation_names has {len(names)} names, but the observation space of {env_id} has {len(low)} "
                "components."
            )
        self.observation = _box(low, high, names, "obs")
        self.action = _box(*_bounds(self._action_space, f"action space of {env_id}"), (), "action")

    def row(self, env: Any, observation: Any) -> Any:
        """An observation as float64 ``[n]``, with the mask behind it."""
        parts = [_flat(self._observation_space, observation)]
        if self._masked:
            parts.append(np.asarray(env.unwrapped.action_masks(), dtype=np.float64).reshape(-1))
        return np.concatenate(parts)

    def command(self, row: Float32) -> Any:
        """An action as the environment takes it."""
        from gymnasium import spaces

        space = self._action_space
        if isinstance(space, spaces.Box):
            return row.reshape(space.shape)
        whole = np.round(row).astype(np.int64)
        if isinstance(space, spaces.Discrete):
            return int(whole[0]) + int(space.start)
        return whole.astype(space.dtype).reshape(space.shape)


def _box(low: Any, high: Any, names: tuple[str, ...], prefix: str) -> Box:
    """Bounds with names; of very many numbers (pixels) without: they are no variables that a person looks at."""
    count = len(low)
    with np.errstate(over="ignore"):
        return Box(
            np.asarray(low, np.float32),
            np.asarray(high, np.float32),
            names or (tuple(f"{prefix}_{i}" for i in range(count)) if count <= _NAMED else ()),
        )


def _choices(space: Any) -> Any:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return np.ones(int(space.n))
    return np.ones(2 * int(np.prod(space.shape)) if isinstance(space, spaces.MultiBinary) else int(np.sum(space.nvec)))


def _bounds(space: Any, what: str) -> tuple[Any, Any]:
    from gymnasium import spaces

    if isinstance(space, spaces.Box):
        return _flat(space, space.low), _flat(space, space.high)
    if isinstance(space, spaces.Discrete):
        return np.zeros(1), np.array([float(space.n) - 1.0])
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        return np.zeros(len(space.nvec)), np.asarray(space.nvec, dtype=np.float64) - 1.0
    if isinstance(space, spaces.MultiBinary):
        size = int(np.prod(space.shape))
        return np.zeros(size), np.ones(size)
    if isinstance(space, spaces.Dict) and "action" not in what.split()[0]:
        parts = [_bounds(part, what) for part in space.spaces.values()]
        return np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts])
    raise PlantError(
        f"The {what} is {space}; Box, Discrete, MultiDiscrete, MultiBinary and Dict (of observations) can be driven."
    )


def _flat(space: Any, value: Any) -> Any:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return np.concatenate([_flat(part, value[key]) for key, part in space.spaces.items()])
    array = np.asarray(value, dtype=np.float64)
    if isinstance(space, spaces.Discrete):
        return array.reshape(1) - float(space.start)
    if isinstance(space, spaces.Box) and _channels_last(space):
        array = np.transpose(array, (2, 0, 1))
    return array.reshape(-1)


def _channels_last(space: Any) -> bool:
    """What Stable-Baselines3 takes for an image with the channels last, and turns."""
    if len(space.shape) != 3 or space.dtype != np.uint8:
        return False
    smallest = int(np.argmin(space.shape))
    return smallest != 0 and bool((space.low == 0).all() and (space.high == 255).all())
