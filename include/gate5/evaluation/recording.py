"""``record``: a controller drives a plant through one scenario, and everything the plant says is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gate5.errors import EvaluationError, PlantError
from gate5.plant.base import Bool, Controller, Float32, Float64, Plant, Step

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recording:
    """``T`` steps of ``B`` episodes; entry ``[t, b]`` is what step ``t`` of episode ``b`` ended in.

    Attributes:
        names: the plant's variables.
        values: ``[len(names), T, B]``.
        reward: ``[T, B]``.
        action: ``[T, B, act_dim]``, as given to the plant.
        live: bool ``[T, B]``; false after the episode's end: such entries count for nothing.
        solver_failed, terminated, nonfinite: bool ``[T, B]``; ``nonfinite``: the action was
            NaN or infinite.
    """

    names: tuple[str, ...]
    values: Float64
    reward: Float64
    action: Float32
    live: Bool
    solver_failed: Bool
    terminated: Bool
    nonfinite: Bool

    def of(self, name: str) -> Float64:
        """One variable, ``[T, B]``."""
        return np.asarray(self.values[self.names.index(name)])


def record(
    plant: Plant,
    controller: Controller,
    scenario: str,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Recording:
    """Run one episode per seed, all of them together; no episode is cut at a violation.

    An action that is not finite is counted and replaced by the last finite one, so that the plant's own numbers stay
    meaningful.

    Raises:
        PlantError: the plant has no such scenario.
        EvaluationError: an action or a plant's answer has the wrong shape, or a declared variable is not reported.
    """
    if scenario not in plant.scenarios:
        raise PlantError(f"The plant {plant.name} has no scenario {scenario!r}: it has {', '.join(plant.scenarios)}.")
    steps, batch, size = plant.scenarios[scenario].steps, len(seeds), plant.action_space.size
    names = tuple(variable.name for variable in plant.variables)
    tape = _blank(names, steps, batch, size)
    obs = plant.reset(scenario, seeds)
    controller.reset(batch)
    live = np.ones(batch, dtype=np.bool_)
    last = np.tile(0.5 * (plant.action_space.low + plant.action_space.high), (batch, 1)).astype(np.float32)
    for t in range(steps):
        action, _ = controller.predict(obs)
        if np.shape(action) != (batch, size):
            raise EvaluationError(
                f"The controller gave actions of shape {np.shape(action)} for {batch} observations; "
                f"the plant {plant.name} takes {(batch, size)}."
            )
        finite: Bool = np.asarray(np.isfinite(action).all(axis=1))
        last = np.where(finite[:, None], action, last).astype(np.float32)
        step = plant.step(last)
        _keep(tape, t, step, last, live, ~finite)
        obs, live = step.obs, live & ~(step.terminated | step.truncated)
        if progress is not None:
            progress(t + 1, steps)
        if not live.any():
            break
    return tape


def _blank(names: tuple[str, ...], steps: int, batch: int, size: int) -> Recording:
    return Recording(
        names=names,
        values=np.full((len(names), steps, batch), np.nan),
        reward=np.zeros((steps, batch)),
        action=np.zeros((steps, batch, size), dtype=np.float32),
        live=np.zeros((steps, batch), dtype=np.bool_),
        solver_failed=np.zeros((steps, batch), dtype=np.bool_),
        terminated=np.zeros((steps, batch), dtype=np.bool_),
        nonfinite=np.zeros((steps, batch), dtype=np.bool_),
    )


def _keep(tape: Recording, t: int, step: Step, action: Float32, live: Bool, nonfinite: Bool) -> None:
    batch = live.shape[0]
    for row, name in enumerate(tape.names):
        value = step.variables.get(name)
        if value is None:
            raise EvaluationError(f"The plant declares the variable {name!r} but does not report it at step {t + 1}.")
        if np.shape(value) != (batch,):
            raise EvaluationError(
                f"The plant reports {name!r} with shape {np.shape(value)} for {batch} episodes; it must be {(batch,)}."
            )
        tape.values[row, t] = value
    tape.reward[t], tape.action[t], tape.live[t] = step.reward, action, live
    tape.solver_failed[t] = step.solver_failed
    tape.terminated[t] = step.terminated
    tape.nonfinite[t] = nonfinite
