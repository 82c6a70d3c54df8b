"""The perturbation layer: each kind does what it says, to the episodes that it is meant for, and to nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.errors import PlantError
from gate5.plant.base import Float32, Float64
from gate5.plant.disturbance import Disturbance
from gate5.plant.perturbation import Perturbation, instruments
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.sco2 import SCO2Plant

SCENARIO = "load_following"
MEASURED = "compressor_inlet_temperature"


def drive(plant: PerturbedPlant | SCO2Plant, seeds: list[int], steps: int, scenario: str = SCENARIO) -> Float64:
    """Observations ``[steps + 1, B, n]`` under a slowly moving action."""
    rows = [plant.reset(scenario, seeds)]
    for t in range(steps):
        action = np.full((len(seeds), 4), 0.1 * np.sin(t / 7.0), dtype=np.float32)
        rows.append(plant.step(action).obs)
    return np.array(rows, dtype=np.float64)


def column(name: str) -> int:
    return SCO2Plant().observation_space.names.index(name)


def test_without_perturbations_the_plant_is_the_plant() -> None:
    assert np.array_equal(drive(PerturbedPlant(SCO2Plant()), [3, 4], 30), drive(SCO2Plant(), [3, 4], 30))


def test_noise_has_the_declared_size_and_leaves_the_true_variables_alone() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("noise")])
    noise = drive(plant, list(range(40)), 59) - drive(SCO2Plant(), list(range(40)), 59)
    declared = {s.name: s.noise for s in plant.signals}
    assert noise[:, :, column(MEASURED)].std() == pytest.approx(declared[MEASURED], rel=0.1)
    assert noise[:, :, column("net_power_setpoint")].std() == 0.0
    step = plant.step(np.zeros((40, 4), dtype=np.float32))
    assert step.variables[MEASURED].std() < 10.0


def test_bias_has_either_sign_and_lasts() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("bias", 1.0, (MEASURED,))])
    off = (drive(plant, list(range(20)), 20) - drive(SCO2Plant(), list(range(20)), 20))[:, :, column(MEASURED)]
    assert np.allclose(np.abs(off), 0.155, atol=1e-4)
    assert {-1.0, 1.0} == set(np.sign(off[0]))
    assert np.allclose(off, off[0], atol=1e-4)


def test_drift_grows_with_time() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("drift", (2.0, 2.0001), (MEASURED,), start_s=100.0)])
    off = (drive(plant, [5], 320) - drive(SCO2Plant(), [5], 320))[:, 0, column(MEASURED)]
    assert np.abs(off[:20]).max() < 1e-4
    assert off[320] == pytest.approx(2.0 * 0.155 * 1500.0 / 3600.0, rel=0.02)


@pytest.mark.parametrize("kind", ["stuck", "failed_low", "failed_high"])
def test_a_fault_begins_when_it_begins(kind: str) -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation(kind, 1.0, (MEASURED,), start_s=50.0)])
    seen, true = (
        drive(plant, [5, 6], 40)[:, :, column(MEASURED)],
        drive(SCO2Plant(), [5, 6], 40)[:, :, column(MEASURED)],
    )
    assert np.allclose(seen[:10], true[:10])
    wanted = {"stuck": true[9], "failed_low": 0.0, "failed_high": 100.0}[kind]
    assert np.allclose(seen[10:], wanted)


def test_a_lost_reading_keeps_the_one_before() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("dropout", 0.3, (MEASURED,))])
    seen, true = drive(plant, list(range(30)), 80), drive(SCO2Plant(), list(range(30)), 80)
    kept = np.isclose(seen[1:, :, column(MEASURED)], seen[:-1, :, column(MEASURED)], atol=0.0)
    fresh = np.isclose(seen[1:, :, column(MEASURED)], true[1:, :, column(MEASURED)], atol=0.0)
    assert (kept | fresh).all()
    assert 0.25 < (kept & ~fresh).mean() < 0.35


def test_the_lag_is_the_declared_time_constant() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("lag")])
    seen, true = drive(plant, [5], 60)[:, 0, column(MEASURED)], drive(SCO2Plant(), [5], 60)[:, 0, column(MEASURED)]
    share, value = 1.0 - np.exp(-5.0 / 10.0), true[0]
    for t in range(1, 61):
        value += share * (true[t] - value)
        assert seen[t] == pytest.approx(value, abs=1e-4)


def test_a_computed_signal_follows_from_what_was_measured() -> None:
    seen = drive(PerturbedPlant(SCO2Plant(), instruments()), [5, 6], 30)
    error = seen[..., column("net_power_setpoint")] - seen[..., column("net_power")]
    assert np.allclose(seen[..., column("net_power_error")], error, atol=1e-5)


@pytest.mark.parametrize("periods", [1, 2, 5])
def test_delay_shows_the_plant_as_it_was(periods: int) -> None:
    seen = drive(PerturbedPlant(SCO2Plant(), [Perturbation("delay", float(periods))]), [5, 6], 30)
    true = drive(SCO2Plant(), [5, 6], 30)
    assert np.array_equal(seen[periods:], true[:-periods])
    assert np.array_equal(seen[:periods], np.broadcast_to(true[0], seen[:periods].shape))


def _positions(perturbation: Perturbation, command: Float32, steps: int) -> Float64:
    """The damper's position while every actuator is commanded to ``command[t]``."""
    plant = PerturbedPlant(SCO2Plant(), [perturbation])
    plant.reset(SCENARIO, [5])
    rows = [plant.step(np.full((1, 4), command[t], np.float32)).variables["damper"][0] for t in range(steps)]
    return np.array(rows)


