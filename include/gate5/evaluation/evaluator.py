"""``Evaluator``: one controller in one scenario, every declared constraint checked at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gate5.errors import EvaluationError
from gate5.evaluation.recording import Progress, Recording, record
from gate5.evaluation.results import ConstraintResult, ControllerResult, TrackingResult
from gate5.evaluation.statistics import binomial_upper, deviation, mean
from gate5.evaluation.step_response import step_response
from gate5.io.canonical import number
from gate5.plant.base import Bool, Constraint, Controller, Float64, Plant


class Evaluator:
    """Drives a plant and judges what it did.

    Args:
        plant: the plant; its declared constraints are all checked.
        confidence: of the upper bound of the violation probability.

    Raises:
        EvaluationError: a constraint needs a variable that the plant does not declare.
    """

    def __init__(self, plant: Plant, confidence: float = 0.95) -> None:
        self.plant, self.confidence = plant, confidence
        names = {variable.name for variable in plant.variables}
        for constraint in plant.constraints:
            for needed in (constraint.variable, constraint.applies):
                if needed is not None and needed not in names:
                    raise EvaluationError(
                        f"The constraint {constraint.name!r} needs the variable {needed!r}, which the plant "
                        f"{plant.name} does not report: such a constraint would never be violated."
                    )

    def run(
        self, controller: Controller, scenario: str, seeds: Sequence[int], progress: Progress | None = None
    ) -> tuple[ControllerResult, Recording]:
        """One episode per seed; the verdict on them and everything that was recorded.

        Raises:
            PlantError: the plant has no such scenario.
            EvaluationError: the plant or the controller answered with the wrong shape or left a variable out.
        """
        tape = record(self.plant, controller, scenario, seeds, progress)
        broken = {c.name: _broken(c, tape) for c in self.plant.constraints}
        bad_step = np.zeros_like(tape.live)
        for where in broken.values():
            bad_step |= where
        bad_step |= tape.live & (tape.solver_failed | tape.nonfinite)
        unexplained = tape.live & tape.terminated & ~bad_step
        violating = int((bad_step | unexplained).any(axis=0).sum())
        failures = int((tape.live & tape.solver_failed).sum())
        wild = int((tape.live & tape.nonfinite).sum())
        returns = [_total(column) for column in np.where(tape.live, tape.reward, 0.0).T]
        finite = [r for r in returns if r is not None]
        whole = finite if len(finite) == len(returns) else []
        steps = int(tape.live.sum())
        driver = _driver(controller)
        return ControllerResult(
            driver=driver,
            episodes=len(seeds),
            engine_episodes=len(seeds) if driver and not _stands_in(controller) else 0,
            steps=steps,
            violations=sum(int(b.sum()) for b in broken.values()) + failures + wild + int(unexplained.sum()),
            violating_episodes=violating,
            violation_probability_upper=binomial_upper(violating, len(seeds), self.confidence),
            solver_failures=failures,
            nonfinite_actions=wild,
            unexplained_terminations=int(unexplained.sum()),
            returns=tuple(returns),
            return_mean=mean(whole),
            return_std=deviation(whole),
            reward_per_step=number(sum(whole) / steps) if whole and steps else None,
            efficiency_mean=self._efficiency(tape),
            tracking=tuple(_tracking(tape, v, s, unit, self.plant.dt_s) for v, s, unit in tracked(self.plant)),
            constraints=tuple(self._constraint(c, tape, broken[c.name], seeds) for c in self.plant.constraints),
            end_reasons=self._ends(tape, broken),
        ), tape

    def _constraint(self, c: Constraint, tape: Recording, broken: Bool, seeds: Sequence[int]) -> ConstraintResult:
        applies = _applies(c, tape)
        margin = np.where(applies, c.margin(tape.of(c.variable)), np.inf)
        worst = np.where(np.isnan(margin), -np.inf, margin)
        t, b = divmod(int(np.argmin(worst)), worst.shape[1])
        some = bool(applies.any())
        episodes = np.flatnonzero(broken.any(axis=0))
        first = int(episodes[0]) if episodes.size else None
        return ConstraintResult(
            name=c.name, variable=c.variable, unit=c.unit, low=c.low, high=c.high, catastrophic=c.catastrophic,
            checked=int(applies.sum()),
            violations=int(broken.sum()),
            violating_episodes=int(episodes.size),
            smallest_margin=number(margin[t, b]) if some else None,
            seed=int(seeds[b]) if some else None,
            time_s=float((t + 1) * self.plant.dt_s) if some else None,
            first_violation_seed=None if first is None else int(seeds[first]),
            first_violation_time_s=(
                None if first is None else float((int(np.argmax(broken[:, first])) + 1) * self.plant.dt_s)
            ),
            applies=c.applies,
        )  # fmt: skip

    def _efficiency(self, tape: Recording) -> float | None:
        if "efficiency" not in tape.names:
            return None
        values = tape.of("efficiency")[tape.live]
        return number(values.mean()) if values.size else None

    def _ends(self, tape: Recording, broken: dict[str, Bool]) -> dict[str, int]:
        """How each episode ended, from the step at which it terminated."""
        reasons: dict[str, int] = {}
        end = tape.live & tape.terminated
        for b in range(tape.live.shape[1]):
            reason = "completed"
            if end[:, b].any():
                t = int(np.argmax(end[:, b]))
                fatal = [c.name for c in self.plant.constraints if c.catastrophic and broken[c.name][t, b]]
                reason = f"constraint {fatal[0]}" if fatal else "terminated"
                if tape.solver_failed[t, b]:
                    reason = "solver failure"
            reasons[reason] = reasons.get(reason, 0) + 1
        return dict(sorted(reasons.items()))


def _total(rewards: Float64) -> float | None:
    """The exact sum, so that an episode's return does not depend on the batch that it ran in."""
    return math.fsum(rewards.tolist()) if np.isfinite(rewards).all() else None


