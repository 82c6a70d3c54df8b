"""How the chance of error is shared out over several looks at growing samples (alpha spending)."""

from __future__ import annotations

#: What the first look has of it, which decides nearly always.
FIRST = 0.75


def confidences(confidence: float, looks: int) -> tuple[float, ...]:
    """What each look's bound has, so that all of them together are wrong no more often than ``1 - confidence``."""
    alpha = 1.0 - confidence
    if looks == 1:
        return (confidence,)
    rest = (1.0 - FIRST) * alpha / (looks - 1)
    return (1.0 - FIRST * alpha, *(1.0 - rest for _ in range(looks - 1)))