def test_actuators_stick_slow_down_and_ignore_small_commands() -> None:
    command = np.concatenate([np.zeros(40), np.full(60, 0.8)]).astype(np.float32)
    free = _positions(Perturbation("actuator_slow", 0.0), command, 100)
    stuck = _positions(Perturbation("actuator_stuck", 1.0, ("damper",), start_s=150.0), command, 100)
    slow = _positions(Perturbation("actuator_slow", 0.5), command, 100)
    dead = _positions(Perturbation("dead_band", 0.02), 0.01 * np.sin(np.arange(100)).astype(np.float32), 100)
    assert free[-1] == pytest.approx(0.9)
    assert stuck[-1] == pytest.approx(0.5)
    assert np.diff(free)[39:].max() == pytest.approx(0.05)
    assert np.diff(slow)[39:].max() == pytest.approx(0.025)
    assert np.ptp(dead[60:]) < 1e-6


def test_a_late_action_takes_effect_within_the_period() -> None:
    late = PerturbedPlant(SCO2Plant(), [Perturbation("latency", 1.0, samples=(2.5,))])
    late.reset(SCENARIO, [5])
    for _ in range(40):
        late.step(np.zeros((1, 4), np.float32))
    half = late.step(np.full((1, 4), 0.04, np.float32)).variables["damper"][0]
    assert half == pytest.approx(0.5 + 0.5 * 0.5 * 0.04, abs=1e-6)


def test_parameters_change_the_plant_and_only_the_episodes_that_draw_them() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("parameter", 0.05, ("turbine_efficiency",), chance=0.5)])
    plant.reset("steady_state", list(range(30)))
    seen = plant.step(np.zeros((30, 4), np.float32)).variables["turbine_efficiency"]
    inner = SCO2Plant()
    inner.reset("steady_state", list(range(30)))
    ratio = seen / inner.step(np.zeros((30, 4), np.float32)).variables["turbine_efficiency"]
    groups = np.round(ratio, 2)
    assert set(groups) <= {0.95, 0.96, 1.0, 1.04, 1.05, 1.06}
    assert 5 < (groups == 1.0).sum() < 25


def test_a_trip_during_a_load_rejection() -> None:
    plant = PerturbedPlant(SCO2Plant(), [Perturbation("number", (300.0, 400.0), ("trip_after",))])
    plant.reset("load_rejection", [1, 2, 3])
    tripped = [plant.step(np.zeros((3, 4), np.float32)).variables["tripped"] for _ in range(100)]
    assert (np.array(tripped)[58] == 0.0).all()
    assert (np.array(tripped)[81] == 1.0).all()


