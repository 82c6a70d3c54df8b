"""PIDController: the laws that a PID loop must keep, and the faults of the earlier baseline."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.control import PIDController
from gate5.errors import ConfigError

gain = st.floats(0.01, 5.0)
signal = st.floats(-100.0, 100.0)


def first_order(pid: PIDController, setpoint: float, steps: int, *, disturbance: float = 0.0) -> np.ndarray:
    """A first-order lag (10 s, gain 2) under control; returns its outputs."""
    y, outputs = 0.0, []
    for _ in range(steps):
        u = float(pid.update(y, setpoint)[0])
        y += pid.dt_s / 10.0 * (2.0 * u + disturbance - y)
        outputs.append(y)
    return np.array(outputs)


def test_integral_removes_the_offset_that_a_disturbance_leaves() -> None:
    proportional = first_order(PIDController(1.0, dt_s=1.0), 1.0, 400, disturbance=0.5)
    integral = first_order(PIDController(1.0, 0.1, dt_s=1.0), 1.0, 400, disturbance=0.5)
    assert abs(proportional[-1] - 1.0) > 0.1
    assert integral[-1] == pytest.approx(1.0, abs=1e-3)


@given(kp=gain, ki=st.floats(0.01, 0.5), error=st.floats(5.0, 50.0), length=st.integers(200, 2000))
@settings(max_examples=40, deadline=None)
def test_recovery_after_saturation_does_not_depend_on_its_length(
    kp: float, ki: float, error: float, length: int
) -> None:
    """Without anti-windup the integral grows with the length, and so does the time that it takes to leave the limit."""
    recoveries = []
    for saturated in (200, length):
        pid = PIDController(kp, ki, dt_s=1.0, tracking_s=5.0)
        for _ in range(saturated):
            output = pid.update(0.0, error)[0]
        assert output == 1.0
        steps = 0
        while pid.update(2.0 * error, error)[0] >= 1.0:
            steps += 1
        recoveries.append(steps)
    assert recoveries[0] == recoveries[1]


def test_the_integral_stays_bounded_while_the_output_saturates() -> None:
    pid = PIDController(1.0, 0.2, dt_s=1.0, tracking_s=10.0)
    for _ in range(5000):
        pid.update(0.0, 20.0)
    assert abs(pid.integral[0]) < 100.0, "5000 s of error 20 wind an unprotected integral up to 20000"


@given(kp=gain, kd=st.floats(0.1, 50.0), step=signal)
@settings(max_examples=50, deadline=None)
def test_a_setpoint_step_gives_no_derivative_kick(kp: float, kd: float, step: float) -> None:
    def response(kd: float) -> float:
        pid = PIDController(kp, 0.0, kd, dt_s=1.0, low=-1e6, high=1e6)
        pid.update(3.0, 3.0)
        return float(pid.update(3.0, 3.0 + step)[0])

    assert response(kd) == response(0.0)


def test_the_derivative_opposes_a_moving_measurement_and_is_filtered() -> None:
    def second(filter_s: float) -> float:
        pid = PIDController(0.0, 0.0, 10.0, dt_s=1.0, derivative_filter_s=filter_s, low=-100.0, high=100.0)
        pid.update(0.0, 0.0)
        return float(pid.update(1.0, 0.0)[0])

    assert second(0.0) == -10.0
    assert second(4.0) == pytest.approx(-2.0)


@given(
    kp=gain, ki=st.floats(0.0, 1.0), kd=st.floats(0.0, 10.0), rate=st.one_of(st.none(), st.floats(0.01, 1.0)),
    signals=st.lists(st.tuples(signal, signal), min_size=1, max_size=30),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_the_output_keeps_its_range_and_rate(
    kp: float, ki: float, kd: float, rate: float | None, signals: list[tuple[float, float]]
) -> None:
    pid = PIDController(kp, ki, kd, dt_s=2.0, low=-0.7, high=0.9, rate=rate)
    outputs = [float(pid.update(y, r)[0]) for y, r in signals]
    assert all(-0.7 <= u <= 0.9 for u in outputs)
    if rate is not None:
        assert all(abs(b - a) <= rate * 2.0 + 1e-12 for a, b in itertools.pairwise(outputs))


@given(signals=st.lists(st.tuples(signal, signal), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_reset_forgets(signals: list[tuple[float, float]]) -> None:
    used = PIDController(0.3, 0.1, 2.0, dt_s=1.0, rate=0.2)
    used.update(50.0, -50.0)
    used.update(-50.0, 50.0)
    used.reset()
    fresh = PIDController(0.3, 0.1, 2.0, dt_s=1.0, rate=0.2)
    for y, r in signals:
        assert used.update(y, r)[0] == fresh.update(y, r)[0]


@given(signals=st.lists(st.lists(st.tuples(signal, signal), min_size=3, max_size=3), min_size=1, max_size=15))
@settings(max_examples=40, deadline=None)
def test_a_batch_is_its_single_episodes_bit_for_bit(signals: list[list[tuple[float, float]]]) -> None:
    def make() -> PIDController:
        return PIDController(0.3, 0.05, 1.0, dt_s=1.0, derivative_filter_s=3.0, rate=0.3)

    together, alone = make(), [make() for _ in range(3)]
    together.reset(3)
    for row in signals:
        y, r = np.array(row).T
        batch = together.update(y, r)
        assert batch.tolist() == [float(p.update(y[i], r[i])[0]) for i, p in enumerate(alone)]


def test_a_lost_measurement_holds_the_output_and_leaves_no_trace() -> None:
    pid = PIDController(0.5, 0.1, 1.0, dt_s=1.0)
    reference = PIDController(0.5, 0.1, 1.0, dt_s=1.0)
    before = pid.update(0.2, 0.5)[0]
    reference.update(0.2, 0.5)
    assert pid.update(np.nan, 0.5)[0] == before
    assert pid.update(np.inf, 0.5)[0] == before
    assert pid.update(0.2, 0.5)[0] == reference.update(0.2, 0.5)[0]


def test_setpoint_weight_softens_the_response_to_a_setpoint_only() -> None:
    def jump(weight: float, y: float, r: float) -> float:
        pid = PIDController(1.0, dt_s=1.0, setpoint_weight=weight, low=-10.0, high=10.0)
        return float(pid.update(y, r)[0] - pid.update(0.0, 0.0)[0])

    assert jump(0.5, 0.0, 2.0) == 1.0
    assert jump(1.0, 0.0, 2.0) == 2.0
    assert jump(0.5, 2.0, 0.0) == jump(1.0, 2.0, 0.0) == -2.0


def test_nonsense_limits_and_steps_are_refused_with_their_value() -> None:
    with pytest.raises(ConfigError, match=r"1\.0 is not below its high limit 1\.0"):
        PIDController(1.0, dt_s=1.0, low=1.0, high=1.0)
    with pytest.raises(ConfigError, match=r"0\.0 s"):
        PIDController(1.0, dt_s=0.0)
