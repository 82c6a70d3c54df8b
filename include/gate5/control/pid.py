"""``PIDController``: one PID loop for a batch of episodes; ``PIDBaseline``: the loops of a whole plant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gate5.control.gains import ChannelGains, Gains, LoopGains, Table, parse_gains
from gate5.errors import ConfigError
from gate5.plant.base import Bool, Float32, Float64


class PIDController:
    """A PID loop, vectorised over ``B`` episodes, in parallel ("ideal, non-interacting") form.

    With error ``e = setpoint - measurement`` and set-point weight ``b``::

        u  = bias + feedforward + kp (b setpoint - measurement) + I - kd d(measurement)/dt
        I' = ki e + (applied - u) / tracking_s

    The derivative acts on the measurement through a first-order filter, so that a set-point step gives no kick. The
    second term of ``I'`` is back-calculation (Astrom and Hagglund, Advanced PID Control, 2006, section 3.5): where the
    output is limited in range or rate, or where another loop has the actuator, the integral follows what was applied.
    A measurement or set-point that is not finite holds the last output and leaves the state as it was.

    Args:
        kp, ki, kd: gains (output per unit, per unit second, per unit/second); negative for a reverse-acting loop.
        dt_s: control step in seconds.
        setpoint_weight: ``b`` above, 0 to 1.
        derivative_filter_s: time constant of the derivative's filter.
        tracking_s: time constant of the back-calculation; at least ``dt_s`` is used.
        low, high: range of the output.
        rate: largest change of the output per second; ``None``: any.
        bias: output at zero error.
    """

    def __init__(
        self,
        kp: float,
        ki: float = 0.0,
        kd: float = 0.0,
        *,
        dt_s: float,
        setpoint_weight: float = 1.0,
        derivative_filter_s: float = 0.0,
        tracking_s: float = 60.0,
        low: float = -1.0,
        high: float = 1.0,
        rate: float | None = None,
        bias: float = 0.0,
    ) -> None:
        if not low < high:
            raise ConfigError(f"A PID controller's low limit {low} is not below its high limit {high}.")
        if dt_s <= 0:
            raise ConfigError(f"A PID controller's control step must be positive, but it is {dt_s} s.")
        self.kp, self.ki, self.kd, self.dt_s = kp, ki, kd, dt_s
        self.setpoint_weight, self.low, self.high, self.bias = setpoint_weight, low, high, bias
        self.tracking_s = max(tracking_s, dt_s)
        self._keep = derivative_filter_s / (derivative_filter_s + dt_s)
        self._most = None if rate is None else rate * dt_s
        self.reset()

    def reset(self, batch: int = 1) -> None:
        """Forget the past; ``batch`` episodes start."""
        self.integral: Float64 = np.zeros(batch)
        self._slope: Float64 = np.zeros(batch)
        self._before: Float64 = np.full(batch, np.nan)
        self._last: Float64 = np.full(batch, np.nan)
        self._proposed: Float64 = np.zeros(batch)
        self._growth: Float64 = np.zeros(batch)
        self._valid: Bool = np.ones(batch, dtype=np.bool_)

    def propose(
        self, measurement: ArrayLike, setpoint: ArrayLike, feedforward: ArrayLike = 0.0, scale: ArrayLike = 1.0
    ) -> Float64:
        """The output before any limit, float64 ``[B]``; ``scale`` multiplies kp, ki and kd (gain scheduling)."""
        y, r, k = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (measurement, setpoint, scale)))
        self._valid = np.isfinite(y) & np.isfinite(r)
        y, r = np.where(self._valid, y, 0.0), np.where(self._valid, r, 0.0)
        slope = (y - self._before) / self.dt_s
        slope = self._keep * self._slope + (1.0 - self._keep) * np.where(np.isfinite(slope), slope, 0.0)
        self._slope = np.where(self._valid, slope, self._slope)
        proportional = self.kp * (self.setpoint_weight * r - y)
        u = (
            self.bias
            + np.asarray(feedforward, dtype=np.float64)
            + k * (proportional - self.kd * self._slope)
            + self.integral
        )
        held = np.where(np.isfinite(self._last), self._last, self.bias)
        self._proposed = np.where(self._valid, u, held)
        self._growth = np.where(self._valid, self.ki * k * (r - y), 0.0)
        self._before = np.where(self._valid, y, self._before)
        return self._proposed

    def track(self, applied: ArrayLike, proposed: ArrayLike | None = None) -> None:
        """Say what was applied, so that the integral follows it.

        Args:
            applied: the actuator's command, ``[B]``.
            proposed: what the controller's output was part of, where it is one of several terms; default: its output.
        """
        out = np.broadcast_to(np.asarray(applied, dtype=np.float64), self.integral.shape)
        wanted = self._proposed if proposed is None else np.asarray(proposed, dtype=np.float64)
        step = self.dt_s * self._growth + (self.dt_s / self.tracking_s) * (out - wanted)
        self.integral = np.where(self._valid, self.integral + step, self.integral)
        self._last = np.array(out)

    def limit(self, output: Float64) -> Float64:
        """``output`` within the range and the rate."""
        if self._most is not None:
            last = np.where(np.isfinite(self._last), self._last, output)
            output = np.clip(output, last - self._most, last + self._most)
        return np.clip(output, self.low, self.high)

    def update(
        self, measurement: ArrayLike, setpoint: ArrayLike, feedforward: ArrayLike = 0.0, scale: ArrayLike = 1.0
    ) -> Float64:
        """One control step: the limited output, float64 ``[B]``."""
        applied = self.limit(self.propose(measurement, setpoint, feedforward, scale))
        self.track(applied)
        return applied


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
        self._channels = [
            _Channel(channel, index, gains.dt_s, self._names, self.action_low[index], self.action_high[index])
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
        for channel in self._channels:
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
        for channel in self._channels:
            action[:, channel.index] = channel.propose(columns)
        return action.reshape(*values.shape[:-1], -1).astype(np.float32)

    def track(self, action: Float32) -> None:
        """Say which actions the plant received; they may be another controller's (imitation learning)."""
        applied = np.atleast_2d(np.asarray(action, dtype=np.float64))
        for channel in self._channels:
            channel.track(applied[:, channel.index])


