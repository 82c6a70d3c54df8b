"""``Envelope``: the observations and actions that a release was judged on, as bounds that a plant can check quickly.

Bounds of each component, and of each principal direction of the standardised observations: a direction in which the
judged observations hardly vary is a relation between sensors, and a reading that breaks it lies outside although each
component by itself looks right. (Principal components in process monitoring: Jackson and Mudholkar, Technometrics 21,
1979; bounds of each direction in place of one quadratic form, because the scenarios are not one Gaussian cloud.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.errors import IntegrityError
from gate5.evaluation.forecast import Forecast, identify
from gate5.io import canonical
from gate5.plant.base import Constraint, Controller, Float32, Float64, Plant

FILE = "envelope.json"
#: Every bound lies this share of the judged range beyond what was judged.
MARGIN = 0.05
#: A direction is not taken to be narrower than this, in standard deviations of a component: float32 readings round.
LEAST = 1e-3
#: Periods ahead for which the margins of constraints are predicted, at most.
HORIZON = 5
#: The least margin of a component, as a share of its magnitude: something that never moved is not an exact number.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Envelope:
    """What a release may be asked.

    Attributes:
        names: of the observation's components.
        low, high: of each component, ``[obs_dim]``, with margins.
        directions: ``[obs_dim, obs_dim]``, rows; a raw observation is inside where
            ``direction_low <= directions @ obs <= direction_high``.
        direction_low, direction_high: ``[obs_dim]``.
        action_step: the largest change of each action component from one period to the next, with a margin.
        unchanged: the longest run of periods in which a component did not change, ``[obs_dim]``.
        observations: how many it was made of.
        false_alarms: share of held-out episodes' observations outside an envelope made of the other episodes.
        false_alarm_episodes: share of held-out episodes with at least one.
        predicted: of each constraint that is observed, the smallest margin that the last change predicted 1, 2, ...
            ``HORIZON`` periods ahead in any judged episode: what is no worse than that is no reason for alarm.
        forecast: one step of the plant, for readings that come late; ``None``: too little was judged for one.
    """

    names: tuple[str, ...]
    low: Float64
    high: Float64
    directions: Float64
    direction_low: Float64
    direction_high: Float64
    action_step: Float64
    unchanged: NDArray[np.int64]
    observations: int
    false_alarms: float = 0.0
    false_alarm_episodes: float = 0.0
    predicted: dict[str, list[float]] = field(default_factory=dict)
    forecast: Forecast | None = None

    def outside(self, obs: Float64) -> str | None:
        """Why a finite observation ``[obs_dim]`` lies outside, as half a sentence; ``None``: it is inside."""
        if np.count_nonzero((obs < self.low) | (obs > self.high)):
            worst = int(np.argmax(np.maximum(self.low - obs, obs - self.high)))
            i = worst if (obs[worst] < self.low[worst] or obs[worst] > self.high[worst]) else 0
            return f"{self.names[i]} is {obs[i]:.6g}, judged were {self.low[i]:.6g} to {self.high[i]:.6g}"
        seen = self.directions @ obs
        if np.count_nonzero((seen < self.direction_low) | (seen > self.direction_high)):
            over = np.maximum(self.direction_low - seen, seen - self.direction_high)
            row = self.directions[int(np.argmax(over))]
            share = np.abs(row) * np.maximum(self.high - self.low, 1e-12)
            first, second = (self.names[int(i)] for i in np.argsort(-share)[:2])
            return f"the combination of {first} and {second} was never judged"
        return None

    def all_inside(self, obs: Float64) -> NDArray[np.bool_]:
        """For observations ``[N, obs_dim]``."""
        seen = obs @ self.directions.T
        own = ((obs >= self.low) & (obs <= self.high)).all(axis=1)
        return np.asarray(own & ((seen >= self.direction_low) & (seen <= self.direction_high)).all(axis=1))

    def to_dict(self) -> dict[str, Any]:
        arrays = {
            name: getattr(self, name).tolist()
            for name in (
                "low", "high", "directions", "direction_low", "direction_high", "action_step", "unchanged",
            )
        }  # fmt: skip
        return {
            "names": list(self.names), **arrays, "observations": self.observations,
            "false_alarms": self.false_alarms, "false_alarm_episodes": self.false_alarm_episodes,
            "predicted": self.predicted, "forecast": None if self.forecast is None else self.forecast.to_dict(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Envelope:
        """The inverse of ``to_dict``.

        Raises:
            IntegrityError: it is not an envelope, or its parts have different sizes.
        """
        try:
            names = tuple(str(name) for name in data["names"])
            n = len(names)
            vectors = {k: np.asarray(data[k], np.float64) for k in ("low", "high", "direction_low", "direction_high")}
            directions = np.asarray(data["directions"], np.float64)
            steps, unchanged = np.asarray(data["action_step"], np.float64), np.asarray(data["unchanged"], np.int64)
            rest = int(data["observations"]), float(data["false_alarms"]), float(data["false_alarm_episodes"])
            predicted = {str(k): [float(v) for v in row] for k, row in dict(data["predicted"]).items()}
            forecast = Forecast.from_dict(data.get("forecast"), vectors["low"], vectors["high"], steps.size)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{FILE} is damaged: {type(error).__name__} at {error}.") from None
        shapes = [v.shape for v in vectors.values()] + [unchanged.shape]
        finite = all(np.isfinite(v).all() for v in (*vectors.values(), directions, steps))
        if any(shape != (n,) for shape in shapes) or directions.shape != (n, n) or steps.ndim != 1 or not finite:
            raise IntegrityError(f"{FILE} is damaged: its parts are not all of {n} components, or not finite.")
        return cls(
            names, vectors["low"], vectors["high"], directions, vectors["direction_low"], vectors["direction_high"],
            steps, unchanged, *rest, predicted, forecast,
        )  # fmt: skip


@dataclass
class Seen:
    """Observations and actions of episodes that ran together."""

    obs: Float32  # [T, B, obs_dim]
    action: Float32  # [T, B, act_dim]


@dataclass
class Watched:
    """A ``Controller`` that keeps what it was asked and what it answered; everything else is the inner one's."""

    inner: Any
    batches: list[tuple[list[Float32], list[Float32]]] = field(default_factory=list)

    def reset(self, batch: int) -> None:
        """Episodes start."""
        self.batches.append(([], []))
        self.inner.reset(batch)

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """As the inner one."""
        action, _ = self.inner.predict(obs)
        if not self.batches:
            self.batches.append(([], []))
        self.batches[-1][0].append(np.array(obs, np.float32))
        self.batches[-1][1].append(np.array(action, np.float32))
        return action, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def seen(self) -> list[Seen]:
        """What was kept, a batch of episodes each."""
        return [Seen(np.stack(obs), np.stack(action)) for obs, action in self.batches if obs]


