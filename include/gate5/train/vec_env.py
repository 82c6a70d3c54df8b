"""``plant_vec_env``: a plant as a Stable-Baselines3 ``VecEnv`` whose episodes run through all scenarios."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gate5.errors import PlantError
from gate5.plant.base import Bool, Constraint, Float32, Float64, Plant


class MixedPlant(Plant, Protocol):
    """A plant whose batch may hold episodes of different scenarios, each restarted by itself."""

    def reset_mixed(self, scenarios: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start one episode per pair of scenario and seed, all state made anew (a shallow copy is a second plant)."""
        ...

    def reset_some(self, indices: NDArray[np.int64], scenarios: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Restart the episodes at ``indices``; returns their first observations."""
        ...


def mixed(plant: Plant) -> MixedPlant:
    """``plant`` if it can mix scenarios in one batch.

    Raises:
        PlantError: it cannot, so that a policy cannot be trained on it here.
    """
    for method in ("reset_mixed", "reset_some"):
        if not hasattr(plant, method):
            raise PlantError(f"The plant {plant.name} has no {method}(), which training needs to mix its scenarios.")
    return plant  # type: ignore[return-value]


class Shaping:
    """What training adds to the plant's reward: a cost that grows inside a buffer before each limit.

    The plant's own reward knows only its end; a policy that is to keep every limit must feel them earlier. The cost
    of a constraint is ``weight * max(0, 1 - margin / buffer)``, at most four times the
    weight, with a buffer per unit of its variable.

    Args:
        constraints: the plant's.
        buffers: distance from the limit, by unit (``C``: 0.3), at which the cost begins; other units: 5 % of the
            limit's magnitude.
        weight: the cost at the limit itself.
    """

    def __init__(
        self,
        constraints: Sequence[Constraint],
        buffers: Mapping[str, float],
        weight: float,
    ) -> None:
        self.weight = weight
        self.buffers = [(c, buffers.get(c.name, buffers.get(c.unit, self._default(c)))) for c in constraints]

    def cost(self, variables: Mapping[str, Float64]) -> Float64:
        """The cost of each episode's step, ``[B]``."""
        total: Any = 0.0
        for constraint, buffer in self.buffers:
            margin = constraint.margin(variables[constraint.variable])
            part = np.clip(1.0 - margin / buffer, 0.0, 4.0)
            if constraint.applies is not None:
                part = part * (variables[constraint.applies] != 0.0)
            total = total + np.nan_to_num(part, nan=4.0)
        return np.asarray(self.weight * total, dtype=np.float64)

    @staticmethod
    def _default(constraint: Constraint) -> float:
        limits = [abs(v) for v in (constraint.low, constraint.high) if v]
        return max(0.05 * max(limits, default=1.0), 1e-9)


class Curriculum:
    """Draws the next episode's scenario and seed; every scenario keeps its share to the end, so none is forgotten.

    Shares are by time, not by episodes: a scenario nine times as long is drawn a ninth as often, then weighted.
    """

    def __init__(self, plant: Plant, seed: int, first: int, weights: Mapping[str, float] | None = None) -> None:
        self.names = list(plant.scenarios)
        share = np.array([(weights or {}).get(n, 1.0) / plant.scenarios[n].steps for n in self.names])
        self._share = share / share.sum()
        self._random = np.random.default_rng(seed)
        self._next = first

    def draw(self, count: int) -> tuple[list[str], list[int]]:
        """Scenarios and fresh seeds of ``count`` episodes."""
        picked = self._random.choice(len(self.names), size=count, p=self._share)
        seeds = [self._next + i for i in range(count)]
        self._next += count
        return [self.names[i] for i in picked], seeds


class Episodes:
    """A batch of episodes that goes on for ever: one that ends is restarted with the curriculum's next scenario.

    Args:
        plant: stepped as a copy, because validation drives the caller's between two rollouts.
        shaping: what the reward is lowered by; ``None``: nothing.

    Attributes:
        scenarios: of the episodes that are under way.
    """

    def __init__(self, plant: Plant, curriculum: Curriculum, count: int, shaping: Shaping | None) -> None:
        self.plant = copy.copy(mixed(plant))
        self.count, self._curriculum, self._shaping = count, curriculum, shaping
        self.scenarios: list[str] = []
        self._returns, self._lengths = np.zeros(count), np.zeros(count, dtype=np.int64)

    def reset(self) -> Float32:
        """Start all of them; observations ``[B, obs_dim]``."""
        self.scenarios, seeds = self._curriculum.draw(self.count)
        self._returns[:], self._lengths[:] = 0.0, 0
        return self.plant.reset_mixed(self.scenarios, seeds)

    def step(self, actions: Float32) -> tuple[Float32, Float32, Bool, list[dict[str, Any]]]:
        """Observations, rewards, which ended, and Stable-Baselines3's facts about those that did."""
        step = self.plant.step(actions)
        reward = step.reward if self._shaping is None else step.reward - self._shaping.cost(step.variables)
        self._returns += step.reward
        self._lengths += 1
        done = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.count)]
        obs = step.obs
        if done.any():
            obs = obs.copy()
            self._restart(np.flatnonzero(done), obs, step.terminated, infos)
        return obs, reward.astype(np.float32), done, infos

    def _restart(self, ended: NDArray[np.int64], obs: Float32, fatal: Bool, infos: list[dict[str, Any]]) -> None:
        for i in ended:
            infos[i] = {
                "terminal_observation": obs[i].copy(),
                "TimeLimit.truncated": not bool(fatal[i]),
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": 0.0},
                "scenario": self.scenarios[i],
            }
        names, seeds = self._curriculum.draw(len(ended))
        obs[ended] = self.plant.reset_some(ended, names, seeds)
        for i, name in zip(ended, names, strict=True):
            self.scenarios[i] = name
        self._returns[ended], self._lengths[ended] = 0.0, 0


def plant_vec_env(plant: Plant, curriculum: Curriculum, envs: int, shaping: Shaping | None = None) -> Any:
    """A ``stable_baselines3`` ``VecEnv`` of ``envs`` episodes, stepped all at once; ``episodes`` are those.

    Raises:
        PlantError: the plant cannot mix scenarios in one batch.
    """
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import VecEnv

    class PlantVecEnv(VecEnv):
        def __init__(self, episodes: Episodes) -> None:
            self.episodes = episodes
            box, actions = episodes.plant.observation_space, episodes.plant.action_space
            super().__init__(
                episodes.count,
                spaces.Box(box.low, box.high, dtype=np.float32),
                spaces.Box(actions.low, actions.high, dtype=np.float32),
            )

        def reset(self) -> Float32:
            return self.episodes.reset()

        def step_async(self, actions: Float32) -> None:
            self._actions = actions

        def step_wait(self) -> tuple[Float32, Float32, Bool, list[dict[str, Any]]]:
            return self.episodes.step(self._actions)

        def close(self) -> None:
            """There is nothing to close."""

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            if attr_name == "render_mode":
                return [None for _ in self._get_indices(indices)]
            return [getattr(self.episodes.plant, attr_name) for _ in self._get_indices(indices)]

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise NotImplementedError("A plant's attributes are set when it is made.")

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            return [getattr(self.episodes.plant, method_name)(*args, **kwargs)]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False for _ in self._get_indices(indices)]

    return PlantVecEnv(Episodes(plant, curriculum, envs, shaping))