def tracked(plant: Plant) -> list[tuple[str, str, str]]:
    """Variables that follow a set-point, ``<variable>_setpoint``: each ``(variable, set-point, unit)``."""
    names = {variable.name for variable in plant.variables}
    return [(v.name, f"{v.name}_setpoint", v.unit) for v in plant.variables if f"{v.name}_setpoint" in names]


def _applies(constraint: Constraint, tape: Recording) -> Bool:
    """Where the constraint holds; an ``applies`` that is not a number leaves the constraint in force."""
    if constraint.applies is None:
        return tape.live
    return np.asarray(tape.live & (tape.of(constraint.applies) != 0.0))


def _broken(constraint: Constraint, tape: Recording) -> Bool:
    """Where the constraint is broken; NaN compares as broken."""
    return np.asarray(_applies(constraint, tape) & ~(constraint.margin(tape.of(constraint.variable)) >= 0.0))


def _tracking(tape: Recording, variable: str, setpoint: str, unit: str, dt_s: float) -> TrackingResult:
    error = np.abs(tape.of(variable) - tape.of(setpoint))
    live = error[tape.live]
    if not live.size:
        return TrackingResult(variable, setpoint, unit, None, None, None)
    iae = np.where(tape.live, error, 0.0).sum(axis=0) * dt_s
    return TrackingResult(
        variable, setpoint, unit, number(np.sqrt(np.mean(live**2))), number(iae.mean()), number(live.max()),
        step_response(tape.of(variable), tape.of(setpoint), tape.live, dt_s),
    )  # fmt: skip


def _driver(controller: Controller) -> str:
    """The backend of the built engine behind a controller (``EngineController.engine.info``), else empty."""
    info = getattr(getattr(controller, "engine", None), "info", None)
    name = str(info.backend) if info is not None else ""
    return f"the exported graph, {name}" if _stands_in(controller) else name


def _stands_in(controller: Controller) -> bool:
    return bool(getattr(getattr(controller, "engine", None), "stands_in", False))