def watch(controller: Controller | None) -> Watched | None:
    """A controller that keeps what it is asked; ``None`` of none."""
    return None if controller is None else Watched(controller)


def summarise(watched: Sequence[Watched | None]) -> dict[str, NDArray[Any]]:
    """What an envelope needs of one scenario's episodes, small enough to keep: arrays for an ``.npz``.

    Fold 0 is every fifth episode, held out where the false alarms are counted; fold 1 the others.
    """
    batches = [seen for one in watched if one is not None for seen in one.seen()]
    driver = watched[0].seen() if watched and watched[0] is not None else []
    arrays: dict[str, NDArray[Any]] = {}
    for fold in (0, 1):
        part = [np.moveaxis(s.obs[:, _fold(s.obs.shape[1]) == fold], 0, 1) for s in batches]  # [episodes, T, n]
        action = [np.moveaxis(s.action[:, _fold(s.obs.shape[1]) == fold], 0, 1) for s in batches]
        good = [np.isfinite(p).all(axis=(1, 2)) for p in part]
        part, action = ([p[g] for p, g in zip(ps, good, strict=True)] for ps in (part, action))
        arrays[f"obs{fold}"], arrays[f"action{fold}"] = _rows(part), _rows(action)
        arrays[f"episode{fold}"] = _episode_numbers(part)
    arrays["unchanged"] = np.max([_longest_run(s.obs) for s in batches], axis=0)
    steps = [np.abs(np.diff(s.action.astype(np.float64), axis=0)).max(axis=(0, 1)) for s in driver if len(s.action) > 1]
    arrays["action_step"] = np.max(steps, axis=0) if steps else np.zeros(batches[0].action.shape[-1])
    return arrays


