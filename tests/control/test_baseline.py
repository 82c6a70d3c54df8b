"""PIDBaseline: names to indices, feedforward, schedules, overrides; gains as data and their errors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig
from gate5.control import PIDBaseline, open_baseline, parse_gains, read_gains
from gate5.errors import ConfigError
from gate5.io import canonical
from tests.support.tank import Tank

NAMES = ("level", "level_setpoint", "load", "pressure")
GAINS: dict[str, Any] = {
    "dt_s": 1.0,
    "channels": [
        {
            "action": "valve",
            "bias": 0.1,
            "feedforward": [{"observation": "load", "points": [[0, 0], [10, 0.5]]}],
            "loops": [
                {"measurement": "level", "setpoint": "level_setpoint", "kp": 0.2, "ki": 0.02, "tracking_s": 5},
                {"measurement": "pressure", "setpoint": 8.0, "kp": 0.5, "select": "min", "tracking_s": 5},
            ],
        },
        {"action": "pump", "loops": [{"measurement": "pressure", "setpoint": 5.0, "kp": -0.1}]},
    ],
}


def make(gains: dict[str, Any] | None = None) -> PIDBaseline:
    return PIDBaseline.from_gains(gains or GAINS, NAMES, [-1, -1], [1, 1], ("valve", "pump"))


def obs(level: float = 0.0, setpoint: float = 0.0, load: float = 0.0, pressure: float = 0.0) -> np.ndarray:
    return np.array([[level, setpoint, load, pressure]], dtype=np.float32)


def test_each_term_reads_the_observation_that_it_names() -> None:
    action, state = make().predict(obs(level=1, setpoint=2, load=4, pressure=3))
    assert state is None
    assert action.dtype == np.float32
    assert action.shape == (1, 2)
    assert action[0] == pytest.approx([0.1 + 0.2 + 0.2 * (2 - 1), -0.1 * (5 - 3)])


def test_one_observation_without_a_batch_axis_gives_one_action() -> None:
    assert make().predict(obs()[0])[0].shape == (2,)


def test_an_override_takes_the_actuator_at_its_limit_and_the_main_loop_does_not_wind_up() -> None:
    pid = make()
    for _ in range(500):
        action, _ = pid.predict(obs(setpoint=5, pressure=9))
    assert action[0, 0] == pytest.approx(-0.5), "kp (8 - 9)"
    action, _ = pid.predict(obs(setpoint=5, level=6, pressure=0))
    assert action[0, 0] < 0.1, "the main loop asks to close at once when the override lets go: its integral followed"


def test_a_schedule_scales_its_loop_and_zero_stops_its_integral() -> None:
    gains = copy.deepcopy(GAINS)
    gains["channels"][0]["loops"][0]["schedule"] = [{"observation": "load", "points": [[5, 1], [6, 0]]}]
    pid = make(gains)
    assert pid.predict(obs(setpoint=1))[0][0, 0] == pytest.approx(0.3)
    off = [pid.predict(obs(setpoint=1, load=20))[0][0, 0] for _ in range(50)]
    assert np.ptp(off[5:]) < 1e-6, "a loop that is off does not integrate"


def test_rate_limits_the_channel() -> None:
    gains = copy.deepcopy(GAINS)
    gains["channels"][1]["rate"] = 0.05
    pid = make(gains)
    first = pid.predict(obs(pressure=5))[0][0, 1]
    assert pid.predict(obs(pressure=15))[0][0, 1] - first == pytest.approx(0.05)


def test_a_batch_is_its_single_episodes_and_reset_forgets() -> None:
    random = np.random.default_rng(1)
    stream = random.uniform(0, 10, (20, 3, 4)).astype(np.float32)
    together, alone = make(), [make() for _ in range(3)]
    together.predict(obs(setpoint=9))
    together.reset(3)
    for row in stream:
        expected = np.concatenate([alone[i].predict(row[i : i + 1])[0] for i in range(3)])
        np.testing.assert_array_equal(together.predict(row)[0], expected)


def test_an_expert_that_is_told_of_other_actions_follows_them() -> None:
    """DAgger: the student drives, the expert says what it would do; its integral must fit what was really applied."""
    pid = make()
    wanted = []
    for _ in range(200):
        wanted.append(float(pid.propose(obs(setpoint=1))[0, 0]))
        pid.track(np.zeros((1, 2), dtype=np.float32))
    assert max(wanted) < 0.5


def test_actions_stay_in_range_for_wild_and_lost_observations() -> None:
    pid = make()
    pid.predict(obs())
    for value in (1e30, -1e30, np.nan, np.inf):
        action, _ = pid.predict(np.full((1, 4), value, dtype=np.float32))
        assert np.all(np.abs(action) <= 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["channels"][0]["loops"][0].update(measurement="levle"), "did you mean 'level'"),
        (lambda g: g["channels"][0].update(action="vlave"), "'vlave'.*valve, pump"),
        (lambda g: g["channels"].pop(), "drive each of the plant's 2 actions once"),
        (lambda g: g["channels"][0]["loops"][0].update(kp=[1, 2]), r"channels\.0\.loops\.0\.kp"),
        (lambda g: g["channels"][0].update(gain=1), "channels.0.gain"),
        (lambda g: g["channels"][0]["feedforward"][0].update(points=[[1, 0], [1, 1]]), "must increase"),
        (lambda g: g["channels"][0].update(low=3, high=4), "leaves nothing"),
    ],
)
def test_wrong_gains_are_refused_in_one_sentence(change: Any, message: str) -> None:
    gains = copy.deepcopy(GAINS)
    change(gains)
    with pytest.raises(ConfigError, match=message):
        make(gains)


def test_an_observation_of_another_plant_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 3 components"):
        make().predict(np.zeros((1, 3), dtype=np.float32))


def test_gains_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such"):
        read_gains(tmp_path / "no-such.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        read_gains(tmp_path / "bad.json")
    (tmp_path / "good.json").write_bytes(canonical.dumps(GAINS))
    assert read_gains(tmp_path / "good.json") == parse_gains(GAINS)


def test_open_baseline_follows_the_configuration(tmp_path: Path, tank: Tank) -> None:
    assert open_baseline(BaselineConfig(kind="none"), tank) is None
    own = open_baseline(BaselineConfig(), tank)
    assert isinstance(own, PIDBaseline)
    slow = {**tank.baseline_gains(), "dt_s": 7.0}
    (tmp_path / "slow.json").write_bytes(canonical.dumps(slow))
    with pytest.raises(ConfigError, match=r"7\.0 s"):
        open_baseline(BaselineConfig(gains=str(tmp_path / "slow.json")), tank)
    tank.baseline_gains = lambda: None  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(ConfigError, match="no PID gains of its own"):
        open_baseline(BaselineConfig(), tank)