class _Channel:
    """One actuator: feedforward, added loops, overrides."""

    def __init__(self, gains: ChannelGains, index: int, dt_s: float, names: list[str], low: float, high: float) -> None:
        self.index = index
        self._bias = gains.bias
        self._low, self._high = max(gains.low, low), min(gains.high, high)
        if not self._low < self._high:
            raise ConfigError(
                f"The PID channel {gains.action!r} has the range {gains.low} to {gains.high}, "
                f"which leaves nothing of the plant's {low} to {high}."
            )
        self._most = None if gains.rate is None else gains.rate * dt_s
        self._feedforward = [_Curve(table, names) for table in gains.feedforward]
        self._loops = [_Loop(loop, dt_s, names) for loop in gains.loops]
        self.reset(1)

    def reset(self, batch: int) -> None:
        for loop in self._loops:
            loop.pid.reset(batch)
        self._last: Float64 = np.full(batch, np.nan)
        self._main: Float64 = np.zeros(batch)

    def propose(self, obs: Float64) -> Float64:
        main = np.full(obs.shape[0], self._bias)
        for curve in self._feedforward:
            main = main + curve(obs)
        for loop in self._loops:
            if loop.select == "add":
                main = main + loop.propose(obs)
        self._main = main
        output = np.clip(main, self._low, self._high)
        for loop in self._loops:
            if loop.select == "min":
                output = np.minimum(output, loop.propose(obs))
            elif loop.select == "max":
                output = np.maximum(output, loop.propose(obs))
        if self._most is not None:
            last = np.where(np.isfinite(self._last), self._last, output)
            output = np.clip(output, last - self._most, last + self._most)
        limited: Float64 = np.clip(output, self._low, self._high)
        return limited

    def track(self, applied: Float64) -> None:
        for loop in self._loops:
            loop.pid.track(applied, self._main if loop.select == "add" else None)
        self._last = np.array(applied)


class _Loop:
    """A PID controller with the places of its inputs in the observation."""

    def __init__(self, gains: LoopGains, dt_s: float, names: list[str]) -> None:
        self.select = gains.select
        self._measured = _observation_index(gains.measurement, names)
        self._setpoint = gains.setpoint
        self._wanted = _observation_index(gains.setpoint, names) if isinstance(gains.setpoint, str) else -1
        self._schedule = [_Curve(table, names) for table in gains.schedule]
        self.pid = PIDController(
            gains.kp, gains.ki, gains.kd, dt_s=dt_s, setpoint_weight=gains.setpoint_weight, bias=gains.bias,
            derivative_filter_s=gains.derivative_filter_s, tracking_s=gains.tracking_s, low=-np.inf, high=np.inf,
        )  # fmt: skip

    def propose(self, obs: Float64) -> Float64:
        scale: Float64 = np.ones(obs.shape[0])
        for curve in self._schedule:
            scale = scale * curve(obs)
        setpoint: Any = self._setpoint if self._wanted < 0 else obs[:, self._wanted]
        return self.pid.propose(obs[:, self._measured], setpoint, scale=scale)


class _Curve:
    """A ``Table`` bound to its place in the observation."""

    def __init__(self, table: Table, names: list[str]) -> None:
        self._index = _observation_index(table.observation, names)
        self._x: NDArray[np.float64] = np.array([x for x, _ in table.points])
        self._y: NDArray[np.float64] = np.array([y for _, y in table.points])

    def __call__(self, obs: Float64) -> Float64:
        value = np.interp(obs[:, self._index], self._x, self._y)
        return np.asarray(np.where(np.isfinite(value), value, self._y[0]), dtype=np.float64)


def _observation_index(name: str, names: list[str]) -> int:
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}."
    raise ConfigError(f"The PID gains read the observation {name!r}, which the plant does not have: {hint}")


def _action_index(name: str, names: Sequence[str], size: int) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdigit() and int(name) < size:
        return int(name)
    known = ", ".join(names) if names else f"0 to {size - 1}"
    raise ConfigError(f"The PID gains drive the action {name!r}, which the plant does not have: use one of {known}.")
