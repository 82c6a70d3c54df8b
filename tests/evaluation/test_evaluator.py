"""What is counted as a violation, on a real plant; each earlier fault has a test that would show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig
from gate5.control import open_baseline
from gate5.errors import EvaluationError, PlantError
from gate5.evaluation import ConstraintResult, ControllerResult, Evaluator
from gate5.plant.base import Constraint, Controller, Step, Variable
from tests.support.tank import Constant, Tank


def pid(plant: Any) -> Controller:
    controller = open_baseline(BaselineConfig(), plant)
    assert controller is not None
    return controller


def named(result: ControllerResult, name: str) -> ConstraintResult:
    return next(c for c in result.constraints if c.name == name)


def test_a_good_controller_breaks_nothing_and_its_margins_are_measured(tank: Tank) -> None:
    result, tape = Evaluator(tank).run(pid(tank), "step", range(5))
    assert (result.violations, result.violating_episodes) == (0, 0)
    assert result.end_reasons == {"completed": 5}
    assert result.steps == 5 * 180
    high = named(result, "level_high")
    assert high.smallest_margin == pytest.approx(3.0 - tape.of("level").max())
    assert high.time_s == pytest.approx(2.0 * (1 + np.unravel_index(tape.of("level").argmax(), (180, 5))[0]))
    assert result.violation_probability_upper == pytest.approx(1 - 0.05 ** (1 / 5))


def test_an_episode_goes_on_after_its_first_violation_and_every_step_counts(
    tank: Tank, constant: type[Constant]
) -> None:
    """Earlier, the episode ended at the first violation, so that the rate was at most one over its length."""
    result, tape = Evaluator(tank).run(constant(0.5), "hold", range(3))
    level = tape.of("level")
    expected = int((level > 3.0).sum())
    assert expected > 10
    assert named(result, "level_high").violations == expected
    assert result.violations == expected
    assert result.violating_episodes == 3
    assert result.end_reasons == {"completed": 3}
    first = named(result, "level_high")
    assert first.first_violation_seed == 0
    assert first.first_violation_time_s == 2.0 * (1 + int(np.argmax(level[:, 0] > 3.0)))
    assert first.smallest_margin == pytest.approx(3.0 - level.max())


def test_a_catastrophic_limit_ends_the_episode_and_is_named(tank: Tank, constant: type[Constant]) -> None:
    result, tape = Evaluator(tank).run(constant(1.0), "leak", range(4))
    assert result.end_reasons == {"constraint overflow": 4}
    assert named(result, "overflow").violations == 4
    assert result.steps == int(tape.live.sum()) < 4 * 240
    assert named(result, "level_high").violations == int((tape.live & (tape.of("level") > 3.0)).sum())


def test_a_constraint_holds_only_where_it_applies(tank: Tank, constant: type[Constant]) -> None:
    result, tape = Evaluator(tank).run(constant(-1.0), "hold", range(2))
    low = named(result, "level_low")
    assert low.checked == 2 * (120 - 5)
    assert low.violations == int((tape.of("level")[5:] < 0.8).sum()) > 0


def test_a_constraint_that_never_applies_has_no_margin(tank: Tank) -> None:
    tank.variables += (Variable("never", "", "never"),)
    tank.constraints += (Constraint("idle", "level", None, 0.0, "m", applies="never"),)
    inner = tank._variables
    tank._variables = lambda: {**inner(), "never": np.zeros(len(tank.time))}  # type: ignore[method-assign]
    result, _ = Evaluator(tank).run(pid(tank), "hold", range(2))
    idle = named(result, "idle")
    assert (idle.checked, idle.violations, idle.smallest_margin, idle.seed) == (0, 0, None, None)


def test_a_constraint_on_a_variable_that_is_not_declared_is_an_error(tank: Tank) -> None:
    """Earlier, a constrained variable that was absent was "never violated"."""
    tank.constraints += (Constraint("hot", "temperature", None, 50.0, "C"),)
    with pytest.raises(EvaluationError, match=r"'hot' needs the variable 'temperature'"):
        Evaluator(tank)
    tank.constraints = (Constraint("hot", "level", None, 50.0, "C", applies="burning"),)
    with pytest.raises(EvaluationError, match="'burning'"):
        Evaluator(tank)


def test_a_declared_variable_that_is_not_reported_is_an_error(tank: Tank) -> None:
    inner = tank._variables
    tank._variables = lambda: {k: v for k, v in inner().items() if k != "level" or tank.time[0] < 50}  # type: ignore[method-assign]
    with pytest.raises(EvaluationError, match=r"'level' but does not report it at step 50"):
        Evaluator(tank).run(pid(tank), "hold", range(2))


def test_a_variable_of_the_wrong_shape_is_an_error(tank: Tank) -> None:
    inner = tank._variables
    tank._variables = lambda: {**inner(), "level": np.zeros(1)}  # type: ignore[method-assign]
    with pytest.raises(EvaluationError, match=r"'level' with shape \(1,\) for 3 episodes"):
        Evaluator(tank).run(pid(tank), "hold", range(3))


def patched(tank: Tank, at: int, **changes: Any) -> None:
    """From step ``at`` on the plant answers with ``changes`` in episode 1."""
    inner = tank.step

    def step(action: Any) -> Step:
        answer = inner(action)
        fields = {name: getattr(answer, name) for name in answer.__dataclass_fields__}
        if tank.time[0] == at:
            for name, value in changes.items():
                array = np.array(fields[name])
                array[1] = value
                fields[name] = array
                if name == "terminated":
                    tank.ended[1] = True
        return Step(**fields)

    tank.step = step  # type: ignore[method-assign]


def test_a_solver_failure_is_a_violation(tank: Tank) -> None:
    """Earlier, a crash of the solver in every episode was "no violation", gate passed."""
    patched(tank, 30, solver_failed=True, terminated=True)
    result, _ = Evaluator(tank).run(pid(tank), "hold", range(3))
    assert (result.solver_failures, result.violations, result.violating_episodes) == (1, 1, 1)
    assert result.end_reasons == {"completed": 2, "solver failure": 1}


def test_a_termination_that_no_constraint_explains_is_a_violation(tank: Tank) -> None:
    patched(tank, 30, terminated=True)
    result, _ = Evaluator(tank).run(pid(tank), "hold", range(3))
    assert (result.unexplained_terminations, result.violations) == (1, 1)
    assert result.end_reasons == {"completed": 2, "terminated": 1}


def test_a_value_that_is_not_a_number_breaks_its_constraint(tank: Tank) -> None:
    inner = tank._variables

    def variables() -> dict[str, Any]:
        values = inner()
        if tank.time[0] == 7:
            values["level"][0] = np.nan
        return dict(values)

    tank._variables = variables  # type: ignore[method-assign]
    result, _ = Evaluator(tank).run(pid(tank), "hold", range(2))
    high = named(result, "level_high")
    assert (high.violations, high.smallest_margin, high.time_s) == (1, None, 14.0)


def test_an_action_that_is_not_a_number_is_a_violation_and_does_not_reach_the_plant(
    tank: Tank, constant: type[Constant]
) -> None:
    result, tape = Evaluator(tank).run(constant(-0.2, lost_at=4), "hold", range(2))
    assert result.nonfinite_actions == 2
    assert result.violations >= 2
    assert result.violating_episodes == 2
    assert np.isfinite(tape.values).all()
    assert tape.action[3, 0, 0] == np.float32(-0.2), "the last finite action is held"


def test_an_ended_episode_counts_for_nothing(tank: Tank, constant: type[Constant]) -> None:
    one, _ = Evaluator(tank).run(constant(1.0), "leak", [0])
    two, tape = Evaluator(tank).run(constant(1.0), "leak", [0, 1])
    assert two.returns[0] == one.returns[0]
    assert named(two, "overflow").violations == 2
    assert int(tape.live[:, 0].sum()) == one.steps


def test_return_tracking_and_efficiency_are_those_of_the_trajectories(tank: Tank) -> None:
    result, tape = Evaluator(tank).run(pid(tank), "step", range(4))
    error = np.abs(tape.of("level") - tape.of("level_setpoint"))
    tracking = result.tracking[0]
    assert tracking.variable == "level"
    assert tracking.rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert tracking.iae == pytest.approx(2.0 * error.sum(axis=0).mean())
    assert tracking.worst == pytest.approx(error.max())
    assert result.efficiency_mean == pytest.approx(tape.of("efficiency").mean())
    assert list(result.returns) == pytest.approx((1.0 - error).sum(axis=0).tolist())
    assert result.return_mean == pytest.approx(np.mean([r for r in result.returns if r is not None]))


def test_an_unknown_scenario_and_a_wrong_action_shape_are_named(tank: Tank, constant: type[Constant]) -> None:
    with pytest.raises(PlantError, match=r"no scenario 'flood': it has hold, step, leak"):
        Evaluator(tank).run(pid(tank), "flood", [0])
    wide = constant(0.0)
    wide.predict = lambda obs: (np.zeros((len(obs), 2), dtype=np.float32), None)  # type: ignore[method-assign]
    with pytest.raises(EvaluationError, match=r"\(3, 2\) for 3 observations; the plant tank takes \(3, 1\)"):
        Evaluator(tank).run(wide, "hold", range(3))
