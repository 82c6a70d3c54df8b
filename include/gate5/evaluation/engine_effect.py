"""What the engine's arithmetic changes in closed loop: the same episodes, driven by a reference form of the policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gate5.evaluation.recording import Recording
from gate5.evaluation.results import ControllerResult, EngineEffect
from gate5.io.canonical import number
from gate5.plant.base import Bool, Controller, Float64, Variable


@dataclass(frozen=True)
class Reference:
    """The policy before it became an engine: who drives, and what a report calls it."""

    name: str
    controller: Controller


def engine_effect(
    name: str,
    engine: tuple[ControllerResult, Recording],
    reference: tuple[ControllerResult, Recording],
    variables: tuple[Variable, ...],
    first_seed: int,
    dt_s: float,
) -> EngineEffect:
    """Compare the same seeds driven by the engine and by the reference.

    Args:
        name: of the reference.
        engine, reference: what ``Evaluator.run`` gave for each.
        variables: the plant's, for units.
        first_seed: episode ``i`` ran on ``first_seed + i``.
        dt_s: control step.
    """
    (ours, tape), (theirs, other) = engine, reference
    deltas = [a - b for a, b in zip(ours.returns, theirs.returns, strict=True) if a is not None and b is not None]
    whole = len(deltas) == len(ours.returns)
    worst = int(np.argmax(np.abs(deltas))) if whole and deltas else None
    both: Bool = np.asarray(tape.live & other.live)
    row, t, b, gap = _worst_variable(tape, other, both)
    action = np.abs(tape.action.astype(np.float64) - other.action)[both]
    return EngineEffect(
        reference=name,
        episodes=len(ours.returns),
        return_mean=number(math.fsum(deltas) / len(deltas)) if worst is not None else None,
        return_abs_max=None if worst is None else number(abs(deltas[worst])),
        seed=None if worst is None else first_seed + worst,
        action_abs_max=number(action.max()) if action.size else None,
        variable="" if row is None else variables[row].name,
        unit="" if row is None else variables[row].unit,
        variable_abs_max=gap,
        variable_seed=None if row is None else first_seed + b,
        variable_time_s=None if row is None else float((t + 1) * dt_s),
        lengths_differ=int((tape.live.sum(axis=0) != other.live.sum(axis=0)).sum()),
        reference_violations=theirs.violations,
    )


def _worst_variable(tape: Recording, other: Recording, both: Bool) -> tuple[int | None, int, int, float | None]:
    """Row, step, episode and size of the difference that is largest beside the variable's own range.

    A value that is finite in one recording only outweighs every number; its size is ``None``.
    """
    found: tuple[float, int | None, int, int, float | None] = (0.0, None, 0, 0, None)
    for row in range(tape.values.shape[0]):
        ours, theirs = tape.values[row], other.values[row]
        with np.errstate(invalid="ignore"):
            gap: Float64 = np.where(both, np.abs(ours - theirs), 0.0)
        gap = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, np.where(np.isnan(gap), np.inf, gap))
        seen = theirs[both & np.isfinite(theirs)]
        span = float(np.ptp(seen)) if seen.size else 0.0
        t, b = divmod(int(np.argmax(gap)), gap.shape[1])
        share = float(gap[t, b]) / (span or 1.0)
        if share > found[0]:
            found = (share, row, t, b, number(gap[t, b]))
    return found[1:]
