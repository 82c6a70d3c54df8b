"""The forecast is the plant where the plant is linear; the estimator knows how late a reading is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gate5.edge.runtime.estimate import DOUBT, Estimator
from gate5.evaluation.forecast import ROWS, Forecast, Step, identify
from gate5.plant.base import Float32, Float64

STATE = np.array([[-0.2, 0.1, 0.0], [0.0, -0.1, 0.05], [0.02, 0.0, -0.3]])
ACTION = np.array([[1.0, 0.0], [0.0, 2.0], [0.5, -0.5]])
OFFSET = np.array([0.1, -0.2, 0.0])
WIDE: tuple[Float64, Float64] = np.full(3, -1e3), np.full(3, 1e3)
#: The ridge takes a little of each weight.
NEAR = 0.02
PLANT = Forecast(Step(STATE, ACTION, OFFSET), np.full(3, 1e-3), *WIDE, np.array([], np.int64), {})


def course(actions: Float32, start: Float32) -> Float32:
    found = [start]
    for action in actions:
        found.append(PLANT.ahead(found[-1], [action]))
    return np.array(found, np.float32)


def test_a_linear_plant_is_identified() -> None:
    rng = np.random.default_rng(3)
    scenarios: list[dict[str, NDArray[Any]]] = []
    for _ in range(3):
        actions = rng.uniform(-1, 1, (200, 2)).astype(np.float32)
        obs = course(actions, rng.normal(size=3).astype(np.float32))[:-1]
        number = np.repeat(np.arange(2), 100)  # the step from one episode to the next is none of the plant's
        obs[100:] = course(actions[100:], np.zeros(3, np.float32))[:-1]
        none: dict[str, NDArray[Any]] = {"obs0": obs[:0], "action0": actions[:0], "episode0": number[:0]}
        scenarios.append({"obs1": obs, "action1": actions, "episode1": number, **none})
    found = identify(scenarios, *WIDE)
    assert found is not None
    assert not found.pieces, "a plant without switches is one plant"
    np.testing.assert_allclose(found.whole.state, STATE, atol=NEAR)
    np.testing.assert_allclose(found.whole.action, ACTION, atol=NEAR)
    np.testing.assert_allclose(found.whole.offset, OFFSET, atol=NEAR)
    again = Forecast.from_dict(found.to_dict(), *WIDE, 2)
    assert again is not None
    np.testing.assert_array_equal(again.whole.state, found.whole.state)
    with pytest.raises(ValueError, match="forecast"):
        Forecast.from_dict(found.to_dict(), *WIDE, 3)
    before = {k: v for k, v in found.to_dict().items() if k not in ("switches", "pieces")}
    old = Forecast.from_dict(before, *WIDE, 2)  # a release that was signed when there was one step alone
    assert old is not None
    np.testing.assert_array_equal(
        old.step(np.ones(3), np.ones(2, np.float32)), found.step(np.ones(3), np.ones(2, np.float32))
    )


def switched(rows: int, seed: int) -> dict[str, NDArray[Any]]:
    """A plant whose last component, a switch, turns the sign of what the first action does."""
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    obs = np.zeros((rows, 3), np.float32)
    for t in range(rows - 1):
        on = t % 40 >= 20
        obs[t, 2] = on
        sign = -1.0 if on else 1.0
        obs[t + 1, 0] = 0.8 * obs[t, 0] + sign * actions[t, 0] + (0.5 if on else 0.0)
        obs[t + 1, 1] = 0.9 * obs[t, 1] + 0.1 * obs[t, 0] + actions[t, 1]
    obs[-1, 2] = 1.0
    number = np.zeros(rows, int)
    return {"obs1": obs, "action1": actions, "episode1": number} | {
        "obs0": obs[:0], "action0": actions[:0], "episode0": number[:0]
    }  # fmt: skip


def test_each_state_of_a_switch_is_a_plant_of_its_own() -> None:
    found = identify([switched(2000, 1)], *WIDE)
    assert found is not None
    assert found.switches.tolist() == [2]
    assert set(found.pieces) == {(False,), (True,)}
    again = Forecast.from_dict(found.to_dict(), *WIDE, 2)
    assert again is not None
    for on, sign in ((0.0, 1.0), (1.0, -1.0)):
        ahead = again.step(np.array([1.0, 0.0, on]), np.array([1.0, 0.0], np.float32))
        assert ahead[0] == pytest.approx(0.8 + sign + 0.5 * on, abs=5 * NEAR)
    with pytest.raises(ValueError, match="switches"):
        Forecast.from_dict({**found.to_dict(), "switches": [3]}, *WIDE, 2)
    with pytest.raises(ValueError, match="piece"):
        Forecast.from_dict({**found.to_dict(), "pieces": [{**found.to_dict()["pieces"][0], "on": []}]}, *WIDE, 2)


def test_a_state_that_was_hardly_judged_has_the_step_of_all() -> None:
    rare = switched(2000, 2)
    on = rare["obs1"][:, 2] > 0.5
    kept = ~on | (np.cumsum(on) <= ROWS * 3)  # fewer rows than five numbers in each of six columns
    found = identify([{k: v[kept] if k.endswith("1") else v for k, v in rare.items()}], *WIDE)
    assert found is not None
    assert (True,) not in found.pieces
    assert (False,) in found.pieces


def test_too_little_gives_no_forecast() -> None:
    few = {"obs1": np.zeros((3, 3)), "action1": np.zeros((3, 2)), "episode1": np.zeros(3, int)}
    few |= {"obs0": np.zeros((0, 3)), "action0": np.zeros((0, 2)), "episode0": np.zeros(0, int)}
    assert identify([few], *WIDE) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(0, 1000))
def test_a_stamped_reading_is_taken_to_now(late: int, seed: int) -> None:
    actions = np.random.default_rng(seed).uniform(-1, 1, (20, 2)).astype(np.float32)
    true = course(actions, np.zeros(3, np.float32))
    estimator = Estimator(PLANT, 5.0, 4)
    for t, action in enumerate(actions):
        behind = min(late, t)
        estimator.take(true[t - behind], 5.0 * behind + 0.1, stamped=True, repeated=False)
        now = estimator.now()
        assert now is not None
        np.testing.assert_allclose(now, true[t], atol=1e-3)
        estimator.applied(action)
    for gone in range(1, 6):
        estimator.miss()
        assert (estimator.now() is None) == (gone + late > 4)
        estimator.applied(action)


@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.parametrize("late_after", [True, False])
def test_readings_without_stamps_that_stood_still(moving: bool, late_after: bool) -> None:
    """They repeat for three periods; then they go on three periods late, or are those of now again."""
    rng = np.random.default_rng(1)
    actions = (rng.uniform(-1, 1, (60, 2)) if moving else np.zeros((60, 2))).astype(np.float32)
    start = PLANT.ahead(np.zeros(3, np.float32), [np.zeros(2, np.float32)] * 300)
    true = course(actions, start)
    estimator = Estimator(PLANT, 5.0, 6)
    said = []
    for t, action in enumerate(actions):
        behind = 0 if t < 20 else min(t - 20, 3) if late_after or t < 24 else 0
        repeats = t - 20 if 20 < t <= 23 else 0
        estimator.take(true[t - behind], 5.0 * repeats, stamped=False, repeated=repeats > 0)
        said.append(estimator.late)
        estimator.applied(action)
    assert said[20:24] == [0, 1, 2, 3]
    if not moving:  # nothing tells the two apart: late for a while, then not
        assert said[24 : 23 + DOUBT] == [3] * (DOUBT - 1)
        assert said[-1] == 0
    else:
        assert said[24:] == [3 if late_after else 0] * 36
