"""An FMU of the shipped plant is the shipped plant; one that fails is a failed solver; wrong options are sentences."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gate5.config.candidate import PlantConfig
from gate5.config.evaluation import BaselineConfig, EvaluationConfig
from gate5.control import open_baseline
from gate5.errors import PlantError
from gate5.evaluation import EvaluationReporter
from gate5.plant.base import Plant
from gate5.plant.registry import open_plant
from gate5.plant.sco2 import SCO2Plant

ROOT = Path(__file__).parents[3]
GAINS = ROOT / "include/gate5/plant/sco2/pid_gains.json"
Open = Callable[..., Any]


@pytest.mark.parametrize("version", [2, 3])
def test_the_fmu_s_trajectory_is_the_plant_s_to_the_bit(opened: Open, version: int) -> None:
    """Scenario, seed, units, order of the actions, the first observation: any slip shows within a few steps."""
    fmu, own = opened(version), SCO2Plant(observation="full")
    assert isinstance(fmu, Plant)
    for scenario in ("cold_startup", "emergency_trip"):
        assert np.array_equal(fmu.reset(scenario, [5, 6]), own.reset(scenario, [5, 6]))
        rng = np.random.default_rng(1)
        action = np.zeros((2, 4), np.float32)
        for _ in range(80):
            action = np.clip(action + rng.uniform(-0.1, 0.1, action.shape), -1, 1).astype(np.float32)
            ours, theirs = fmu.step(action), own.step(action)
            assert np.array_equal(ours.obs, theirs.obs)
            assert np.array_equal(ours.reward, theirs.reward)
            assert np.array_equal(ours.terminated, theirs.terminated)
            for name, values in ours.variables.items():
                if name != "reward":
                    assert np.array_equal(values, theirs.variables[name]), name


def test_an_evaluation_of_the_fmu_gives_the_plant_s_numbers(opened: Open) -> None:
    """The declared constraints, ``applies`` and the episode's length are those of the plant."""
    config = EvaluationConfig(episodes=2, scenarios=("emergency_trip",), bootstrap=100)
    rows = []
    for plant in (opened(2), SCO2Plant(observation="full")):
        pid = open_baseline(BaselineConfig(gains=str(GAINS)), plant)
        assert pid is not None
        rows.append(EvaluationReporter(plant, config).scenario("emergency_trip", pid, None).rl)
    ours, theirs = rows
    assert ours.returns == theirs.returns
    assert ours.steps == theirs.steps == 720
    assert [(c.name, c.checked, c.smallest_margin) for c in ours.constraints] == [
        (c.name, c.checked, c.smallest_margin) for c in theirs.constraints
    ]


@pytest.mark.parametrize("version", [2, 3])
def test_an_fmu_that_fails_in_mid_episode_is_a_violation_and_not_a_crash(opened: Open, version: int) -> None:
    plant = opened(version, start={"fail_at": 100.0})
    pid = open_baseline(BaselineConfig(gains=str(GAINS)), plant)
    assert pid is not None
    config = EvaluationConfig(episodes=2, bootstrap=100)
    row = EvaluationReporter(plant, config).scenario("steady_state", pid, None).rl
    assert row.solver_failures == 2
    assert row.violations >= 2
    assert row.violating_episodes == 2
    assert row.end_reasons == {"solver failure": 2}
    assert row.steps == 2 * 21, "20 good steps of 5 s each, and the failing one"


def test_episodes_are_separate_instances_and_can_be_restarted(opened: Open) -> None:
    plant = opened(2)
    action = np.zeros((2, 4), np.float32)
    plant.reset("steady_state", [1, 2])
    alone = [plant.step(action).obs[1].copy() for _ in range(3)]
    plant.reset("steady_state", [9, 2])
    plant.step(action)
    fresh = plant.reset_some([0], ["load_following"], [4])
    assert np.array_equal(fresh, SCO2Plant(observation="full").reset("load_following", [4]))
    assert np.array_equal(plant.step(action).obs[1], alone[1]), "restarting one episode leaves the other alone"


def test_a_copy_is_a_plant_of_its_own(opened: Open) -> None:
    first = opened(2)
    first.reset("steady_state", [1])
    second = copy.copy(first)
    expected = first.step(np.zeros((1, 4), np.float32)).obs
    first.reset("steady_state", [1])
    second.reset("emergency_trip", [2])
    assert np.array_equal(first.step(np.zeros((1, 4), np.float32)).obs, expected)


def test_the_name_says_which_file_it_was(opened: Open) -> None:
    assert opened(2).name.startswith("fmu:sco2_fmi2@")
    assert opened(2).name != opened(3).name.replace("fmi3", "fmi2")