def fit(plant: Plant, scenarios: Sequence[dict[str, NDArray[Any]]]) -> Envelope:
    """The envelope of a release from what ``summarise`` kept of each scenario.

    The false alarms are those of an envelope made of four fifths of the episodes on the last fifth; what is kept is the
    envelope of all of them, which is wider.
    """
    held = np.concatenate([s["obs0"] for s in scenarios]).astype(np.float64)
    rest = np.concatenate([s["obs1"] for s in scenarios]).astype(np.float64)
    number = np.concatenate([s["episode0"] + 100_000 * i for i, s in enumerate(scenarios)])
    steps = np.max([s["action_step"] for s in scenarios], axis=0)
    unchanged = np.max([s["unchanged"] for s in scenarios], axis=0)
    names = tuple(plant.observation_space.names) or tuple(str(i) for i in range(plant.observation_space.size))
    alarms, episodes = 0.0, 0.0
    if len(held) and len(rest):
        out = ~_bounds(names, rest, steps, unchanged).all_inside(held)
        alarms, episodes = float(out.mean()), len(np.unique(number[out])) / len(np.unique(number))
    whole = _bounds(names, np.concatenate([rest, held]), steps, unchanged)
    predicted = _predicted(plant, scenarios)
    forecast = identify(scenarios, whole.low, whole.high)
    found = {"false_alarms": alarms, "false_alarm_episodes": episodes, "predicted": predicted, "forecast": forecast}
    return Envelope(**{**vars(whole), **found})


def read(data: bytes) -> Envelope:
    """``envelope.json``.

    Raises:
        IntegrityError: it is damaged.
    """
    try:
        plain = dict(canonical.loads(data))
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{FILE} is damaged: {error}.") from None
    return Envelope.from_dict(plain)


def _bounds(names: tuple[str, ...], obs: Float64, steps: Float64, unchanged: NDArray[np.int64]) -> Envelope:
    low, high = obs.min(axis=0), obs.max(axis=0)
    least = ROUNDING * np.maximum(np.maximum(np.abs(low), np.abs(high)), 1e-3)
    room = np.maximum(MARGIN * (high - low), least)
    scale = np.maximum(obs.std(axis=0), least)
    standard = obs / scale
    _, axes = np.linalg.eigh(np.cov(standard, rowvar=False).reshape(obs.shape[1], -1))
    directions = axes.T / scale
    seen = obs @ directions.T
    first, last = seen.min(axis=0), seen.max(axis=0)
    wide = np.maximum(MARGIN * (last - first), LEAST)
    return Envelope(
        names, low - room, high + room, directions, first - wide, last + wide,
        steps * (1.0 + MARGIN) + 1e-6, unchanged, len(obs),
    )  # fmt: skip


def observed(plant: Plant) -> list[Constraint]:
    """The constraints that observations alone can check.

    ``applies`` that is not observed leaves a constraint out: it would be predicted to break where it does not hold.
    """
    names = plant.observation_space.names
    return [c for c in plant.constraints if c.variable in names and (c.applies is None or c.applies in names)]


def _predicted(plant: Plant, scenarios: Sequence[dict[str, NDArray[Any]]]) -> dict[str, list[float]]:
    names = list(plant.observation_space.names)
    found: dict[str, list[float]] = {}
    for c in observed(plant):
        smallest = np.full(HORIZON, np.inf)
        for scenario in scenarios:
            for fold in ("0", "1"):
                obs, number = scenario[f"obs{fold}"], scenario[f"episode{fold}"]
                if len(obs) < 2:
                    continue
                values = obs[:, names.index(c.variable)].astype(np.float64)
                on = (number[1:] == number[:-1]) & (c.applies is None or obs[1:, names.index(c.applies)] != 0.0)
                slope = np.diff(values)
                for n in range(HORIZON):
                    ahead = np.where(on, c.margin(values[1:] + (n + 1) * slope), np.inf)
                    smallest[n] = min(smallest[n], ahead.min())
        found[c.name] = np.minimum(smallest, 1e9).tolist()
    return found


def _rows(parts: list[Float32]) -> Float32:
    whole = [p.reshape(-1, p.shape[-1]) for p in parts]
    return np.concatenate(whole) if whole else np.zeros((0, 1), np.float32)


def _fold(episodes: int) -> NDArray[np.int64]:
    return np.asarray(np.arange(episodes) % 5 != 0, np.int64)


def _episode_numbers(parts: list[Float32]) -> NDArray[np.int64]:
    first, found = 0, []
    for part in parts:
        found.append(np.repeat(np.arange(first, first + len(part)), part.shape[1]))
        first += len(part)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _longest_run(obs: Float32) -> NDArray[np.int64]:
    """The longest run of unchanged values of each component over ``[T, B, n]``."""
    run = np.zeros(obs.shape[1:], np.int64)
    longest: NDArray[np.int64] = np.zeros(obs.shape[2], np.int64)
    moving = (obs[1:] != obs[:-1]).any(axis=2)  # an episode that has ended shows its last observation for ever
    ends = len(moving) - np.argmax(moving[::-1], axis=0)
    for t in range(1, len(obs)):
        run = np.where(obs[t] == obs[t - 1], run + 1, 0)
        longest = np.maximum(longest, np.where((t <= ends)[:, None], run, 0).max(axis=0))
    return np.asarray(longest)