PARTS = (
    *instruments(),
    Perturbation("stuck", 1.0, start_s=(0.0, 300.0), pick=1, chance=0.5),
    Perturbation("dropout", (0.0, 0.1)),
    Perturbation("delay", (0.0, 2.0)),
    Perturbation("actuator_slow", (0.0, 0.5)),
    Perturbation("parameter", (-0.05, 0.05)),
    Perturbation("latency", 1.0, samples=(0.001, 3.0)),
)


@settings(max_examples=8, deadline=None)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=2, max_size=5, unique=True), row=st.integers(0, 1))
def test_an_episode_is_the_same_in_every_batch(seeds: list[int], row: int) -> None:
    together = drive(PerturbedPlant(SCO2Plant(), PARTS), seeds, 70)
    alone = drive(PerturbedPlant(SCO2Plant(), PARTS), [seeds[row]], 70)
    assert np.array_equal(together[:, row], alone[:, 0])


def test_an_episode_restarted_in_a_running_batch_is_the_same_too() -> None:
    plant = PerturbedPlant(SCO2Plant(), PARTS)
    drive(plant, [1, 2, 3], 37)
    first = plant.reset_some([1], [SCENARIO], [9])
    rows = [first[0]]
    for t in range(70):
        rows.append(plant.step(np.full((3, 4), 0.1 * np.sin(t / 7.0), np.float32)).obs[1])
    assert np.array_equal(np.array(rows, dtype=np.float64), drive(PerturbedPlant(SCO2Plant(), PARTS), [9], 70)[:, 0])


def test_a_copy_is_a_second_plant() -> None:
    plant = PerturbedPlant(SCO2Plant(), PARTS)
    plant.reset(SCENARIO, [1])
    copy.copy(plant).reset(SCENARIO, [2, 3])
    assert plant.step(np.zeros((1, 4), np.float32)).obs.shape[0] == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Perturbation("nois"), "did you mean 'noise'"),
        (lambda: Perturbation("noise", (2.0, 1.0)), "the lower end first"),
        (lambda: Perturbation("stuck", start_s=(9.0, 1.0)), "the lower end first"),
        (lambda: Perturbation("noise", float("nan")), "finite"),
        (lambda: Perturbation("noise", chance=0.0), "chance"),
        (lambda: Perturbation("stuck", pick=0), "at least 1"),
        (lambda: Perturbation("latency"), "no samples"),
        (lambda: Perturbation.from_dict({"kind": "noise", "levl": 1.0}), "did you mean 'level'"),
        (lambda: Perturbation.from_dict({}), "no kind"),
        (lambda: PerturbedPlant(SCO2Plant(), [Perturbation("noise", 1.0, ("mas_flow",))]), "did you mean 'mass_flow'"),
        (lambda: PerturbedPlant(SCO2Plant(), [Perturbation("noise", 1.0, ("tripped",))]), "cannot be made"),
        (lambda: PerturbedPlant(SCO2Plant(), [Perturbation("parameter", 0.1, ("mass_flow",))]), "cannot be made"),
        (lambda: PerturbedPlant(SCO2Plant(), [Perturbation("stuck", pick=99)]), "give a smaller number"),
        (lambda: Disturbance("x", "drawn", 2.0, 1.0, "C", "x"), "the lower end first"),
        (lambda: SCO2Plant().reset_mixed([SCENARIO], [1], [{"trip": 1.0}]), "declares no disturbance 'trip'"),
        (lambda: SCO2Plant().reset_mixed([SCENARIO], [1], [{"knot_1": 9.0}]), "declares 0.7 to 1.3"),
    ],
)
def test_what_cannot_be_perturbed_is_one_sentence(make: object, says: str) -> None:
    with pytest.raises(PlantError, match=says) as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_a_plant_that_declares_nothing_cannot_be_perturbed() -> None:
    from gate5.plant.gymnasium_env import GymnasiumPlant

    with pytest.raises(PlantError, match="declares no signals"):
        PerturbedPlant(GymnasiumPlant("Pendulum-v1"), [Perturbation("noise")])


def test_perturbations_survive_json() -> None:
    for part in PARTS:
        assert Perturbation.from_dict(part.to_dict()) == part
