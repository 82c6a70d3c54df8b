"""Any Gymnasium environment as a plant: ``plant: {id: "gymnasium:Pendulum-v1"}``.

Scenarios and constraints are optional declarations in the plant's options:

    plant:
      id: gymnasium:Pendulum-v1
      options:
        dt_s: 0.05
        observation_names: [cos, sin, rate]
        constraints:
          - {name: rate, variable: rate, low: -8.5, high: 8.5, unit: rad/s}
        scenarios:
          swing_up: {steps: 200}
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from gate5.errors import PlantError
from gate5.plant.base import Box, Constraint, Float32, Float64, Scenario, Step, Variable
from gate5.plant.declared import ConstraintOptions, Declaration, declared_constraints, parse_options
from gate5.plant.gymnasium_spaces import FlatSpaces


class ScenarioOptions(Declaration):
    """A scenario of a Gymnasium plant; ``reset_options`` go to ``env.reset(options=...)``."""

    steps: int | None = Field(None, ge=1)
    title: str = ""
    description: str = ""
    reset_options: dict[str, Any] = Field(default_factory=dict)


class GymnasiumOptions(Declaration):
    """The options of a ``gymnasium:`` plant."""

    kwargs: dict[str, Any] = Field(default_factory=dict, description="of gymnasium.make")
    steps: int | None = Field(None, ge=1, description="episode length; null: the environment's max_episode_steps")
    dt_s: float = Field(1.0, gt=0, description="what one step means in seconds")
    observation_names: tuple[str, ...] = ()
    action_masks: bool = Field(False, description="the observation ends with env.action_masks(), for MaskablePPO")
    info_variables: tuple[str, ...] = Field((), description="keys of `info` that are variables, too")
    constraints: tuple[ConstraintOptions, ...] = ()
    scenarios: dict[str, ScenarioOptions] = Field(default_factory=dict)


class GymnasiumPlant:
    """One Gymnasium environment per episode of the batch, stepped one after the other.

    Variables are the observation's components (``obs_0`` or their given names), ``reward`` and the chosen keys of
    ``info``. An exception inside the environment, or an observation that is not finite, is a failed solver.

    Raises:
        PlantError: the environment does not exist, has spaces of another kind (tuples, text, nested),
            no length, or an option does not fit.
    """

    def __init__(self, env_id: str, **options: Any) -> None:
        self._id = env_id
        self._options: GymnasiumOptions = parse_options(GymnasiumOptions, f"gymnasium:{env_id}", options)
        self._envs: list[Any] = []
        first = self._env(0)
        self._spaces = FlatSpaces(first, env_id, self._options.observation_names, self._options.action_masks)
        self._observation, self._action = self._spaces.observation, self._spaces.action
        self._lengths = self._declare_scenarios(first)
        self._scenarios = {
            name: Scenario(name, i, self._lengths[name], s.title or name, s.description)
            for i, (name, s) in enumerate(self._declared().items())
        }
        self._variables = (
            *(Variable(name, "", name) for name in self._observation.names),
            Variable("reward", "", "reward"),
            *(Variable(name, "", name) for name in self._options.info_variables),
        )
        self._constraints = declared_constraints(self._options.constraints, [v.name for v in self._variables])
        self._count = 0

    def __copy__(self) -> GymnasiumPlant:
        """A second plant: it shares what is declared, never an environment that is under way."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._envs = []
        return other

    @property
    def name(self) -> str:
        return f"gymnasium:{self._id}"

    @property
    def dt_s(self) -> float:
        return self._options.dt_s

    @property
    def observation_space(self) -> Box:
        return self._observation

    @property
    def action_space(self) -> Box:
        return self._action

    @property
    def scenarios(self) -> Mapping[str, Scenario]:
        return self._scenarios

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return self._constraints

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    def reset(self, scenario: str, seeds: Sequence[int]) -> Float32:
        """Start one episode per seed; see ``Plant.reset``."""
        return self.reset_mixed([scenario] * len(seeds), seeds)

    def reset_mixed(self, names: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start one episode per pair of scenario and seed."""
        if len(names) != len(seeds) or not len(seeds):
            raise PlantError(f"{len(names)} scenarios and {len(seeds)} seeds: give one seed for each, at least one.")
        self._count = len(seeds)
        self._t = np.zeros(self._count, dtype=np.intp)
        self._steps = np.zeros(self._count, dtype=np.intp)
        self._over = np.zeros(self._count, dtype=np.bool_)
        self._failed = np.zeros(self._count, dtype=np.bool_)
        self._broken = np.zeros(self._count, dtype=np.bool_)
        self._obs = np.zeros((self._count, self._observation.size), dtype=np.float32)
        self._info = np.full((len(self._options.info_variables), self._count), np.nan)
        return self.reset_some(range(self._count), names, seeds)

    def reset_some(self, indices: Sequence[int], names: Sequence[str], seeds: Sequence[int]) -> Float32:
        """Start new episodes in some places; their first observations ``[len(indices), obs_dim]``."""
        for name in names:
            if name not in self._scenarios:
                close = difflib.get_close_matches(str(name), self._scenarios, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(self._scenarios)}."
                raise PlantError(f"The plant {self.name} has no scenario {name!r}: {hint}")
        for i, name, seed in zip(indices, names, seeds, strict=True):
            options = self._declared()[name].reset_options
            obs, _ = self._env(i).reset(seed=int(seed), options=dict(options) or None)
            self._obs[i] = self._spaces.row(self._env(i), obs)
            self._t[i], self._steps[i] = 0, self._lengths[name]
            self._over[i] = self._failed[i] = self._broken[i] = False
        return self._obs[list(indices)].copy()

    def step(self, action: Float32) -> Step:
        """Advance every episode that is not over; see ``Plant.step``."""
        wanted = np.clip(np.asarray(action, dtype=np.float32), self._action.low, self._action.high)
        if not self._count or wanted.shape != (self._count, self._action.size):
            raise PlantError(
                f"The action has shape {wanted.shape}, but {self._count} running episode(s) take "
                f"({self._count}, {self._action.size})."
            )
        reward = np.zeros(self._count)
        for i in np.flatnonzero(~self._over).tolist():
            reward[i] = self._step_one(i, wanted[i])
        truncated = (self._t >= self._steps) & ~self._broken
        self._over = self._broken | truncated
        return Step(self._obs.copy(), reward, self._broken.copy(), truncated, self._report(reward), self._failed.copy())

    def _step_one(self, i: int, action: Float32) -> float:
        self._t[i] += 1
        try:
            # An episode's length is the scenario's; the environment's own truncation has no say.
            obs, reward, terminated, _, info = self._env(i).step(self._spaces.command(action))
            values = self._spaces.row(self._env(i), obs)
            gained = float(reward)
            extra = [float(info[key]) for key in self._options.info_variables]
        except Exception:  # noqa: BLE001  (whatever breaks inside a foreign simulator is a failed solver, not our crash)
            self._failed[i] = self._broken[i] = True
            self._info[:, i] = np.nan
            return 0.0
        self._obs[i] = values
        self._info[:, i] = extra
        if not (np.isfinite(values).all() and np.isfinite(gained)):
            self._failed[i] = True
            gained = 0.0
        self._broken[i] = bool(terminated) or bool(self._failed[i])
        return gained

    def _report(self, reward: Float64) -> dict[str, Float64]:
        values: dict[str, Float64] = {}
        if self._observation.names:
            columns = np.where(self._failed[:, None], np.nan, self._obs.astype(np.float64)).T
            values = dict(zip(self._observation.names, np.ascontiguousarray(columns), strict=True))
        values["reward"] = reward
        return values | dict(zip(self._options.info_variables, self._info.copy(), strict=True))

    def _env(self, i: int) -> Any:
        while len(self._envs) <= i:
            self._envs.append(_make(self._id, self._options.kwargs))
        return self._envs[i]

    def _declared(self) -> Mapping[str, ScenarioOptions]:
        return self._options.scenarios or {"default": ScenarioOptions(title=self._id)}

    def _declare_scenarios(self, env: Any) -> dict[str, int]:
        lengths = {}
        for name, declared in self._declared().items():
            limit = env.spec.max_episode_steps if env.spec is not None else None
            steps = declared.steps or self._options.steps or limit
            if steps is None:
                raise PlantError(
                    f"The environment {self._id} has no max_episode_steps: set plant.options.steps to its length."
                )
            lengths[name] = int(steps)
        return lengths


def _make(env_id: str, kwargs: Mapping[str, Any]) -> Any:
    try:
        import gymnasium
    except ImportError:
        raise PlantError(
            f"The plant gymnasium:{env_id} needs Gymnasium, which is not installed: pip install 'gate5[plant]'."
        ) from None
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except gymnasium.error.Error as error:
        close = difflib.get_close_matches(env_id, gymnasium.registry, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "register it, or write `module:ENV_ID`."
        raise PlantError(f"Gymnasium cannot make {env_id!r} ({error}): {hint}") from None
    except TypeError as error:
        raise PlantError(
            f"The environment {env_id!r} does not take {sorted(kwargs)} ({error}); correct plant.options.kwargs."
        ) from None
