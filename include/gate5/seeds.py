"""Seeds by purpose: no episode that trains, tunes or chooses a policy is one that judges it.

A seed is a whole number below 2^63. Each purpose has a range of its own, cut into streams: ``train --seed 7`` is stream
7 of ``training``. Small numbers, up to a million, are a person's: ``evaluation.seed`` of a configuration.
"""

from __future__ import annotations

from typing import Literal

from gate5.errors import ConfigError

Purpose = Literal[
    "training",
    "imitation",
    "search",
    "validation",
    "tuning",
    "report",
    "monte_carlo",
    "falsification",
    "stress",
    "proof",
    "identification",
]
PURPOSES: tuple[Purpose, ...] = (
    "training", "imitation", "search", "validation", "tuning", "report", "monte_carlo", "falsification",
    "stress", "proof", "identification",
)  # fmt: skip

PERSONAL = 10**6  # seeds below this are a person's to choose
STREAM = 10**9  # seeds in a stream
STREAMS = 10**6  # streams of a purpose


def seeds_of(purpose: Purpose, stream: int = 0) -> range:
    """The seeds of one stream of a purpose; no two streams, and no two purposes, share one.

    Raises:
        ConfigError: the stream is negative or beyond the last one.
    """
    if not 0 <= stream < STREAMS:
        raise ConfigError(f"The seed {stream} of the {purpose} is out of range: give 0 to {STREAMS - 1}.")
    first = (1 + PURPOSES.index(purpose)) * STREAM * STREAMS + stream * STREAM
    return range(first, first + STREAM)