def test_reward_terms_inputs_and_spread_are_data(opened: Open) -> None:
    target = {"variable": "net_power", "target": "net_power_setpoint", "scale": 2.0, "weight": 3.0}
    course = {"steps": 4, "start": {"phase": 0}, "spread": {"fail_at": [1e6, 2e6]}}
    plant = opened(
        2,
        reward={"offset": 1.0, "terms": [target]},
        action=[{"name": "damper", "variable": "command_damper", "low": -1, "high": 1}],
        scenarios={"held": {**course, "inputs": {"command_coolant_valve": [[0, 0.0], [10, 1.0]]}}, "plain": course},
    )
    valves = []
    for name in ("held", "plain"):
        plant.reset(name, [3])
        for k in range(4):
            step = plant.step(np.zeros((1, 1), np.float32))
            error = step.variables["net_power"][0] - step.variables["net_power_setpoint"][0]
            assert step.reward[0] == pytest.approx(1.0 - 3.0 * (error / 2.0) ** 2)
            assert step.truncated[0] == (k == 3)
            valves.append(step.variables["coolant_valve"][0])
    assert valves[:4] != valves[4:], "the input course reaches the FMU"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"observation": [{"name": "net_powr"}]}, "did you mean 'net_power'?"),
        (
            {"action": [{"name": "a", "variable": "command_dampr", "low": -1, "high": 1}]},
            "did you mean 'command_damper",
        ),
        ({"action": [{"name": "a", "variable": "command_damper", "low": 1, "high": 1}]}, "low < high"),
        ({"reward": {"variable": "rewrd"}}, "'rewrd' (reward): did you mean 'reward'?"),
        ({"reward": {}}, "give either `variable`"),
        ({"constraints": [{"name": "c", "variable": "net_pwer", "high": 1}]}, "did you mean 'net_power'?"),
        ({"constraints": [{"name": "c", "variable": "net_power"}]}, "sets no limit"),
        ({"scenarios": {"s": {"steps": 3, "start": {"phse": 0}}}}, "'phse' (scenario s): did you mean 'phase'?"),
        ({"scenarios": {"s": {"steps": 3, "inputs": {"command_damper": [[5, 1], [5, 2]]}}}}, "must increase"),
        ({"scenarios": {"s": {"steps": 3, "spread": {"fail_at": [2, 1]}}}}, "low 2 above high 1"),
        ({"dt": 3}, "dt_s"),
        ({"terminated": "trippd"}, "'trippd' (terminated): did you mean 'tripped'?"),
    ],
)
def test_a_wrong_option_is_one_sentence(opened: Open, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PlantError) as error:
        opened(2, **changes)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_scenario_and_a_start_value_that_the_fmu_refuses(opened: Open) -> None:
    plant = opened(2)
    with pytest.raises(PlantError, match="did you mean 'emergency_trip'"):
        plant.reset("emergency_tripp", [1])
    scenarios = {"broken": {"steps": 3, "start": {"phase": 99}}, "good": {"steps": 3, "start": {"phase": 0}}}
    for version in (2, 3):
        plant = opened(version, scenarios=scenarios)
        with pytest.raises(PlantError, match=r"cannot be initialised for broken with seed 1 .*plant.options.start"):
            plant.reset("broken", [1])
        assert np.array_equal(plant.reset("good", [1]), SCO2Plant(observation="full").reset("steady_state", [1])), (
            "it can go on"
        )


def test_what_is_not_such_an_fmu_is_one_sentence(
    fmus: dict[int, Path], options: dict[str, Any], tmp_path: Path
) -> None:
    text = tmp_path / "text.fmu"
    text.write_text("This is no archive.")
    empty = tmp_path / "empty.fmu"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    cases = {
        str(tmp_path / "none.fmu"): "There is no FMU",
        str(tmp_path): "There is no FMU",
        str(text): "is not an FMU",
        str(empty): "is not an FMU",
        str(_without_cosimulation(fmus[2], tmp_path / "exchange.fmu")): "has no co-simulation",
        str(_without_binaries(fmus[2], tmp_path / "foreign.fmu")): "has binaries for win64",
    }
    for path, says in cases.items():
        with pytest.raises(PlantError) as error:
            open_plant(PlantConfig(id=f"fmu:{path}", options=options))
        assert says in str(error.value)
        assert "\n" not in str(error.value)


def _without_cosimulation(source: Path, target: Path) -> Path:
    """The same model description, with model exchange in the place of co-simulation."""

    def change(name: str, data: bytes) -> bytes | None:
        if name != "modelDescription.xml":
            return data
        text = data.decode()
        start = text.index("<CoSimulation")
        end = text.index("/>", start) + 2
        return (text[:start] + '<ModelExchange modelIdentifier="SCO2FMI2"/>' + text[end:]).encode()

    return _copied(source, target, change)


def _without_binaries(source: Path, target: Path) -> Path:
    return _copied(source, target, lambda name, data: None if name.startswith("binaries/linux") else data)


def _copied(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


def test_the_committed_configuration_is_what_the_script_writes(make_fmu: ModuleType) -> None:
    assert make_fmu.CONFIG.read_text(encoding="utf-8") == make_fmu.text()
