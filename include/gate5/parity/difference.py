"""Compares two arrays of actions so that a NaN can never look like agreement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.signature import Signature
from gate5.io.canonical import number

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

#: Two scores that are closer than this, relative to the largest one (at least 1), are a tie: either choice is right.
TIE = 1e-5
#: Of the rows so many may differ by a tie (and two of few): rounding seldom decides a choice, and scores that are all
#: the same, of a network that is dead, would excuse every one.
MOST_TIES = 0.01
_FEW = 2


@dataclass(frozen=True)
class Difference:
    """``max_abs_error`` is ``None`` where nothing was compared or a number is not finite.

    Of continuous actions it is relative to half the width of the action space (an action space of [-1, 1] leaves it as
    it is); of choices it is 0 where both chose the same or the scores are tied, else 1. Too many ties excuse none.

    Attributes:
        ties: rows in which the choices differ and the scores, of both sides where both have any, are closer than a tie.
    """

    compared: int
    nonfinite: int
    max_abs_error: float | None
    worst: int | None
    ties: int = 0


def difference(
    expected: Float32, actual: Float32, signature: Signature | None = None, *, tie: float = TIE, most: float = MOST_TIES
) -> Difference:
    """The largest difference of two arrays of output rows ``[N, n]``, its row, and how many numbers are not finite.

    Args:
        expected: its columns of scores, if there are any, say only what is a tie; NaN: nobody knows them.
        signature: what the columns are; ``None``: actions, compared as they are.
        tie: scores that are closer than this, relative to the largest one, are tied.
        most: share of the rows that may differ by a tie.

    Raises:
        ValueError: the shapes differ.
    """
    if expected.shape != actual.shape:
        raise ValueError(f"actions of shape {actual.shape} where {expected.shape} is expected")
    if expected.size == 0:
        return Difference(0, 0, None, None)
    scores = _columns(signature, "scores")
    counted = np.ones(expected.shape[1], dtype=bool)
    counted[scores] = False
    bad = ~np.isfinite(actual)
    bad[:, counted] |= ~np.isfinite(expected[:, counted])
    nonfinite = int(np.count_nonzero(bad))
    if nonfinite:
        return Difference(len(expected), nonfinite, None, int(np.flatnonzero(bad.any(axis=1))[0]))
    error, tied = _errors(expected, actual, signature, tie, most)
    return Difference(len(expected), 0, float(error.max()), int(error.max(axis=1).argmax()), tied)


def _errors(
    expected: Float32, actual: Float32, signature: Signature | None, tie: float, most: float
) -> tuple[Float64, int]:
    error = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
    if signature is None:
        return error, 0
    action, scores, tied = _columns(signature, "action"), _columns(signature, "scores"), 0
    if scores.stop > scores.start:
        error[:, scores] = 0.0
        wrong = error[:, action] > 0.5
        close = np.ones_like(wrong)
        for side in (actual, expected):
            if np.isfinite(side[:, scores]).all():
                close &= _close(
                    expected[:, action], actual[:, action], side[:, scores].astype(np.float64), signature, tie
                )
        tied = int(np.count_nonzero((wrong & close).any(axis=1)))
        if tied > max(_FEW, most * len(expected)):
            close[:] = False
        error[:, action] = np.where(wrong & ~close, 1.0, 0.0)
    else:
        error[:, action] /= np.asarray(signature.scale)
    states = slice(max(action.stop, scores.stop), error.shape[1])
    error[:, states] /= np.maximum(1.0, np.abs(expected[:, states]))
    return error, tied


def _close(expected: Float32, actual: Float32, scores: Float64, signature: Signature, tie: float) -> NDArray[np.bool_]:
    """Whether each component's two choices have scores that are tied, ``[N, components]``."""
    if signature.bits:
        largest = np.maximum(1.0, np.abs(scores).max(axis=1, keepdims=True))
        return np.asarray(np.abs(scores) < tie * largest)
    columns, start = [], 0
    rows = np.arange(len(scores))
    for i, size in enumerate(signature.choices):
        group = scores[:, start : start + size]
        start += size
        allowed = np.where(group > -1e7, group, 0.0)  # what a mask forbids has a score of -1e8
        largest = np.maximum(1.0, np.abs(allowed).max(axis=1))
        picked = [np.clip(side[:, i].astype(np.int64), 0, size - 1) for side in (expected, actual)]
        columns.append(np.abs(group[rows, picked[0]] - group[rows, picked[1]]) < tie * largest)
    return np.stack(columns, axis=1)


def _columns(signature: Signature | None, role: str) -> slice:
    """Which columns of an output row have a role; an empty slice where none has."""
    start = 0
    found = [0, 0]
    for port in signature.outputs if signature is not None else ():
        if port.role == role:
            found = [start, start + port.size]
        start += port.size
    return slice(*found)


@dataclass(frozen=True)
class WorstSample:
    """The observation with the largest difference; numbers that are not finite are ``None``."""

    kind: str
    observation: tuple[float | None, ...]
    expected: tuple[float | None, ...]
    actual: tuple[float | None, ...]

    @classmethod
    def of(cls, kind: str, observation: Float32, expected: Float32, actual: Float32) -> WorstSample:
        """From float32 rows; of images the first thousand numbers."""
        rows = (tuple(number(float(value)) for value in row[:1000]) for row in (observation, expected, actual))
        return cls(kind, *rows)
