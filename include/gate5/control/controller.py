"""``PIDController``: one PID loop for a batch of episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gate5.errors import ConfigError
from gate5.plant.base import Bool, Float64


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
        self.dt_s = dt_s
        self.kp: Any = kp  # an array [B] where each episode has its own
        self.ki: Any = ki
        self.kd: Any = kd
        self.setpoint_weight, self.low, self.high, self.bias = setpoint_weight, low, high, bias
        self.tracking_s: Any = max(tracking_s, dt_s)
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
