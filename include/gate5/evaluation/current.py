"""The channel's current release drives the candidate's episodes: with its own observations, on the very same plant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gate5.errors import EvaluationError
from gate5.evaluation.recording import Recording, record
from gate5.plant.base import Controller, Float32, Plant


@dataclass(frozen=True)
class CurrentRelease:
    """Who drives for the channel's current release.

    Attributes:
        release: its id.
        driver: what runs it, ``its engine (onnxruntime fp32)``.
        controller: takes the observations of ``plant``.
        plant: the candidate's own, or the same plant with the observations that this release takes.
    """

    release: str
    driver: str
    controller: Controller
    plant: Plant


class _Replay:
    """Gives recorded actions again, whatever it observes."""

    def __init__(self, actions: Float32) -> None:
        self.actions, self.step = actions, 0

    def reset(self, batch: int) -> None:
        """Back to the first."""
        self.step = 0

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """The next actions, ``[B, act_dim]``."""
        self.step += 1
        return self.actions[self.step - 1], None


def same_plant(ours: Plant, theirs: Plant, scenario: str, seeds: Sequence[int], tape: Recording) -> None:
    """Prove that two plants differ in nothing but what they let a policy observe.

    The candidate's recorded actions are given to the other plant: everything that it reports and pays must be the same,
    to the last bit. What a plant declares is compared first, for a better sentence.

    Args:
        ours, theirs: the candidate's plant, and the one with the current release's observations.
        tape: the candidate's episodes of ``scenario`` on ``seeds``, recorded on ``ours``.

    Raises:
        EvaluationError: they differ; the text says in what.
    """
    if theirs is ours:
        return
    other = theirs.scenarios.get(scenario)
    if other is None:
        raise EvaluationError(f"its plant has no scenario {scenario}")
    for what, mine, its in (
        ("name", ours.name, theirs.name),
        ("control step", ours.dt_s, theirs.dt_s),
        ("length of the scenario", ours.scenarios[scenario].steps, other.steps),
        ("constraints", tuple(ours.constraints), tuple(theirs.constraints)),
        ("variables", tuple(v.name for v in ours.variables), tuple(v.name for v in theirs.variables)),
        ("actions", ours.action_space.size, theirs.action_space.size),
    ):
        if mine != its:
            raise EvaluationError(f"its plant is another one: {what} {_short(its)}, the candidate's {_short(mine)}")
    again = record(theirs, _Replay(tape.action), scenario, seeds)
    if not np.array_equal(again.live, tape.live):
        raise EvaluationError("its plant is another one: the same actions end an episode at another step")
    live = tape.live
    for row, name in enumerate(tape.names):
        if not np.array_equal(again.values[row][live], tape.values[row][live], equal_nan=True):
            raise EvaluationError(f"its plant is another one: the same actions give another {name}")
    if not np.array_equal(again.reward[live], tape.reward[live], equal_nan=True):
        raise EvaluationError("its plant is another one: the same actions are paid differently")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
