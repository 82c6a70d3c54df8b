"""``--quick``: what a run cuts to be done in a minute and a half, and what it therefore proves less."""

from __future__ import annotations

from typing import Any

#: Over the configuration; ``evaluation.quick`` tells gate, report and promotion.
QUICK: dict[str, Any] = {
    "evaluation.quick": True,
    "evaluation.episodes": 10,
    "evaluation.monte_carlo": 100,
    "evaluation.bootstrap": 500,
    "export.samples": 1000,
    "falsification.control_steps": 100_000,
    "stress.episodes": 1,
    "latency.iterations": 5000,
    "latency.cadence_seconds": 2.0,
}


def refusal(channel: str) -> str:
    """Why a quick run is not promoted, one sentence."""
    return (
        f"This was a quick run, which proves less than the channel {channel!r} asks for: run it without --quick, or "
        f"accept quick runs there with channels.{channel}.quick: true."
    )
