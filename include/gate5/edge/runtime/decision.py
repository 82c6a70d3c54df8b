"""What goes into a period and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gate5.plant.base import Float32

#: A cause of ``CAUSES`` and a half sentence with the numbers.
Trouble = tuple[str, str]

CAUSES = {
    "late": "the answer did not come within the deadline",
    "answer_not_finite": "the answer was NaN or infinite",
    "answer_out_of_range": "the answer was outside the actuators' range",
    "answer_too_fast": "the answer moved an actuator faster than was ever judged",
    "engine_dead": "the engine process ended",
    "engine_hung": "the engine process did not answer any more",
    "engine_restarting": "the engine process was being started",
    "observation_missing": "there was no observation",
    "observation_stale": "the observation was too old",
    "observation_not_finite": "a reading was NaN or infinite",
    "observation_frozen": "a reading did not move any more",
    "outside_envelope": "the observation was outside the signed operating envelope",
    "margin": "a constraint's margin was predicted to be gone",
    "person": "a person said so",
    "baseline_failed": "the baseline gave no usable action",
    "action_refused": "the plant did not take the last action",
}

Source = Literal["policy", "baseline", "safe"]


@dataclass(frozen=True)
class Reading:
    """What a binding gives in a period.

    Attributes:
        obs: float32 ``[obs_dim]``, physical units; NaN where a reading is bad; ``None``: nothing came.
        age_s: since it was taken at the plant; ``inf``: nobody knows.
        why: what was wrong where nothing came.
        starts: whether an episode starts with it.
        ends: whether the plant wants no further action.
        refused: why the plant did not take the last action; empty: it did, as far as the binding can know.
        standing: float32 ``[act_dim]``, what it took last of each actuator, NaN where nobody knows; read where
            ``refused`` says something.
    """

    obs: Float32 | None
    age_s: float = 0.0
    why: str = ""
    starts: bool = False
    ends: bool = False
    refused: str = ""
    standing: Float32 | None = None


@dataclass
class Decision:
    """What is to be applied in a period, and why.

    Attributes:
        action: float32 ``[act_dim]``, for the plant.
        source: who made it.
        cause: why the policy does not drive; empty where it does, or where the hold after an earlier cause still runs.
        text: the cause in half a sentence.
        handed_over: whether the policy drove until now.
        given_back: whether the policy drives again from now on.
        policy: what the engine answered, or ``None``.
        baseline: what the baseline proposed.
        inference_ns: in the engine process.
        overhead_ns: everything but the wait for the engine.
        waited_ns: for the engine's answer.
        missed: the period began late.
        applies: whether the action goes to the plant; not where the last one is to be held and nobody knows of any.
    """

    action: Float32
    source: Source
    cause: str = ""
    text: str = ""
    handed_over: bool = False
    given_back: bool = False
    policy: Float32 | None = None
    baseline: Float32 | None = None
    inference_ns: int = 0
    overhead_ns: int = 0
    waited_ns: int = 0
    missed: bool = False
    applies: bool = True
