"""Step tests: a first-order model with dead time for each loop, and the PI gains that follow from it (SIMC)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gate5.control.gains import Gains, parse_gains
from gate5.control.pid import PIDBaseline
from gate5.plant.base import Float64, Plant

STEP, SETTLE_STEPS, TEST_STEPS, EPISODES = 0.1, 60, 60, 8


@dataclass(frozen=True)
class Model:
    """``gain`` (measurement per unit of action), ``delay_s`` and ``lag_s`` of a first-order response to a step."""

    channel: str
    measurement: str
    gain: float
    delay_s: float
    lag_s: float

    def simc(self, dt_s: float) -> tuple[float, float]:
        """PI gains ``(kp, ki)`` by SIMC (Skogestad, J. Process Control 13, 2003) with the closed-loop time constant at
        the effective delay, to which half a control step of sampling delay belongs."""
        delay = self.delay_s + 0.5 * dt_s
        kp = self.lag_s / (self.gain * 2.0 * delay)
        return kp, kp / min(self.lag_s, 8.0 * delay)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def identify(plant: Plant, gains: Gains, scenario: str, seed: int) -> list[Model]:
    """Step each actuator by ``STEP`` from a settled state and fit the first added loop of its channel.

    The loops of ``gains`` settle the plant first and are then opened; each response is the difference from an episode
    of the same seed that was not stepped, so that disturbances cancel, averaged over ``EPISODES`` seeds.

    Args:
        plant: what is tested.
        gains: which measurement belongs to which actuator.
        scenario: a calm one, at least ``SETTLE_STEPS + TEST_STEPS`` long.
        seed: of the first episode.
    """
    names, actions = list(plant.observation_space.names), list(plant.action_space.names)
    pid = PIDBaseline.from_gains(gains, names, plant.action_space.low, plant.action_space.high, actions)
    count = len(actions) + 1
    obs = plant.reset(scenario, [seed + i for i in range(EPISODES)] * count)
    pid.reset(EPISODES * count)
    action = np.zeros((EPISODES * count, len(actions)), dtype=np.float32)
    for _ in range(SETTLE_STEPS):
        action, _ = pid.predict(obs)
        obs = plant.step(action).obs
    for k in range(len(actions)):
        rows = slice(EPISODES * (k + 1), EPISODES * (k + 2))
        action[rows, k] += np.where(action[rows, k] > 1.0 - STEP, -STEP, STEP)
    seen = np.stack([plant.step(action).obs for _ in range(TEST_STEPS)]).astype(np.float64)
    moved = action.reshape(count, EPISODES, -1)
    seen = seen.reshape(TEST_STEPS, count, EPISODES, -1)
    models = []
    for channel in gains.channels:
        loops = [loop for loop in channel.loops if loop.select == "add"]
        if not loops:
            continue
        k, y = actions.index(channel.action), names.index(loops[0].measurement)
        change = moved[k + 1, :, k] - moved[0, :, k]
        response = ((seen[:, k + 1, :, y] - seen[:, 0, :, y]) / change).mean(axis=1)
        models.append(fit(channel.action, loops[0].measurement, response, plant.dt_s))
    return models


def fit(channel: str, measurement: str, response: Float64, dt_s: float) -> Model:
    """The model of a unit step response ``[T]`` by the two-point method (28.3 % and 63.2 % of the way, Smith 1972)."""
    gain = float(response[-5:].mean())
    way = np.concatenate([[0.0], response / gain])
    times = dt_s * np.arange(way.size)

    def reach(share: float) -> float:
        i = int(np.argmax(way >= share))
        return float(np.interp(share, way[i - 1 : i + 1], times[i - 1 : i + 1]))

    lag = max(1.5 * (reach(0.632) - reach(0.283)), dt_s)
    return Model(channel, measurement, gain, max(reach(0.632) - lag, 0.0), lag)


def naive(gains: Gains, models: list[Model]) -> Gains:
    """Each first loop by itself with SIMC's gains: no feedforward, no schedule, no override."""
    channels = []
    for channel in gains.model_dump(mode="json")["channels"]:
        found = [m for m in models if m.channel == channel["action"]]
        loops = [loop for loop in channel["loops"] if loop["select"] == "add"][:1]
        for model, loop in zip(found, loops, strict=True):
            kp, ki = model.simc(gains.dt_s)
            loop |= {"kp": kp, "ki": ki, "kd": 0.0, "schedule": [], "tracking_s": max(kp / ki, gains.dt_s)}
        channels.append({**channel, "loops": loops, "feedforward": []})
    return parse_gains({**gains.model_dump(mode="json"), "channels": channels, "about": {}})
