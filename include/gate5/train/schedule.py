"""How the steps of Adam become smaller in the course of a training."""

from __future__ import annotations

import math
from typing import Any


def fall(optimiser: Any, rate: float, done: float, last: float) -> None:
    """Set the learning rate along a cosine.

    Args:
        optimiser: torch's.
        rate: at the start.
        done: share of the training that is done, 0 to 1.
        last: share of ``rate`` that is left at the end.
    """
    share = 0.5 * (1.0 + math.cos(math.pi * done))
    for group in optimiser.param_groups:
        group["lr"] = rate * (last + (1.0 - last) * share)
