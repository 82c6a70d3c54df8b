"""``climb``: a quasi-Newton ascent for functions that a batch evaluates cheaply (BFGS).

Nocedal and Wright, Numerical Optimization, 2006, chapter 6.

What an episode of a fixed seed is worth has no noise in it and changes smoothly with a controller's numbers. A gradient
by forward differences then costs one batch of ``n + 1`` candidates, and a line search one small batch more, where an
evolution strategy needs hundreds of generations to learn the same curvature.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gate5.plant.base import Float64

_TRIALS = (3.0, 1.7, 1.0, 0.6, 0.3, 0.1, 0.03)  # of the quasi-Newton step
_FIRST = (2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03)  # length of a step along the gradient, where no curvature is known


def climb(
    values: Callable[[Float64], Float64],
    n: int,
    *,
    iterations: int,
    difference: float = 0.03,
    least: float = 1e-4,
    longest: float = 3.0,
    say: Callable[[int, float, Float64], None] = lambda iteration, value, x: None,
) -> Float64:
    """The best point found from zero on, ``[n]``.

    Args:
        values: of candidates ``[k, n]``, to be made large, ``[k]``; what is not finite counts as worst.
        n: how many numbers.
        iterations: gradients at most.
        difference: of the forward differences.
        least: an iteration that gains less ends the ascent.
        longest: length of a step at most.
        say: called after every iteration with its number, the value and the point.
    """
    x = np.zeros(n)
    inverse: Float64 | None = None
    value, slope = _gradient(values, x, difference)
    for iteration in range(iterations):
        along = slope / max(float(np.linalg.norm(slope)), 1e-12) if inverse is None else inverse @ slope
        along = along * min(1.0, longest / max(float(np.linalg.norm(along)), 1e-12))
        trials = x + np.outer(_FIRST if inverse is None else _TRIALS, along)
        found = values(trials)
        found = np.where(np.isfinite(found), found, -np.inf)
        best = int(np.argmax(found))
        if found[best] < value + least:
            if inverse is None:
                break
            inverse = None  # what was learned of the curvature misleads here: once more along the gradient
            continue
        step = trials[best] - x
        x = trials[best]
        before = slope
        value, slope = _gradient(values, x, difference)
        say(iteration + 1, value, x)
        inverse = _update(inverse, step, before - slope)
    return x


def _gradient(values: Callable[[Float64], Float64], x: Float64, difference: float) -> tuple[float, Float64]:
    found = values(np.vstack([x, x + difference * np.eye(x.size)]))
    slope = np.where(np.isfinite(found[1:]), found[1:] - found[0], 0.0) / difference
    return float(found[0]), slope


def _update(inverse: Float64 | None, step: Float64, bend: Float64) -> Float64 | None:
    """The inverse of the (negated) curvature after a step that changed the slope by ``-bend``."""
    along = float(step @ bend)
    if along <= 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(bend)):
        return inverse  # not concave along this step
    if inverse is None:
        inverse = (along / float(bend @ bend)) * np.eye(step.size)
    left = np.eye(step.size) - np.outer(step, bend) / along
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / along)
