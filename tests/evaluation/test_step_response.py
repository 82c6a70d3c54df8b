"""Overshoot and settling time: on signals whose values are known exactly, and on the shipped plant."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.evaluation import BaselineConfig
from gate5.control import open_baseline
from gate5.evaluation import ControllerResult, Evaluator, StepResponse, TrackingResult
from gate5.evaluation.step_response import largest_change, step_response
from gate5.io import canonical
from gate5.io.plain import from_plain, to_plain
from gate5.plant.base import Float64
from gate5.plant.sco2.plant import SCO2Plant

DT = 0.1
T: Float64 = np.arange(0.0, 400.0, DT)
AT = 500  # the first step with the new set-point: 50 s


def stepped(start: float, final: float) -> Float64:
    return np.where(np.arange(T.size) < AT, start, final)


def after() -> Float64:
    """Seconds since the step, 0 before it."""
    return np.asarray(np.maximum(T - T[AT], 0.0))


def one(values: Float64, setpoint: Float64, dt_s: float = DT) -> StepResponse:
    found = step_response(values[:, None], setpoint[:, None], np.ones((len(values), 1), dtype=np.bool_), dt_s)
    assert found is not None
    return found


@pytest.mark.parametrize(("start", "final"), [(2.0, 5.0), (5.0, 2.0), (-1.0, 4.0)])
def test_a_first_order_step_has_no_overshoot_and_settles_after_four_time_constants(start: float, final: float) -> None:
    """``exp(-t / tau) = 0.02``: tau ln 50 = 3.91 tau, the usual "four time constants"."""
    tau = 7.0
    found = one(final + (start - final) * np.exp(-after() / tau), stepped(start, final))
    assert (found.overshoot_worst, found.overshoot_percent_worst) == (0.0, 0.0)
    assert found.settling_worst_s is not None
    assert tau * math.log(50) <= found.settling_worst_s < tau * math.log(50) + DT
    assert found.settling_worst_s == pytest.approx(4 * tau, rel=0.03)
    assert (found.episodes, found.settled_episodes) == (1, 1)


@given(zeta=st.floats(0.2, 0.8), start=st.floats(-5, 5), change=st.floats(1, 10), down=st.booleans())
def test_an_underdamped_step_has_the_known_overshoot(zeta: float, start: float, change: float, down: bool) -> None:
    """A second-order lag overshoots by ``exp(-pi zeta / sqrt(1 - zeta**2))``, whichever way and however far it goes."""
    omega, root = 0.2, math.sqrt(1 - zeta**2)
    t, d = after(), -change if down else change
    y = 1 - np.exp(-zeta * omega * t) * (np.cos(omega * root * t) + zeta / root * np.sin(omega * root * t))
    found = one(start + d * y, stepped(start, start + d))
    share = math.exp(-math.pi * zeta / root)
    assert found.overshoot_percent_worst == pytest.approx(100 * share, abs=0.02)
    assert found.overshoot_worst == pytest.approx(change * share, abs=2e-4 * change)
    outside = np.flatnonzero(np.abs(y[AT:] - 1) > 0.02)  # the last step outside the band, counted from the step
    assert found.settling_worst_s is not None
    assert found.settling_worst_s == pytest.approx((outside[-1] + 1) * DT)
    assert found.settling_worst_s <= math.log(50 / root) / (zeta * omega) + DT, "the bound that the envelope gives"


def test_a_ramp_is_measured_from_where_it_ends() -> None:
    """A lag behind a ramp over 30 s of slope s trails by s tau (1 - exp(-30 / tau)) at its end, then decays."""
    tau, final = 10.0, 6.0
    wanted = np.interp(T, [50.0, 80.0], [0.0, final])
    slope = final / 30.0
    u, v = np.clip(T - 50.0, 0.0, 30.0), np.maximum(T - 80.0, 0.0)
    y = wanted - slope * tau * (1 - np.exp(-u / tau)) * np.exp(-v / tau)
    found = one(y, wanted)
    expected = tau * math.log(slope * tau * (1 - math.exp(-3.0)) / (0.02 * final))
    assert found.settling_worst_s == pytest.approx(expected, abs=2 * DT)
    assert found.overshoot_worst == 0.0


def test_what_goes_too_far_during_the_ramp_is_overshoot() -> None:
    wanted = np.interp(T, [50.0, 80.0], [0.0, 10.0])
    found = one(wanted + np.where((T > 75) & (T < 78), 4.0, 0.0), wanted)
    assert found.overshoot_worst == pytest.approx(10.0 * 27.9 / 30 + 4.0 - 10.0)
    assert found.settling_worst_s == 0.0


def test_what_never_stays_in_the_band_does_not_settle() -> None:
    wanted = stepped(0.0, 1.0)
    swinging = wanted + 0.05 * np.sin(T - T[-1])  # in the band again and again, at the last step too
    assert abs(swinging[-1] - 1.0) < 0.02
    found = one(swinging, wanted)
    assert (found.settled_episodes, found.settling_mean_s, found.settling_worst_s) == (0, None, None)
    assert found.metrics()["settling_worst_s"] == found.metrics()["settling_mean_s"] == math.inf, "fails any limit"


@pytest.mark.parametrize(
    "setpoint",
    [
        np.full(T.size, 3.0),
        np.interp(T, [0, 100, 200, 300, 400], [1.0, 2.0, 0.7, 1.3, 1.0]),
        np.where(T < 50, 100.0, 104.9),
        np.where(T < 341, 1.0, 2.0),
        np.where(T < 50, 1.0, 2.0) + np.where(T < DT, np.nan, 0.0),
    ],
    ids=["constant", "knots without a hold", "below 5 %", "held for less than 60 s", "not a number"],
)
def test_where_the_setpoint_makes_them_meaningless_there_are_none(setpoint: Float64) -> None:
    assert largest_change(setpoint, DT) is None
    assert step_response(setpoint[:, None], setpoint[:, None], np.ones((T.size, 1), dtype=np.bool_), DT) is None


def test_the_largest_of_several_changes_is_taken_up_to_the_next_one() -> None:
    wanted = np.select([T < 50, T < 150, T < 250], [10.0, 12.0, 5.0], 6.0)
    change = largest_change(wanted, DT)
    assert change is not None
    assert (change.start, change.final) == (12.0, 5.0)
    assert (change.begin, change.end, change.last) == (1500, 1500, 2499)


def test_a_rest_divides_two_changes_of_one_direction() -> None:
    change = largest_change(np.select([T < 50, T < 150], [10.0, 12.0], 15.0), DT)
    assert change is not None
    assert (change.begin, change.start, change.final) == (1500, 12.0, 15.0)


def test_a_staircase_without_rest_is_one_change_and_a_turn_begins_another() -> None:
    stairs = largest_change(np.select([T < 50, T < 60, T < 70], [1.0, 2.0, 3.0], 4.0), DT)
    assert stairs is not None
    assert (stairs.begin, stairs.end, stairs.start, stairs.final) == (500, 700, 1.0, 4.0)
    back = largest_change(np.select([T < 50, T < 60], [1.0, 5.0], 3.0), DT)
    assert back is not None
    assert (back.begin, back.start, back.final) == (600, 5.0, 3.0)


def test_episodes_are_counted_and_the_worst_is_the_worst() -> None:
    """Three episodes: one goes too far, one lags and never settles, one has no change at all."""
    wanted = np.stack([stepped(0.0, 1.0), stepped(0.0, 1.0), np.full(T.size, 1.0)], axis=1)
    far = stepped(0.0, 1.0) + np.where((after() > 0) & (after() < 5), 0.3, 0.0)
    values = np.stack([far, stepped(0.0, 0.9), np.full(T.size, 7.0)], axis=1)
    found = step_response(values, wanted, np.ones_like(wanted, dtype=np.bool_), DT)
    assert found is not None
    assert (found.episodes, found.settled_episodes) == (2, 1)
    assert found.overshoot_mean == pytest.approx(0.15)
    assert found.overshoot_worst == pytest.approx(0.3)
    assert found.overshoot_percent_mean == pytest.approx(15)
    assert found.overshoot_percent_worst == pytest.approx(30)
    assert found.settling_mean_s == pytest.approx(5.0)
    assert found.settling_worst_s is None


def test_an_episode_counts_up_to_its_end() -> None:
    wanted = stepped(0.0, 1.0)[:, None]
    values = np.where(T[:, None] > 150, 99.0, wanted)
    live = (T <= 150)[:, None]
    found = step_response(values, wanted, live, DT)
    assert found is not None
    assert (found.overshoot_worst, found.settling_worst_s) == (0.0, 0.0)
    assert step_response(values, wanted, (T <= 100)[:, None], DT) is None, "it did not hold for 60 s"


def test_a_value_that_is_not_a_number_cannot_pass_for_a_good_one() -> None:
    wanted = stepped(0.0, 1.0)
    found = one(np.where(np.arange(T.size) == T.size - 1, np.nan, wanted), wanted)
    assert (found.overshoot_worst, found.settled_episodes) == (None, 0)
    assert found.metrics()["overshoot_percent_worst"] == math.inf


def pid_result(plant: Any, scenario: str) -> ControllerResult:
    controller = open_baseline(BaselineConfig(), plant)
    assert controller is not None
    return Evaluator(plant).run(controller, scenario, range(20_000, 20_006))[0]


def test_the_plants_load_rejection_has_them_and_its_steady_state_has_not() -> None:
    plant = SCO2Plant()
    rejection, steady = (pid_result(plant, name) for name in ("load_rejection", "steady_state"))
    power, hot = rejection.tracking
    assert hot.response is None, "the turbine inlet's set-point stays"
    found = power.response
    assert found is not None
    assert (found.episodes, found.settled_episodes) == (6, 6)
    assert found.overshoot_mean is not None
    assert found.overshoot_percent_mean is not None
    share = found.overshoot_percent_mean / 100
    assert 4.5 < found.overshoot_mean / share < 5.2, "MW: the set-point falls by 0.45 to 0.52 of 10 MW"
    assert found.settling_worst_s is not None
    assert 0 < found.settling_worst_s < 1800 - 330
    assert [t.response for t in steady.tracking] == [None, None]
    assert rejection.metrics()["tracking.overshoot_mean"] == found.overshoot_mean
    assert steady.metrics()["tracking.overshoot_mean"] is None
    assert set(steady.metrics()) == set(rejection.metrics())
    for result in (rejection, steady):
        assert from_plain(ControllerResult, canonical.loads(canonical.dumps(to_plain(result)))) == result


def test_a_document_from_before_is_read() -> None:
    plain = asdict(TrackingResult("level", "level_setpoint", "m", 0.1, 2.0, 0.5))
    del plain["response"]
    old = from_plain(TrackingResult, plain)
    assert (old.worst, old.response) == (0.5, None)
    assert old.metrics()["step_episodes"] == 0.0
